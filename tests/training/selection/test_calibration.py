from __future__ import annotations

import numpy as np
import pytest

from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.clip import ClipDecider, vote_weight
from streamgmm.decision.hop_scores import HopScores
from streamgmm.model.classifier import ClipCalibration
from streamgmm.training.fitting.fitting import fit_classifier
from streamgmm.training.selection.calibration import MAX_MIN_IN_DOMAIN_SCORE, Calibration, calibrate, calibrated
from streamgmm.training.selection.held_out import HeldOutClip, HeldOutClips, HeldOutContext
from streamgmm.training.selection.validation import validate
from tests.narrowing import present
from tests.training.training_rig import config_with, make_clips

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


def window_posteriors(clip: HeldOutClip, scale: float, cepstral_weight: float) -> list[np.ndarray]:
    posteriors = []
    for n, row in enumerate(clip.log_likelihoods):
        logits = scale * (row + cepstral_weight * (present(clip.cepstral_evidence)[n] if cepstral_weight else 0.0))
        odds = np.exp(logits - logits.max())
        posteriors.append(odds / odds.sum())
    return posteriors


def posterior(clip: HeldOutClip, scale: float, cepstral_weight: float = 0.0) -> np.ndarray:
    weighted = zip(clip.votes, window_posteriors(clip, scale, cepstral_weight), strict=True)
    return np.asarray(sum(vote * of_window for vote, of_window in weighted) / clip.votes.sum())


def log_loss(clips: list[HeldOutClip], scale: float, cepstral_weight: float = 0.0) -> float:
    """Weighted by votes within clips, with equal weights of clips."""
    losses = []
    for clip in clips:
        of_windows = [-np.log(row[clip.label_index] + 1e-12) for row in window_posteriors(clip, scale, cepstral_weight)]
        losses.append(np.average(of_windows, weights=clip.votes))
    return float(np.mean(losses))


def test_a_clip_as_recorded_weighs_like_all_its_copies_and_the_world_like_a_label():
    clean = made_clips(0.3, n_clips=6)
    context = HeldOutContext(np.ones(20, dtype=bool), np.zeros(20), 6.0)
    copies = [clip._replace(context=context) for clip in clean for _ in range(4)]
    world = [clip._replace(context=context, is_world=True, label_index=2) for clip in made_clips(0.3, n_clips=9)]
    alike = [clip._replace(log_likelihoods=np.zeros((20, 3)), votes=np.ones(20)) for clip in clean + copies + world]
    of_clean, of_copies, of_world = np.split(HeldOutClips(alike, 3).log_losses(1.0), [6, 30])
    assert of_clean.sum() == pytest.approx(of_copies.sum())
    assert of_world.sum() == pytest.approx((of_clean.sum() + of_copies.sum()) / 3)


def test_posteriors_are_those_that_a_clip_decider_gives():
    clips = made_clips(0.3)
    posteriors = HeldOutClips(clips, len(LABELS)).posteriors(0.3)
    np.testing.assert_allclose(posteriors, [posterior(clip, 0.3) for clip in clips], rtol=1e-12)
    bayes = BayesRule(tuple(LABELS), np.zeros(3), 0.3)
    decider = ClipDecider(bayes, -75.0)
    shares, levels_dbfs = np.linspace(0.1, 1.0, 20), np.linspace(0.0, -60.0, 20)
    clip = clips[0]._replace(votes=vote_weight(shares, levels_dbfs))
    frames = [
        HopScores(1, -20.0, row, row, np.ones(3, dtype=bool), np.zeros(0), float(share), float(level_dbfs))
        for row, share, level_dbfs in zip(clip.log_likelihoods, shares, levels_dbfs, strict=True)
    ]
    for frame in frames:
        decider.add(frame)
    np.testing.assert_allclose(
        list(decider.decide().scores.values()), HeldOutClips([clip], len(LABELS)).posteriors(0.3)[0], rtol=1e-12
    )
    sharp = ClipDecider(bayes, -75.0, ClipCalibration(sharpness=2.5))
    for frame in frames:
        sharp.add(frame)
    expected = HeldOutClips([clip], len(LABELS)).posteriors(0.3, 0.0, 2.5)[0]
    np.testing.assert_allclose(list(sharp.decide().scores.values()), expected, rtol=1e-12)


@pytest.mark.parametrize("sharpness", [0.01, 0.1, 0.7])
def test_the_scale_has_the_least_log_loss_of_a_fine_grid(sharpness):
    clips = made_clips(sharpness)
    found = calibrate(HeldOutClips(clips, len(LABELS)), LABELS, "never")[0].likelihood_scale
    grid = np.geomspace(1e-3, 2.0, 200)
    best = min(grid, key=lambda scale: log_loss(clips, scale))
    assert found == pytest.approx(best, rel=0.05)
    assert log_loss(clips, found) <= log_loss(clips, best) + 1e-6


def test_floors_are_the_quantile_of_a_labels_own_held_out_windows():
    clips = made_clips(0.1)
    floors = calibrate(HeldOutClips(clips, len(LABELS)), LABELS, "never")[0].floors
    for i in range(3):
        own = [row[i] for clip in clips if clip.label_index == i for row in clip.log_likelihoods]
        assert floors[i] == pytest.approx(np.quantile(own, 0.01))
        assert np.mean(np.array(own) < floors[i]) == pytest.approx(0.01, abs=0.005)


def clip_log_loss(clips: list[HeldOutClip], scale: float, sharpness: float) -> float:
    losses = []
    for clip in clips:
        powers = posterior(clip, scale) ** sharpness
        losses.append(-np.log(powers[clip.label_index] / powers.sum() + 1e-12))
    return float(np.mean(losses))


def test_the_scale_of_clips_has_the_least_log_loss_of_clips_and_windows_on_a_fine_grid():
    clips = made_clips(0.1)
    found = calibrate(HeldOutClips(clips, len(LABELS)), LABELS, "never")[0].clip_weights.scale
    best = min(
        np.geomspace(1e-2, 1.0, 200), key=lambda scale: clip_log_loss(clips, scale, 1.0) + log_loss(clips, scale)
    )
    assert found == pytest.approx(best, rel=0.05)


def test_the_sharpness_has_the_least_log_loss_of_clips_on_a_fine_grid():
    clips = made_clips(0.1)
    found, _ = calibrate(HeldOutClips(clips, len(LABELS)), LABELS, "never")
    grid = np.geomspace(0.2, 20.0, 200)
    best = min(grid, key=lambda sharpness: clip_log_loss(clips, found.clip_weights.scale, sharpness))
    assert found.clips.sharpness == pytest.approx(best, rel=0.05)
    assert found.clips.sharpness > 1.0


def in_domain_score(clip: HeldOutClip, labels: list[str], found: Calibration) -> float:
    """The score that a stream computes for the same windows."""
    decider = ClipDecider(BayesRule(tuple(labels), np.zeros(3), found.clip_weights.scale), -75.0, found.clips)
    for row, vote in zip(clip.log_likelihoods, clip.votes, strict=True):
        decider.add(HopScores(1, -20.0, row, row, np.ones(3, dtype=bool), np.zeros(0), 1.0, 20.0 * np.log10(vote)))
    return decider.decide().in_domain_score


@pytest.mark.parametrize("reserved", ["background", "silence", "unknown"])
def test_all_but_a_few_clips_of_labels_that_are_not_reserved_are_known(reserved):
    clips, labels = made_clips(0.3, n_clips=300), [reserved, "cat", "horse"]
    found, _ = calibrate(HeldOutClips(clips, len(LABELS)), labels, "never")
    known = [in_domain_score(clip, labels, found) for clip in clips if clip.label_index]
    assert 0.0 < found.clips.min_in_domain_score < MAX_MIN_IN_DOMAIN_SCORE
    assert found.clips.min_in_domain_score == pytest.approx(np.quantile(known, 0.005))


def test_what_is_typical_is_the_mean_of_a_labels_own_clips_and_their_common_deviation():
    clips = [
        clip._replace(log_likelihoods=np.column_stack([clip.log_likelihoods, np.full(20, -99.0)]))
        for clip in made_clips(0.1)
    ]
    found, _ = calibrate(HeldOutClips(clips, len(LABELS) + 1), [*LABELS, "never held out"], "never")
    own = [
        (clip.label_index, np.average(clip.log_likelihoods[:, clip.label_index], weights=clip.votes)) for clip in clips
    ]
    means = [np.mean([score for index, score in own if index == i]) for i in range(3)]
    assert found.clips.typical == pytest.approx([*means, np.mean([score for _, score in own])])
    assert found.clips.typical_deviation == pytest.approx(np.std([score - means[index] for index, score in own]))


@pytest.mark.parametrize("labels", [LABELS, [*LABELS[:2], "background"]])
def test_with_sounds_of_the_world_the_ratio_to_the_background_is_typical(labels):
    clips = [
        clip._replace(log_likelihoods=np.column_stack([clip.log_likelihoods, np.linspace(-44.0, -40.0, 20)]))
        for clip in made_clips(0.1, n_clips=30)
    ]
    context = HeldOutContext(np.ones(20, dtype=bool), np.zeros(20), 6.0)
    copies = [clip._replace(context=context) for clip in clips]
    world = [clip._replace(context=context, is_world=True, label_index=2) for clip in clips[:9]]
    found, _ = calibrate(HeldOutClips([*clips, *copies, *world], len(LABELS)), labels, "never")
    background = 2 if "background" in labels else 3
    ratios = [
        (index, np.average(clip.log_likelihoods[:, index] - clip.log_likelihoods[:, background], weights=clip.votes))
        for clip in clips
        for index in [clip.label_index]
    ]
    assert found.clips.typical_are_ratios
    assert found.clips.typical == pytest.approx(
        [np.mean([own for index, own in ratios if index == i]) for i in range(3)]
    )
    assert not calibrate(HeldOutClips([*clips, *copies], len(LABELS)), labels, "never")[0].clips.typical_are_ratios


def test_a_label_likelier_than_all_others_together_is_never_refused():
    certain = [HeldOutClip(n % 3, 1e4 * np.eye(3)[[n % 3] * 5], np.ones(5)) for n in range(30)]
    assert (
        calibrate(HeldOutClips(certain, len(LABELS)), LABELS, "never")[0].clips.min_in_domain_score
        == MAX_MIN_IN_DOMAIN_SCORE
    )


def with_frames(clips: list[HeldOutClip], separation: float) -> list[HeldOutClip]:
    """Clips with frames whose labels are `separation` apart, in steps twice too large."""
    rng = np.random.default_rng(1)
    return [
        clip._replace(cepstral_evidence=rng.normal(size=(20, 3)) + 2 * separation * (np.arange(3) == clip.label_index))
        for clip in clips
    ]


def test_frames_that_help_take_part_with_the_weight_of_least_log_loss():
    clips = with_frames(made_clips(0.1), 1.5)
    calibration, notes = calibrate(HeldOutClips(clips, len(LABELS)), LABELS, "auto")
    assert notes[0].startswith("cepstral frames are used for clips: ")
    found = log_loss(clips, calibration.likelihood_scale, calibration.cepstral_weight)
    for scale in np.geomspace(0.02, 0.5, 12):
        for cepstral_scale in np.geomspace(0.1, 10.0, 16):
            assert found <= log_loss(clips, scale, cepstral_scale / scale) + 1e-3


def test_frames_of_clips_and_in_context_are_weighed_apart():
    clean = with_frames(made_clips(0.1), 1.5)
    context = HeldOutContext(np.ones(20, dtype=bool), np.zeros(20), 6.0)
    copies = [clip._replace(context=context) for clip in with_frames(made_clips(0.3), 0.0)]
    calibration, notes = calibrate(HeldOutClips(clean + copies, len(LABELS)), LABELS, "auto")
    alone, _ = calibrate(HeldOutClips(clean, len(LABELS)), LABELS, "auto")
    assert calibration.clip_weights == alone.clip_weights
    assert calibration.clip_weights.cepstral > 0.0
    assert calibration.cepstral_weight == 0.0
    of_copies, _ = calibrate(HeldOutClips(made_clips(0.3), len(LABELS)), LABELS, "never")
    assert calibration.likelihood_scale == pytest.approx(of_copies.likelihood_scale)
    assert [note.partition(":")[0] for note in notes] == [
        "cepstral frames are used for clips",
        "cepstral frames are not used for events",
    ]


def test_useless_frames_are_not_used_unless_asked_for():
    clips = with_frames(made_clips(0.1), 0.0)
    calibration, notes = calibrate(HeldOutClips(clips, len(LABELS)), LABELS, "auto")
    assert calibration.cepstral_weight == 0.0
    assert notes[0].startswith("cepstral frames are not used for clips: ")
    alone, no_notes = calibrate(HeldOutClips(made_clips(0.1), len(LABELS)), LABELS, "never")
    assert calibration.likelihood_scale == alone.likelihood_scale
    assert no_notes == ()
    forced, _ = calibrate(HeldOutClips(clips, len(LABELS)), LABELS, "always")
    assert forced.clip_weights.cepstral > 0.0
    assert forced.cepstral_weight == 0.0


@pytest.mark.parametrize("separation", [0.0, 0.02, 0.3, 3.0])
def test_frames_with_the_best_weight_are_never_worse_than_none(separation):
    clips = with_frames(made_clips(0.02), separation)
    calibration, notes = calibrate(HeldOutClips(clips, len(LABELS)), LABELS, "always")
    alone = calibrate(HeldOutClips(made_clips(0.02), len(LABELS)), LABELS, "never")[0].likelihood_scale
    beside = log_loss(clips, calibration.likelihood_scale, calibration.cepstral_weight)
    assert beside <= log_loss(clips, alone) + 0.02, notes


def test_the_classifier_takes_over_what_validation_says():
    clips = make_clips(CENTRES)
    fit, validation = fit_classifier(clips, LABELS, TRAINING), validate(clips, LABELS, TRAINING)
    calibration = validation.calibration
    classifier = calibrated(fit, calibration)
    assert classifier.likelihood_scale == calibration.likelihood_scale
    assert np.array_equal(classifier.floors, calibration.floors - classifier.projection.n_dimensions)
    assert classifier.clips == calibration.clips
    assert classifier.mixtures is fit.classifier.mixtures
