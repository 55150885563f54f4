from __future__ import annotations

import msgspec
import numpy as np
import pytest

from streamgmm.model.cepstra import CepstralEvidence
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors
from streamgmm.training.fitting.fitting import DEFAULT_LIKELIHOOD_SCALE, fit_classifier
from streamgmm.training.selection import validation as module
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.selection.held_out import score_cepstra
from streamgmm.training.selection.validation import validate
from tests.narrowing import present
from tests.training.training_rig import config_with, make_clip, make_clips, vectors_of

CENTRES = {"bird": 2.0, "cat": 0.0, "horse": -2.0}
LABELS = sorted(CENTRES)
TRAINING = config_with(search=False).training


def test_no_source_that_is_held_out_takes_part_in_training(monkeypatch):
    clips = [
        vectors_of(make_clip(label, n, source_id=f"source {n // 2}"), centre)
        for label, centre in CENTRES.items()
        for n in range(8)
    ]
    trained: list[list[ClipVectors]] = []

    def spy(part, labels, training, **options):
        trained.append(part)
        return fit_classifier(part, labels, training, **options)

    monkeypatch.setattr(module, "fit_classifier", spy)
    validation = validate(clips, LABELS, TRAINING)
    held_out = [{c.clip.source_id for c in clips} - {c.clip.source_id for c in part} for part in trained]
    assert sorted(source for sources in held_out for source in sources) == sorted({c.clip.source_id for c in clips})
    for part, sources in zip(trained, held_out, strict=True):
        assert sources
        assert len(part) == sum(clip.clip.source_id not in sources for clip in clips)
    assert validation.notes == ()
    assert set(validation.recalls) == set(LABELS)


def test_held_out_clips_are_scored_as_recorded_by_the_fit_that_does_not_know_them(monkeypatch):
    clips = make_clips(CENTRES)
    fits = []

    def spy(part, labels, training, **options):
        fits.append((part, fit_classifier(part, labels, training, **options)))
        return fits[-1][1]

    monkeypatch.setattr(module, "fit_classifier", spy)
    floors = validate(clips, LABELS, TRAINING).calibration.floors
    for i, label in enumerate(LABELS):
        own: list[float] = []
        for part, fit in fits:
            for clip in clips:
                if clip.clip.label == label and all(clip is not trained for trained in part):
                    own.extend(fit.classifier.score_many(clip.vectors.astype(float))[:, i])
        assert len(own) == sum(len(clip.vectors) for clip in clips if clip.clip.label == label)
        assert floors[i] == pytest.approx(np.quantile(own, 0.01))


def test_a_label_of_a_single_source_is_validated_by_recording_with_a_note():
    clips = make_clips(CENTRES)
    clips = [
        c._replace(clip=make_clip("cat", n, source_id="one")) if c.clip.label == "cat" else c
        for n, c in enumerate(clips)
    ]
    validation = validate(clips, LABELS, TRAINING)
    assert validation.notes[0].startswith("held-out scores are by recording, not by source, and so too good: ")
    assert "'cat' has a single source" in validation.notes[0]
    assert validation.accuracy is not None


def test_B16_a_single_recording_gives_no_held_out_score_but_a_note():
    clips = [*make_clips({"bird": 2.0}), *make_clips({"cat": 0.0}, n_clips=1)]
    validation = validate(clips, ["bird", "cat"], TRAINING)
    assert validation.notes[0].startswith("no held-out scores: ")
    assert (validation.accuracy, validation.recalls) == (None, {})
    assert validation.calibration.likelihood_scale == DEFAULT_LIKELIHOOD_SCALE
    assert (validation.calibration.floors == -np.inf).all()


def test_a_background_of_one_source_is_trained_on_and_never_held_out():
    clips = [*make_clips({"bird": 6.0, "cat": 0.0}), *make_clips({"background": -6.0}, n_clips=1)]
    validation = validate(clips, ["background", "bird", "cat"], TRAINING)
    assert set(validation.recalls) == {"bird", "cat"}
    assert validation.calibration.floors[0] == -np.inf
    assert np.isfinite(validation.calibration.floors[1:]).all()


def test_validation_repeats_itself():
    clips = make_clips(CENTRES)
    first, again = validate(clips, LABELS, TRAINING), validate(clips, LABELS, TRAINING)
    assert first.calibration.likelihood_scale == again.calibration.likelihood_scale
    assert np.array_equal(first.calibration.floors, again.calibration.floors)


def spoken_clips(n_clips: int = 8, n_windows: int = 4, n_frames_per_window: int = 10) -> list[ClipVectors]:
    """Two labels that only their frames separate."""
    clips = []
    for n in range(2 * n_clips):
        label = ("no", "yes")[n % 2]
        rng = np.random.default_rng(n)
        vectors = rng.standard_normal((n_windows, 12)).astype(np.float32)
        frames = rng.standard_normal((n_windows * n_frames_per_window, 6)).astype(np.float32)
        frames[:, 0] += 1.5 if label == "yes" else -1.5
        ends = n_frames_per_window * np.arange(1, n_windows + 1)
        spans = np.stack([np.zeros(n_windows, dtype=int), ends], axis=1)
        shares = np.arange(1, n_windows + 1) / n_windows
        clips.append(ClipVectors(make_clip(label, n), vectors, vectors[:0], shares, ClipCepstra(frames, frames, spans)))
    return clips


def test_sounds_that_only_frames_separate_are_recognised_by_frames():
    clips, labels = spoken_clips(), ["no", "yes"]
    validation = validate(clips, labels, TRAINING)
    assert validation.accuracy == 1.0
    assert validation.calibration.cepstral_weight > 0.0
    fit = fit_classifier(clips, labels, TRAINING, has_cepstra=True)
    calibration = validation.calibration
    assert present(calibrated(fit, calibration).cepstra).weight == calibration.cepstral_weight
    of_clips = calibrated(fit, calibration._replace(cepstral_weight=0.0))
    assert of_clips.used_cepstra is None
    assert present(of_clips.for_clips().used_cepstra).weight == calibration.clips.cepstral_weight
    neither = calibration._replace(cepstral_weight=0.0, clips=calibration.clips._replace(cepstral_weight=0.0))
    assert calibrated(fit, neither).cepstra is None
    assert present(validate(clips, labels, config_with(cepstra="never", search=False).training).accuracy) < 0.9


def test_the_evidence_of_held_out_frames_is_that_of_the_stream():
    (clip,) = spoken_clips(n_clips=1)[:1]
    mixtures = present(fit_classifier(spoken_clips(), ["no", "yes"], TRAINING, has_cepstra=True).classifier.cepstra)
    cepstra = present(clip.cepstra)
    evidence = CepstralEvidence(mixtures, 4)
    streamed = [evidence.push(hop) for hop in np.split(cepstra.vectors.astype(float), 4)]
    scored = score_cepstra(cepstra, mixtures, 2)
    np.testing.assert_allclose(scored, np.array(streamed)[:, :2], rtol=1e-9)


def test_too_few_frames_of_a_class_leave_the_decision_to_windows_and_say_so():
    clips = [
        clip._replace(cepstra=ClipCepstra(cepstra.vectors[:1], cepstra.copies[:0], np.minimum(cepstra.spans, 1)))
        for clip in spoken_clips()
        for cepstra in [present(clip.cepstra)]
    ]
    validation = validate(clips, ["no", "yes"], TRAINING)
    assert validation.calibration.cepstral_weight == 0.0
    assert validation.notes == ("cepstral frames are not used: a class has too few",)


def test_recalls_and_accuracy_are_those_of_held_out_clips():
    clips = make_clips(CENTRES, n_clips=10)
    validation = validate(clips, LABELS, TRAINING)
    assert set(validation.recalls) == set(LABELS)
    assert validation.accuracy == pytest.approx(np.mean(list(validation.recalls.values())))
    assert present(validation.accuracy) > 0.5
    hopeless = validate(make_clips(dict.fromkeys(LABELS, 0.0), n_clips=10), LABELS, TRAINING)
    assert present(hopeless.accuracy) < present(validation.accuracy)


def test_the_settings_that_were_found_are_those_to_fit_with():
    found = validate(spoiled_copies(), ["bird", "cat"], config_with().training)
    assert not found.training.copies
    assert any(note.startswith("copies false") for note in found.notes)
    settled = msgspec.structs.replace(TRAINING, bottleneck="never")
    assert validate(spoiled_copies(), ["bird", "cat"], TRAINING).training == settled


def spoiled_copies() -> list[ClipVectors]:
    """Clips whose altered copies sound like the other label."""
    clips = make_clips({"bird": 1.5, "cat": -1.5}, n_clips=20)
    return [clip._replace(copies=np.concatenate([-clip.copies] * 3)) for clip in clips]
