from __future__ import annotations

import numpy as np
import pytest

from streamgmm.training import calibration
from streamgmm.training.calibration import HeldOut, calibrated, validate
from streamgmm.training.extraction import ClipVectors
from streamgmm.training.fitting import DEFAULT_LIKELIHOOD_SCALE, fit_classifier
from tests.training.training_rig import config_with, make_clip, make_clips, vectors_of

CENTRES = {"bird": 2.0, "cat": 0.0, "horse": -2.0}
LABELS = sorted(CENTRES)
TRAINING = config_with().training


def made_scores(sharpness: float, n_clips: int = 30) -> HeldOut:
    """Log-likelihoods `1 / sharpness` times too far apart: the best scale is about `sharpness`."""
    rng = np.random.default_rng(0)
    indices = [n % 3 for n in range(n_clips)]
    scores = []
    for index in indices:
        logits = rng.normal(0.0, 1.5, (20, 3))
        logits[:, index] += 1.0
        scores.append(logits / sharpness - 40.0)
    return HeldOut(scores, indices)


def log_loss(held_out: HeldOut, scale: float) -> float:
    losses = []
    for log_likelihoods, index in zip(held_out.log_likelihoods, held_out.label_indices, strict=True):
        of_windows = []
        for row in log_likelihoods:
            odds = np.exp(scale * (row - row.max()))
            of_windows.append(-np.log(odds[index] / odds.sum() + 1e-12))
        losses.append(np.mean(of_windows))
    return float(np.mean(losses))


@pytest.mark.parametrize("sharpness", [0.01, 0.1, 0.7])
def test_the_scale_has_the_least_log_loss_of_a_fine_grid(sharpness):
    held_out = made_scores(sharpness)
    found = calibration._summarise(held_out, LABELS, "").likelihood_scale
    grid = np.geomspace(1e-3, 2.0, 400)
    best = min(grid, key=lambda scale: log_loss(held_out, scale))
    assert found == pytest.approx(best, rel=0.03)
    assert log_loss(held_out, found) <= log_loss(held_out, best) + 1e-6


def test_floors_are_the_quantile_of_a_labels_own_held_out_windows():
    held_out = made_scores(0.1)
    floors = calibration._summarise(held_out, LABELS, "").floors
    for i in range(3):
        own = [
            row[i]
            for scores, j in zip(held_out.log_likelihoods, held_out.label_indices, strict=True)
            if i == j
            for row in scores
        ]
        assert floors[i] == pytest.approx(np.quantile(own, 0.01))
        assert np.mean(np.array(own) < floors[i]) == pytest.approx(0.01, abs=0.005)


def test_recalls_and_accuracy_against_plain_loops():
    held_out = made_scores(0.1)
    validation = calibration._summarise(held_out, LABELS, "")
    rights = {label: [] for label in LABELS}
    for scores, index in zip(held_out.log_likelihoods, held_out.label_indices, strict=True):
        odds = np.exp(validation.likelihood_scale * (scores - scores.max(axis=1, keepdims=True)))
        answer = (odds / odds.sum(axis=1, keepdims=True)).mean(axis=0).argmax()
        rights[LABELS[index]].append(answer == index)
    assert validation.recalls == {label: pytest.approx(np.mean(found)) for label, found in rights.items()}
    assert validation.accuracy == pytest.approx(np.mean([right for found in rights.values() for right in found]))


def test_no_source_that_is_held_out_takes_part_in_training(monkeypatch):
    clips = [
        vectors_of(make_clip(label, n, source_id=f"source {n // 2}"), centre)
        for label, centre in CENTRES.items()
        for n in range(8)
    ]
    trained: list[list[ClipVectors]] = []

    def spy(part, labels, training):
        trained.append(part)
        return fit_classifier(part, labels, training)

    monkeypatch.setattr(calibration, "fit_classifier", spy)
    validation = validate(clips, LABELS, TRAINING)
    held_out = [{c.clip.source_id for c in clips} - {c.clip.source_id for c in part} for part in trained]
    assert sorted(source for sources in held_out for source in sources) == sorted({c.clip.source_id for c in clips})
    for part, sources in zip(trained, held_out, strict=True):
        assert sources
        assert len(part) == sum(clip.clip.source_id not in sources for clip in clips)
    assert validation.note == ""
    assert set(validation.recalls) == set(LABELS)


def test_held_out_clips_are_scored_as_recorded_by_the_fit_that_does_not_know_them(monkeypatch):
    clips = make_clips(CENTRES)
    fits = []

    def spy(part, labels, training):
        fits.append((part, fit_classifier(part, labels, training)))
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
    assert validation.note.startswith("held-out scores are by recording, not by source, and flatter: ")
    assert "'cat' has a single source" in validation.note
    assert validation.accuracy is not None


def test_B16_a_single_recording_gives_no_held_out_score_and_says_so():
    clips = [*make_clips({"bird": 2.0}), *make_clips({"cat": 0.0}, n_clips=1)]
    validation = validate(clips, ["bird", "cat"], TRAINING)
    assert validation.note.startswith("no held-out scores: ")
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
