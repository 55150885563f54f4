from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from streamgmm.errors import DataError
from streamgmm.model.mixture import MAX_MAGNITUDE, MIN_VARIANCE, Mixture, MixtureBank
from streamgmm.settings.training import Covariance
from tests.model.model_rig import make_mixture

COVARIANCE_TYPES = ["diag", "full"]


def slow_log_likelihood(mixture: Mixture, vector: np.ndarray) -> float:
    """The density by its definition, with inverses and determinants."""
    total = 0.0
    for component in range(mixture.n_components):
        covariance = {
            "full": lambda k: mixture.covariances[k],
            "diag": lambda k: np.diag(mixture.covariances[k]),
        }[mixture.covariance_type](component)
        deviation = vector - mixture.means[component]
        exponent = -0.5 * deviation @ np.linalg.inv(covariance) @ deviation
        norm = math.sqrt((2 * math.pi) ** mixture.n_dimensions * np.linalg.det(covariance))
        total += mixture.weights[component] * math.exp(exponent) / norm
    return math.log(total)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("n_components", [1, 3])
def test_scores_and_responsibilities_are_those_of_scikit_learn(covariance_type: Covariance, n_components: int) -> None:
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(300, 5)) * [1, 2, 3, 0.1, 10] + rng.integers(0, 3, (300, 1)) * 4
    fitted = GaussianMixture(n_components, covariance_type=covariance_type, random_state=0).fit(vectors)
    mixture = Mixture(fitted.weights_, fitted.means_, fitted.covariances_, covariance_type)
    np.testing.assert_allclose(mixture.log_likelihood(vectors), fitted.score_samples(vectors), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mixture.responsibilities(vectors), fitted.predict_proba(vectors), atol=1e-9)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_scores_are_those_of_the_definition(covariance_type: Covariance) -> None:
    rng = np.random.default_rng(2)
    mixture = make_mixture(rng, 3, 4, covariance_type)
    vectors = rng.normal(size=(10, 4))
    expected = [slow_log_likelihood(mixture, vector) for vector in vectors]
    np.testing.assert_allclose(mixture.log_likelihood(vectors), expected, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_bank_scores_as_each_mixture_does(covariance_type: Covariance) -> None:
    rng = np.random.default_rng(3)
    mixtures = [make_mixture(rng, n_components, 6, covariance_type) for n_components in (1, 4, 2, 1)]
    bank = MixtureBank(mixtures)
    for vector in rng.normal(size=(20, 6)) * 3:
        expected = [mixture.log_likelihood(vector[np.newaxis])[0] for mixture in mixtures]
        np.testing.assert_allclose(bank.log_likelihoods(vector), expected, rtol=1e-10)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_bank_gives_the_same_bits_in_any_order(covariance_type: Covariance) -> None:
    rng = np.random.default_rng(4)
    bank = MixtureBank([make_mixture(rng, 3, 7, covariance_type) for _ in range(5)])
    vectors = rng.normal(size=(30, 7))
    forward = [bank.log_likelihoods(vector).tobytes() for vector in vectors]
    backward = [bank.log_likelihoods(vector.copy()).tobytes() for vector in vectors[::-1]]
    assert forward == backward[::-1]


def test_scores_far_from_every_mean_are_finite() -> None:
    mixture = make_mixture(np.random.default_rng(5), 3, 4)
    far = np.full((1, 4), 1e9)
    assert np.isfinite(mixture.log_likelihood(far)).all()
    assert np.isfinite(MixtureBank([mixture]).log_likelihoods(far[0])).all()
    np.testing.assert_allclose(mixture.responsibilities(far).sum(), 1.0)


def test_a_mixture_cannot_be_changed() -> None:
    weights = np.array([0.5, 0.5])
    mixture = Mixture(weights, np.zeros((2, 3)), np.ones((2, 3)), "diag")
    weights[0] = 7.0
    assert mixture.weights[0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        mixture.means[0, 0] = 1.0


GOOD: dict[str, Any] = {
    "weights": [0.25, 0.75],
    "means": np.zeros((2, 2)),
    "covariances": np.ones((2, 2)),
    "covariance_type": "diag",
}
FULL = {"covariances": np.array([np.eye(2)] * 2), "covariance_type": "full"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [0.5, 0.6]}, "sum 1"),
        ({"weights": [0.0, 1.0]}, "not positive"),
        ({"weights": [-0.5, 1.5]}, "not positive"),
        ({"weights": [1.0]}, "shape"),
        ({"weights": [np.nan, 1.0]}, "not finite"),
        ({"means": np.full((2, 2), np.inf)}, "not finite"),
        ({"means": np.full((2, 2), 10 * MAX_MAGNITUDE)}, "exceeds"),
        ({"means": np.zeros((2, 3))}, "shape"),
        ({"means": np.zeros(2)}, "shape"),
        ({"means": np.zeros((0, 2))}, "shape"),
        ({"covariances": np.zeros((2, 2))}, "variance"),
        ({"covariances": np.full((2, 2), MIN_VARIANCE / 2)}, "variance"),
        ({"covariances": -np.ones((2, 2))}, "variance"),
        (FULL | {"covariances": np.array([[[1.0, 2.0], [2.0, 1.0]]] * 2)}, "positive definite"),
        (FULL | {"covariances": np.array([[[1.0, 0.5], [0.0, 1.0]]] * 2)}, "symmetric"),
        (FULL | {"covariances": np.array([np.diag([1.0, 1e-12])] * 2)}, "variance"),
    ],
)
def test_D7_what_is_no_mixture_is_refused(change: dict[str, Any], message: str) -> None:
    Mixture(**GOOD)
    with pytest.raises(DataError, match=message):
        Mixture(**(GOOD | change))


def test_D7_a_bank_needs_mixtures_of_one_kind() -> None:
    rng = np.random.default_rng(6)
    with pytest.raises(DataError, match="one dimension"):
        MixtureBank([make_mixture(rng, 2, 3), make_mixture(rng, 2, 4)])
    with pytest.raises(DataError, match="one covariance type"):
        MixtureBank([make_mixture(rng, 2, 3), make_mixture(rng, 2, 3, "full")])
    with pytest.raises(DataError):
        MixtureBank([])


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("n_components", [1, 3])
def test_the_gradient_is_that_of_finite_differences(covariance_type: Covariance, n_components: int) -> None:
    rng = np.random.default_rng(5)
    mixture = make_mixture(rng, n_components, 4, covariance_type)
    vectors = 2.0 * rng.normal(size=(20, 4))
    step = 1e-5
    expected = np.empty((20, 4))
    for axis, shift in enumerate(step * np.eye(4)):
        above, below = mixture.log_likelihood(vectors + shift), mixture.log_likelihood(vectors - shift)
        expected[:, axis] = (above - below) / (2.0 * step)
    np.testing.assert_allclose(mixture.gradient(vectors), expected, rtol=1e-6, atol=1e-6)


def test_the_gradient_vanishes_at_the_only_mean() -> None:
    mixture = make_mixture(np.random.default_rng(6), 1, 3)
    assert not mixture.gradient(mixture.means).any()


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_of_no_vectors_there_are_no_scores(covariance_type: Covariance) -> None:
    """As of a hop of pauses, which has no frames."""
    bank = MixtureBank([make_mixture(np.random.default_rng(7), 2, 3, covariance_type) for _ in range(4)])
    assert bank.log_likelihoods_of_many(np.zeros((0, 3))).shape == (0, 4)
