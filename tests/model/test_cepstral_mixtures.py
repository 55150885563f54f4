"""The evidence of frames: the mean over a window of what scikit-learn's formula says of each frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from streamgmm.errors import DataError
from streamgmm.model.cepstra import CepstralEvidence, CepstralMixtures
from streamgmm.model.classifier import PLAIN_VOTES
from streamgmm.model.mixture import Mixture
from streamgmm.model.projection import Projection
from tests.model.model_rig import make_classifier

N_FRAME_FEATURES = 6
FRAMES = np.random.default_rng(3).normal(size=(40, N_FRAME_FEATURES))


@pytest.fixture
def classifier():
    return make_classifier(("dog", "glass"), n_cepstral_features=N_FRAME_FEATURES)


def test_a_frame_scores_as_scikit_learn_says() -> None:
    rng = np.random.default_rng(3)
    fitted = [GaussianMixture(3, covariance_type="diag", random_state=n).fit(rng.normal(n, 1, (90, 4))) for n in (0, 1)]
    mixtures = [Mixture(f.weights_ / f.weights_.sum(), f.means_, f.covariances_, "diag") for f in fitted]
    plain = Projection(np.zeros(4), np.ones(4), np.eye(4))
    frames = CepstralMixtures(plain, tuple(mixtures), 1.0)
    vectors = rng.normal(size=(10, 4))
    expected = np.stack([f.score_samples(vectors) for f in fitted], axis=1)
    np.testing.assert_allclose(frames.score(vectors), expected, atol=1e-9)
    np.testing.assert_allclose([frames.score_one(vector) for vector in vectors], expected, atol=1e-9)


def test_evidence_is_the_mean_over_the_frames_of_the_last_hops(classifier) -> None:
    evidence = CepstralEvidence(classifier.cepstra, 3)
    hops = np.split(FRAMES, [5, 5, 12, 13, 30])
    for i, hop in enumerate(hops):
        found = evidence.push(hop)
        window = np.concatenate(hops[max(0, i - 2) : i + 1])
        expected = np.mean([classifier.cepstra.score_one(vector) for vector in window], axis=0)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_window_without_frames_favours_no_label(classifier) -> None:
    evidence = CepstralEvidence(classifier.cepstra, 2)
    evidence.push(FRAMES)
    evidence.push(FRAMES[:0])
    assert (evidence.push(FRAMES[:0]) == 0.0).all()


def test_after_a_reset_nothing_is_remembered(classifier) -> None:
    evidence = CepstralEvidence(classifier.cepstra, 4)
    evidence.push(FRAMES[:20])
    evidence.reset()
    fresh = CepstralEvidence(classifier.cepstra, 4)
    assert evidence.push(FRAMES[20:]).tobytes() == fresh.push(FRAMES[20:]).tobytes()


def test_frames_add_to_the_window_with_their_weight_and_the_background_too(classifier) -> None:
    rng = np.random.default_rng(3)
    vector = rng.normal(size=classifier.projection.n_features)
    evidence = CepstralEvidence(classifier.cepstra, 1).push(FRAMES)
    alone, together = classifier.score(vector), classifier.score(vector, evidence)
    weight = classifier.cepstra.weight
    np.testing.assert_allclose(together.log_likelihoods, alone.log_likelihoods + weight * evidence[:2])
    assert together.llr(0) == pytest.approx(alone.llr(0) + weight * (evidence[0] - evidence[2]))


def test_D7_frames_that_do_not_fit_are_refused(classifier) -> None:
    frames = classifier.cepstra
    for weight in (-0.1, np.nan, np.inf):
        with pytest.raises(DataError):
            replace(frames, weight=weight)
    with pytest.raises(DataError):
        replace(frames, mixtures=make_classifier(n_dimensions=3).all_mixtures)
    with pytest.raises(DataError, match="mixtures of frames"):
        replace(classifier, cepstra=replace(frames, mixtures=frames.mixtures[:2]))


def test_clips_and_hops_have_a_scale_and_a_weight_each(classifier) -> None:
    assert classifier.for_clips().cepstra.weight == classifier.cepstra.weight
    own = replace(classifier, clips=PLAIN_VOTES._replace(likelihood_scale=0.125, cepstral_weight=0.5))
    of_clips = own.for_clips()
    assert (of_clips.likelihood_scale, of_clips.cepstra.weight) == (0.125, 0.5)
    assert (own.likelihood_scale, own.cepstra.weight) == (0.25, 2.5)
    without = replace(own, cepstra=replace(own.cepstra, weight=0.0))
    assert without.used_cepstra is None
    assert without.for_clips().used_cepstra is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"likelihood_scale": 0.0},
        {"likelihood_scale": np.nan},
        {"likelihood_scale": np.inf},
        {"cepstral_weight": -1.0},
        {"cepstral_weight": np.nan},
        {"cepstral_weight": 1e7},
    ],
)
def test_D7_a_calibration_of_clips_that_makes_no_sense_is_refused(classifier, wrong) -> None:
    with pytest.raises(DataError, match="clip_"):
        replace(classifier, clips=PLAIN_VOTES._replace(**wrong))


def test_D7_a_weight_of_frames_without_frames_is_refused() -> None:
    with pytest.raises(DataError, match="no mixtures of frames"):
        replace(make_classifier(), clips=PLAIN_VOTES._replace(cepstral_weight=1.0))
