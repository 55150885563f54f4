"""Expectation maximisation against scikit-learn's, which it must equal up to rounding."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from streamgmm.model.mixture import MixtureBank
from streamgmm.training.fitting import expectation
from streamgmm.training.fitting.expectation import fit_diagonal, maximise, spread_mixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def clouds(n, k=5, d=7, seed=0, dtype=np.float64, distance=2.0):
    rng = np.random.default_rng(seed)
    centres = distance * rng.standard_normal((k, d))
    return (centres[rng.integers(k, size=n)] + rng.standard_normal((n, d))).astype(dtype)


def log_likelihood(mixture, vectors):
    return MixtureBank([mixture]).log_likelihoods_of_many(vectors.astype(np.float64)).mean()


@pytest.mark.parametrize("n", [12, 300, 2048, 2049, 7000])
@pytest.mark.parametrize("n_components", [1, 4, 9])
def test_equals_scikit_learn(n, n_components):
    vectors = clouds(n)
    ours = fit_diagonal(vectors, n_components, seed=3, variance_floor=0.1, max_iterations=30)
    theirs = GaussianMixture(n_components, covariance_type="diag", reg_covar=0.1, random_state=3, max_iter=30)
    theirs.fit(vectors)
    np.testing.assert_allclose(ours.weights, theirs.weights_, rtol=1e-7)
    np.testing.assert_allclose(ours.means, theirs.means_, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(ours.covariances, theirs.covariances_, rtol=1e-6)
    assert log_likelihood(ours, vectors) == pytest.approx(theirs.score(vectors), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_starts_from_far_vectors_like_scikit_learn(dtype):
    vectors = clouds(4000, dtype=dtype)
    start = spread_mixture(vectors, 6, seed=5, variance_floor=0.2)
    ours = maximise(vectors, start, variance_floor=0.2, max_iterations=8)
    theirs = GaussianMixture(
        6, covariance_type="diag", reg_covar=0.2, random_state=5, max_iter=8, init_params="k-means++"
    ).fit(vectors)
    assert log_likelihood(ours, vectors) == pytest.approx(float(theirs.score(vectors)), rel=1e-5)


def test_single_precision_gives_the_same_likelihood():
    vectors = clouds(9000)
    fits = [
        fit_diagonal(vectors.astype(dtype), 5, seed=1, variance_floor=0.1, max_iterations=30)
        for dtype in (np.float32, np.float64)
    ]
    assert log_likelihood(fits[0], vectors) == pytest.approx(log_likelihood(fits[1], vectors), rel=1e-6)


def test_equal_vectors_have_the_floor_as_variance():
    mixture = fit_diagonal(np.full((50, 3), 4.0), 2, seed=0, variance_floor=0.25, max_iterations=30)
    np.testing.assert_allclose(mixture.covariances, 0.25)
    np.testing.assert_allclose(mixture.weights.sum(), 1.0)


def test_begins_with_a_part_of_very_many_vectors(monkeypatch):
    vectors = clouds(6000, distance=8.0)
    whole = fit_diagonal(vectors, 5, seed=0, variance_floor=0.1, max_iterations=100)
    monkeypatch.setattr(expectation, "MAX_CLUSTERED_VECTORS", 1000)
    part = fit_diagonal(vectors, 5, seed=0, variance_floor=0.1, max_iterations=100)
    assert log_likelihood(part, vectors) == pytest.approx(log_likelihood(whole, vectors), abs=1e-3)
