"""The compiled scorer against the one in numpy: the same scores to rounding, and every vector by itself."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.features.kernel.loader import NUMPY, VARIABLE, find_kernel, kernel_names
from streamgmm.model.mixture import Mixture, MixtureBank
from streamgmm.model.projection import Projection
from streamgmm.model.scoring import KernelScorer, NumpyScorer, Scorer, make_scorer
from tests.model.model_rig import make_parts

KERNELS = kernel_names()


def scorer_of(kernel: str, projection: Projection, mixtures: list[Mixture]) -> Scorer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, kernel)
        return make_scorer(projection, mixtures, MixtureBank(mixtures))


@pytest.mark.parametrize("kernel", KERNELS)
@given(
    seed=st.integers(0, 999), n_features=st.integers(1, 50), n_dimensions=st.integers(1, 40), n=st.integers(0, 11),
    spread=st.sampled_from([0.0, 1.0, 1e3]), n_units=st.sampled_from([0, 1, 12]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_the_scores_are_those_of_the_mixtures(
    kernel: str, seed: int, n_features: int, n_dimensions: int, n: int, spread: float, n_units: int
) -> None:
    projection, mixtures = make_parts(seed, n_features, n_dimensions, n_units)
    vectors = spread * np.random.default_rng(seed + 1).normal(size=(n, n_features))
    scored = scorer_of(kernel, projection, mixtures).score(vectors)
    # Each by itself: the single precision of a bottleneck depends on the shape of the product.
    projected = np.array([projection.apply(vector) for vector in vectors]).reshape(n, n_dimensions)
    np.testing.assert_allclose(scored.projected, projected, rtol=1e-9, atol=1e-9 * (1.0 + spread))
    expected = np.array([mixture.log_likelihood(scored.projected) for mixture in mixtures]).reshape(len(mixtures), n).T
    np.testing.assert_allclose(scored.log_likelihoods, expected, rtol=1e-10, atol=1e-9)
    assert scored.log_likelihoods.shape == (n, len(mixtures))


@pytest.mark.parametrize("kernel", KERNELS)
@given(seed=st.integers(0, 999), n=st.integers(1, 13), n_units=st.sampled_from([0, 30]))
@settings(max_examples=40, deadline=None)
def test_a_vector_has_the_same_bits_whatever_is_scored_beside_it(kernel: str, seed: int, n: int, n_units: int) -> None:
    projection, mixtures = make_parts(seed, 37, 11, n_units)
    vectors = np.random.default_rng(seed + 1).normal(size=(n, 37))
    scorer = scorer_of(kernel, projection, mixtures)
    together = scorer.score(vectors)
    for i, vector in enumerate(vectors):
        alone = scorer.score(vector[np.newaxis].copy())
        assert together.projected[i].tobytes() == alone.projected[0].tobytes()
        assert together.log_likelihoods[i].tobytes() == alone.log_likelihoods[0].tobytes()


@pytest.mark.parametrize("kernel", KERNELS)
@given(seed=st.integers(0, 999), sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_a_group_has_the_same_sums_whatever_groups_are_beside_it(kernel: str, seed: int, sizes: list[int]) -> None:
    projection, mixtures = make_parts(seed, 12, 7)
    rng = np.random.default_rng(seed + 1)
    groups = [rng.normal(size=(n, 12)) for n in sizes]
    scorer = scorer_of(kernel, projection, mixtures)
    sums = scorer.sums(groups)
    assert sums.shape == (len(sizes), len(mixtures))
    for own, group in zip(sums, groups, strict=True):
        assert own.tobytes() == scorer.sums([group])[0].tobytes()
        np.testing.assert_allclose(own, scorer.score(group).log_likelihoods.sum(axis=0), rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("kernel", KERNELS)
def test_full_covariances_are_scored_in_numpy(kernel: str) -> None:
    projection, _ = make_parts(0, 5, 3)
    mixtures = [Mixture(np.ones(1), np.zeros((1, 3)), np.eye(3)[np.newaxis], "full")]
    assert isinstance(scorer_of(kernel, projection, mixtures), NumpyScorer)


@pytest.mark.skipif(KERNELS == [NUMPY], reason="no kernel was built")
def test_a_scorer_that_is_sent_to_another_process_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    projection, mixtures = make_parts(0, 9, 4)
    scorer = make_scorer(projection, mixtures, MixtureBank(mixtures))
    assert find_kernel() is not None
    assert isinstance(scorer, KernelScorer)
    vectors = np.ones((3, 9))
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy.score(vectors).log_likelihoods.tobytes() == scorer.score(vectors).log_likelihoods.tobytes()
    monkeypatch.setenv(VARIABLE, NUMPY)
    assert isinstance(pickle.loads(pickle.dumps(scorer)), NumpyScorer)
