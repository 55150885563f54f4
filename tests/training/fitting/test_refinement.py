"""Refined mixtures: gradients against differences, and what refinement is for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamgmm.model.mixture import Mixture
from streamgmm.training.fitting import refinement
from streamgmm.training.fitting.refinement import refine


def made_mixtures(n_labels: int = 3, n_dimensions: int = 4) -> list[Mixture]:
    rng = np.random.default_rng(0)
    return [
        Mixture(
            rng.dirichlet(np.full(i + 2, 5.0)),
            rng.normal(size=(i + 2, n_dimensions)),
            rng.uniform(0.5, 2.0, (i + 2, n_dimensions)),
            "diag",
        )
        for i in range(n_labels)
    ]


def loss(bank: refinement._Mixtures, batch: refinement._Batch) -> float:
    """Cross-entropy of the posterior, from the mixtures themselves and in plain words."""
    total = 0.0
    for vector, targets in zip(batch.vectors.astype(float), batch.targets.astype(float), strict=True):
        scores = np.array([mixture.log_likelihood(vector[np.newaxis])[0] for mixture in bank.mixtures()])
        odds = np.exp(refinement.LIKELIHOOD_SCALE * scores)
        total -= float(targets @ np.log(odds / odds.sum()))
    return total / len(batch.vectors)


@pytest.mark.parametrize("part", range(3), ids=["means", "log_deviations", "logits"])
def test_gradients_are_those_of_finite_differences(part):
    rng = np.random.default_rng(0)
    bank = refinement._Mixtures(made_mixtures())
    # Finite differences need more digits than the float32 of training.
    parameters: list[Any] = [array.astype(np.float64) for array in bank.parameters]
    bank.parameters = refinement._Parameters(*parameters)
    made: tuple[Any, Any] = rng.normal(size=(20, 4)), rng.uniform(size=(20, 3))
    batch = refinement._Batch(*made)
    gradient = bank.gradients(batch)[part]
    for place in np.ndindex(gradient.shape):
        step = np.zeros(gradient.shape)
        step[place] = 1e-5
        losses = []
        for sign in (1, -1):
            moved = refinement._Mixtures(made_mixtures())
            arrays = parameters.copy()
            arrays[part] = arrays[part] + sign * step
            moved.parameters = refinement._Parameters(*arrays)
            losses.append(loss(moved, batch))
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-6)


def overlapping(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Two labels that only one dimension of four separates, one of them with two far clusters."""
    rng = np.random.default_rng(4)
    indices = np.arange(n) % 2
    vectors = rng.normal(size=(n, 4))
    vectors[:, 0] += np.where(indices, 1.0, -1.0)
    vectors[:, 1:] += 3.0 * rng.integers(2, size=(n, 1)) * (indices[:, np.newaxis] == 0)
    return vectors, indices


def posterior_loss(mixtures: list[Mixture], vectors: np.ndarray, indices: np.ndarray) -> float:
    scores = refinement.LIKELIHOOD_SCALE * np.stack([mixture.log_likelihood(vectors) for mixture in mixtures], axis=1)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return float(-np.log((odds / odds.sum(axis=1, keepdims=True))[np.arange(len(indices)), indices]).mean())


def test_refined_mixtures_separate_new_vectors_better():
    (vectors, indices), (unseen, their_indices) = overlapping(), overlapping(2000)
    single = [
        Mixture(np.ones(1), own.mean(axis=0, keepdims=True), own.var(axis=0, keepdims=True), "diag")
        for own in (vectors[indices == 0], vectors[indices == 1])
    ]
    refined = refine(single, vectors, indices, seed=0)
    assert [mixture.n_components for mixture in refined] == [1, 1]
    assert posterior_loss(refined, unseen, their_indices) < 0.95 * posterior_loss(single, unseen, their_indices)


def test_no_variance_falls_below_the_least_before():
    vectors, indices = overlapping()
    mixtures = made_mixtures(2)
    least = min(mixture.covariances.min() for mixture in mixtures)
    assert min(mixture.covariances.min() for mixture in refine(mixtures, vectors, indices, seed=0)) >= 0.999 * least


def test_equal_seeds_give_equal_mixtures():
    vectors, indices = overlapping()
    mixtures = made_mixtures(2)
    first, again, other = (refine(mixtures, vectors, indices, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first[0].means, again[0].means)
    assert not np.array_equal(first[0].means, other[0].means)


def test_labels_weigh_alike_however_many_vectors_they_have():
    batches = refinement._Batches(np.zeros((40, 2)), np.repeat([0, 1], [30, 10]), 2, seed=0)
    totals = np.sum([batch.targets.sum(axis=0) for batch in batches], axis=0)
    assert totals[0] == pytest.approx(totals[1], rel=0.05)


@pytest.mark.parametrize("n", [2, 5, 255, 257, 1000])
def test_every_vector_is_passed_whatever_their_number(n):
    vectors = np.arange(n, dtype=float)[:, np.newaxis] * np.ones((1, 2))
    refined = refine(made_mixtures(2, 2), vectors / n, np.arange(n) % 2, seed=0)
    assert all(np.isfinite(mixture.means).all() for mixture in refined)
