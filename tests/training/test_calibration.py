from __future__ import annotations

import numpy as np
import pytest

from streamgmm.decision.clip import ClipDecider, vote_weight
from streamgmm.decision.frame import Frame
from streamgmm.model.frames import FrameEvidence
from streamgmm.training import calibration
from streamgmm.training.calibration import HeldOut, HeldOutClip, calibrated, validate
from streamgmm.training.extraction import ClipFrames, ClipVectors
from streamgmm.training.fitting import DEFAULT_LIKELIHOOD_SCALE, fit_classifier
from tests.training.training_rig import config_with, make_clip, make_clips, vectors_of

CENTRES = {"bird": 2.0, "cat": 0.0, "horse": -2.0}
LABELS = sorted(CENTRES)
TRAINING = config_with().training


def made_clips(sharpness: float, n_clips: int = 30) -> list[HeldOutClip]:
    """Log-likelihoods `1 / sharpness` times too far apart: the best scale is about `sharpness`."""
    rng = np.random.default_rng(0)
    clips = []
    for index in (n % 3 for n in range(n_clips)):
        logits = rng.normal(0.0, 1.5, (20, 3))
        logits[:, index] += 1.0
        clips.append(HeldOutClip(index, logits / sharpness - 40.0, rng.uniform(0.1, 1.0, 20)))
    return clips


def window_posteriors(clip: HeldOutClip, scale: float, frame_weight: float) -> list[np.ndarray]:
    posteriors = []
    for n, row in enumerate(clip.log_likelihoods):
        logits = scale * (row + frame_weight * (clip.frame_evidence[n] if frame_weight else 0.0))
        odds = np.exp(logits - logits.max())
        posteriors.append(odds / odds.sum())
    return posteriors


def posterior(clip: HeldOutClip, scale: float, frame_weight: float = 0.0) -> np.ndarray:
    weighted = zip(clip.votes, window_posteriors(clip, scale, frame_weight), strict=True)
    return sum(vote * of_window for vote, of_window in weighted) / clip.votes.sum()


def log_loss(clips: list[HeldOutClip], scale: float, frame_weight: float = 0.0) -> float:
    """Of the windows, votes counting; clips weigh alike."""
    losses = []
    for clip in clips:
        of_windows = [-np.log(row[clip.label_index] + 1e-12) for row in window_posteriors(clip, scale, frame_weight)]
        losses.append(np.average(of_windows, weights=clip.votes))
    return float(np.mean(losses))


def test_posteriors_are_those_that_a_clip_decider_gives():
    clips = made_clips(0.3)
    posteriors = HeldOut(clips).posteriors(0.3)
    np.testing.assert_allclose(posteriors, [posterior(clip, 0.3) for clip in clips], rtol=1e-12)
    decider = ClipDecider(LABELS, silence_gate_dbfs=-75.0, log_priors=np.zeros(3), likelihood_scale=0.3)
    clip = clips[0]._replace(votes=vote_weight(np.linspace(0.1, 1.0, 20)))
    for row, share in zip(clip.log_likelihoods, np.linspace(0.1, 1.0, 20), strict=True):
        decider.add(Frame(1, -20.0, row, row, np.ones(3, dtype=bool), np.zeros(0), float(share)))
    np.testing.assert_allclose(list(decider.decide().scores.values()), HeldOut([clip]).posteriors(0.3)[0], rtol=1e-12)


@pytest.mark.parametrize("sharpness", [0.01, 0.1, 0.7])
def test_the_scale_has_the_least_log_loss_of_a_fine_grid(sharpness):
    clips = made_clips(sharpness)
    found = calibration._summarise(HeldOut(clips), LABELS).likelihood_scale
    grid = np.geomspace(1e-3, 2.0, 200)
    best = min(grid, key=lambda scale: log_loss(clips, scale))
    assert found == pytest.approx(best, rel=0.05)
    assert log_loss(clips, found) <= log_loss(clips, best) + 1e-6


def test_floors_are_the_quantile_of_a_labels_own_held_out_windows():
    clips = made_clips(0.1)
    floors = calibration._summarise(HeldOut(clips), LABELS).floors
    for i in range(3):
        own = [row[i] for clip in clips if clip.label_index == i for row in clip.log_likelihoods]
        assert floors[i] == pytest.approx(np.quantile(own, 0.01))
        assert np.mean(np.array(own) < floors[i]) == pytest.approx(0.01, abs=0.005)


def test_recalls_and_accuracy_against_plain_loops():
    clips = made_clips(0.1)
    validation = calibration._summarise(HeldOut(clips), LABELS)
    rights = {label: [] for label in LABELS}
    for clip in clips:
        answer = posterior(clip, validation.likelihood_scale).argmax()
        rights[LABELS[clip.label_index]].append(answer == clip.label_index)
    assert validation.recalls == {label: pytest.approx(np.mean(found)) for label, found in rights.items()}
    assert validation.accuracy == pytest.approx(np.mean([right for found in rights.values() for right in found]))


def with_frames(clips: list[HeldOutClip], separation: float) -> list[HeldOutClip]:
    """The clips with frames that tell their labels apart as far as `separation`, in steps twice too large."""
    rng = np.random.default_rng(1)
    return [
        clip._replace(frame_evidence=rng.normal(size=(20, 3)) + 2 * separation * (np.arange(3) == clip.label_index))
        for clip in clips
    ]


def test_frames_that_help_take_part_with_the_weight_of_least_log_loss():
    clips = with_frames(made_clips(0.1), 1.5)
    validation = calibration._summarise(HeldOut(clips), LABELS, "auto")
    assert validation.notes[0].startswith("frames take part: ")
    found = log_loss(clips, validation.likelihood_scale, validation.frame_weight)
    for scale in np.geomspace(0.02, 0.5, 12):
        for frame_scale in np.geomspace(0.1, 10.0, 16):
            assert found <= log_loss(clips, scale, frame_scale / scale) + 1e-3


def test_frames_that_tell_nothing_stay_out_unless_asked_for():
    clips = with_frames(made_clips(0.1), 0.0)
    validation = calibration._summarise(HeldOut(clips), LABELS, "auto")
    assert validation.frame_weight == 0.0
    assert validation.notes[0].startswith("frames do not take part: ")
    alone = calibration._summarise(HeldOut(made_clips(0.1)), LABELS, "never")
    assert validation.likelihood_scale == alone.likelihood_scale
    assert alone.notes == ()
    assert calibration._summarise(HeldOut(clips), LABELS, "always").frame_weight > 0.0


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

    monkeypatch.setattr(calibration, "fit_classifier", spy)
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

    monkeypatch.setattr(calibration, "fit_classifier", spy)
    floors = validate(clips, LABELS, TRAINING).floors
    for i, label in enumerate(LABELS):
        own = []
        for part, fit in fits:
            for clip in clips:
                if clip.clip.label == label and all(clip is not trained for trained in part):
                    own.extend(fit.classifier.score_many(clip.vectors.astype(float)).log_likelihoods[:, i])
        assert len(own) == sum(len(clip.vectors) for clip in clips if clip.clip.label == label)
        assert floors[i] == pytest.approx(np.quantile(own, 0.01))


def test_a_label_of_a_single_source_is_validated_by_recording_and_says_so():
    clips = make_clips(CENTRES)
    clips = [
        c._replace(clip=make_clip("cat", n, source_id="one")) if c.clip.label == "cat" else c
        for n, c in enumerate(clips)
    ]
    validation = validate(clips, LABELS, TRAINING)
    assert validation.notes[0].startswith("held-out scores are by recording, not by source, and flatter: ")
    assert "'cat' has a single source" in validation.notes[0]
    assert validation.accuracy is not None


def test_B16_a_single_recording_gives_no_held_out_score_and_says_so():
    clips = [*make_clips({"bird": 2.0}), *make_clips({"cat": 0.0}, n_clips=1)]
    validation = validate(clips, ["bird", "cat"], TRAINING)
    assert validation.notes[0].startswith("no held-out scores: ")
    assert (validation.accuracy, validation.recalls) == (None, {})
    assert validation.likelihood_scale == DEFAULT_LIKELIHOOD_SCALE
    assert (validation.floors == -np.inf).all()


def test_a_background_of_one_source_is_trained_on_and_never_held_out():
    clips = [*make_clips({"bird": 6.0, "cat": 0.0}), *make_clips({"background": -6.0}, n_clips=1)]
    validation = validate(clips, ["background", "bird", "cat"], TRAINING)
    assert set(validation.recalls) == {"bird", "cat"}
    assert validation.floors[0] == -np.inf
    assert np.isfinite(validation.floors[1:]).all()


def test_the_classifier_takes_over_what_validation_says():
    clips = make_clips(CENTRES)
    fit, validation = fit_classifier(clips, LABELS, TRAINING), validate(clips, LABELS, TRAINING)
    classifier = calibrated(fit, validation)
    assert classifier.likelihood_scale == validation.likelihood_scale
    assert np.array_equal(classifier.floors, validation.floors)
    assert classifier.mixtures is fit.classifier.mixtures


def test_validation_repeats_itself():
    clips = make_clips(CENTRES)
    first, again = validate(clips, LABELS, TRAINING), validate(clips, LABELS, TRAINING)
    assert first.likelihood_scale == again.likelihood_scale
    assert np.array_equal(first.floors, again.floors)


def spoken_clips(n_clips: int = 8, n_windows: int = 4, n_frames_per_window: int = 10) -> list[ClipVectors]:
    """Two labels that only their frames tell apart."""
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
        clips.append(ClipVectors(make_clip(label, n), vectors, vectors[:0], shares, ClipFrames(frames, frames, spans)))
    return clips


def test_sounds_that_frames_tell_apart_are_learnt_by_frames():
    clips, labels = spoken_clips(), ["no", "yes"]
    validation = validate(clips, labels, TRAINING)
    assert validation.accuracy == 1.0
    assert validation.frame_weight > 0.0
    fit = fit_classifier(clips, labels, TRAINING, has_frames=True)
    assert calibrated(fit, validation).frames.weight == validation.frame_weight
    assert calibrated(fit, validation._replace(frame_weight=0.0)).frames is None
    assert validate(clips, labels, config_with(frames="never").training).accuracy < 0.9


def test_the_evidence_of_held_out_frames_is_that_of_the_stream():
    (clip,) = spoken_clips(n_clips=1)[:1]
    classifier = fit_classifier(spoken_clips(), ["no", "yes"], TRAINING, has_frames=True).classifier
    evidence = FrameEvidence(classifier.frames, 4)
    streamed = [evidence.push(hop) for hop in np.split(clip.frames.vectors.astype(float), 4)]
    scored = calibration._score(clip, classifier).frame_evidence
    np.testing.assert_allclose(scored, np.array(streamed)[:, :2], rtol=1e-9)


def test_too_few_frames_of_a_class_leave_the_decision_to_windows_and_say_so():
    clips = [
        clip._replace(
            frames=ClipFrames(clip.frames.vectors[:1], clip.frames.copies[:0], np.minimum(clip.frames.spans, 1))
        )
        for clip in spoken_clips()
    ]
    validation = validate(clips, ["no", "yes"], TRAINING)
    assert validation.frame_weight == 0.0
    assert validation.notes == ("frames do not take part: a class has too few of them",)
