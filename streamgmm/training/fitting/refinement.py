"""Mixtures moved to where they tell the labels apart, after expectation maximisation has put them where the data are.

Expectation maximisation makes each mixture likely for its own label and never looks at the others. Here the same
means, variances and weights follow the gradient of the cross-entropy of the labels' posterior: what speech
recognition calls training by maximum mutual information (Bahl, Brown, de Souza and Mercer, ICASSP, 1986). The
result is still one Gaussian mixture per label. The steps are those of Adam (Kingma and Ba, ICLR, 2015) with a
cosine schedule (Loshchilov and Hutter, ICLR, 2017); windows are mixed in pairs (mixup: Zhang et al., ICLR, 2018),
labels smoothed (Szegedy et al., CVPR, 2016) and vectors blurred, so that no mixture settles on single recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float32Array, Float64Array, IndexArray, softmax
from streamgmm.model.mixture import Mixture

LIKELIHOOD_SCALE = 0.2
"""Of log-likelihoods in the posterior that is trained: windows overlap, so plain likelihoods are far too sure."""

LEARNING_RATE = 0.01
"""At the start, in units of the projected data's deviation."""

FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8
"""Of Adam, as published."""

BATCH_SIZE = 256
N_EPOCHS = 8
MIN_STEPS, MAX_STEPS = 200, 6000
"""Few recordings are passed more often, very many not as often."""

MIXUP_SHAPE = 0.4
"""Both shapes of the beta distribution that says how two windows are mixed."""

LABEL_SMOOTHING = 0.05
NOISE_DEVIATION = 0.3
"""Of what is added to projected vectors, whose deviation is 1."""


class _Parameters(NamedTuple):
    """All mixtures end to end: (k, d) means, (k, d) logs of deviations, (k,) logits of weights within each mixture."""

    means: Float32Array
    log_deviations: Float32Array
    logits: Float32Array


class _Batch(NamedTuple):
    """Vectors (n, d), and how much each counts for each label (n, n_labels)."""

    vectors: Float32Array
    targets: Float32Array


def refine(
    mixtures: Sequence[Mixture], projected: Float64Array, class_indices: IndexArray, *, seed: int
) -> list[Mixture]:
    """The mixtures, refined to tell the labels apart; every label weighs alike, however many windows it has.

    Args:
        mixtures: one per label, diagonal.
        projected: shape (n, d), of unit variance.
        class_indices: shape (n,), labels of the vectors.
        seed: of order, mixing and noise.
    """
    bank = _Bank(mixtures)
    batches = _Batches(projected, class_indices, len(mixtures), seed)
    optimiser = _Adam(bank.parameters, batches.n_steps)
    # The smallest variance that fitting allowed stays the smallest: none shrinks to a single recording.
    narrowest = bank.parameters.log_deviations.min()
    for batch in batches:
        moved = optimiser.step(bank.parameters, bank.gradients(batch))
        bank.parameters = moved._replace(log_deviations=np.maximum(moved.log_deviations, narrowest))
    return bank.mixtures()


class _Batches:
    """Batches drawn without repetition from epoch to epoch, mixed and blurred."""

    def __init__(self, projected: Float64Array, class_indices: IndexArray, n_labels: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._vectors = projected.astype(np.float32)
        smoothed = (1.0 - LABEL_SMOOTHING) * np.eye(n_labels) + LABEL_SMOOTHING / n_labels
        counts = np.bincount(class_indices, minlength=n_labels)
        shares = len(projected) / (n_labels * np.maximum(1, counts))
        self._targets = (smoothed[class_indices] * shares[class_indices, np.newaxis]).astype(np.float32)
        self._size = min(BATCH_SIZE, len(projected))
        self.n_steps = int(np.clip(N_EPOCHS * (len(projected) // self._size), MIN_STEPS, MAX_STEPS))

    def __iter__(self) -> _Batches:
        self._n_left = self.n_steps
        self._order = np.zeros(0, dtype=np.intp)
        return self

    def __next__(self) -> _Batch:
        if not self._n_left:
            raise StopIteration
        self._n_left -= 1
        if len(self._order) < self._size:
            self._order = self._rng.permutation(len(self._vectors))
        own, self._order = self._order[: self._size], self._order[self._size :]
        other = own[self._rng.permutation(self._size)]
        shares = self._rng.beta(MIXUP_SHAPE, MIXUP_SHAPE, (self._size, 1)).astype(np.float32)
        vectors = shares * self._vectors[own] + (1 - shares) * self._vectors[other]
        noise = self._rng.standard_normal(vectors.shape, dtype=np.float32)
        targets = shares * self._targets[own] + (1 - shares) * self._targets[other]
        return _Batch(vectors + np.float32(NOISE_DEVIATION) * noise, targets)


class _Bank:
    """All mixtures as arrays of one kind, with the gradients of the loss."""

    def __init__(self, mixtures: Sequence[Mixture]) -> None:
        counts = [mixture.n_components for mixture in mixtures]
        self._starts = np.cumsum([0, *counts[:-1]])
        self._owners = np.repeat(np.arange(len(mixtures)), counts)
        self.parameters = _Parameters(
            np.concatenate([mixture.means for mixture in mixtures]).astype(np.float32),
            0.5 * np.log(np.concatenate([mixture.covariances for mixture in mixtures])).astype(np.float32),
            np.log(np.concatenate([mixture.weights for mixture in mixtures])).astype(np.float32),
        )

    def _log_weights(self) -> Float32Array:
        logits = self.parameters.logits
        totals = np.logaddexp.reduceat(logits, self._starts)
        return np.asarray(logits - totals[self._owners])

    def _likelihoods(self, vectors: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Log-likelihoods (n, n_labels), and the share of each component in its mixture (n, k)."""
        means, log_deviations, _ = self.parameters
        precisions = np.exp(-2.0 * log_deviations)
        distances = np.square(vectors) @ precisions.T - 2.0 * (vectors @ (means * precisions).T)
        norms = self._log_weights() - log_deviations.sum(axis=1) - 0.5 * (np.square(means) * precisions).sum(axis=1)
        weighted = norms - 0.5 * distances
        tops = np.maximum.reduceat(weighted, self._starts, axis=1)
        odds = np.exp(weighted - tops[:, self._owners])
        sums = np.add.reduceat(odds, self._starts, axis=1)
        return tops + np.log(sums), odds / sums[:, self._owners]

    def gradients(self, batch: _Batch) -> _Parameters:
        """Those of the mean cross-entropy of the scaled posterior to the targets."""
        log_likelihoods, shares = self._likelihoods(batch.vectors)
        posteriors = softmax(LIKELIHOOD_SCALE * log_likelihoods)
        wanted = batch.targets.sum(axis=1, keepdims=True)
        excess = LIKELIHOOD_SCALE * (posteriors * wanted - batch.targets) / np.float32(len(batch.vectors))
        return self._of_components(excess[:, self._owners] * shares, batch.vectors)

    def _of_components(self, pulls: Float32Array, vectors: Float32Array) -> _Parameters:
        """Gradients from how much more likely (n, k) each component should not be at each vector."""
        means, log_deviations, _ = self.parameters
        precisions = np.exp(-2.0 * log_deviations)
        totals = pulls.sum(axis=0)
        firsts, seconds = pulls.T @ vectors, pulls.T @ np.square(vectors)
        of_means = (firsts - totals[:, np.newaxis] * means) * precisions
        squares = seconds - 2.0 * firsts * means + totals[:, np.newaxis] * np.square(means)
        of_log_deviations = squares * precisions - totals[:, np.newaxis]
        of_labels = np.add.reduceat(totals, self._starts)
        of_logits = totals - np.exp(self._log_weights()) * of_labels[self._owners]
        return _Parameters(of_means, of_log_deviations, of_logits)

    def mixtures(self) -> list[Mixture]:
        """The mixtures as they stand."""
        means, log_deviations, _ = (array.astype(np.float64) for array in self.parameters)
        weights = np.exp(self._log_weights().astype(np.float64))
        variances = np.exp(2.0 * log_deviations)
        parts = [slice(start, end) for start, end in zip(self._starts, [*self._starts[1:], len(means)], strict=True)]
        return [Mixture(weights[one] / weights[one].sum(), means[one], variances[one], "diag") for one in parts]


class _Adam:
    """Steps against gradients, each number by its own measure, ever smaller ones."""

    def __init__(self, parameters: _Parameters, n_steps: int) -> None:
        self._n_steps = n_steps
        self._n_done = 0
        self._firsts = [np.zeros_like(array) for array in parameters]
        self._seconds = [np.zeros_like(array) for array in parameters]

    def step(self, parameters: _Parameters, gradients: _Parameters) -> _Parameters:
        """The parameters after one more step."""
        rate = 0.5 * LEARNING_RATE * (1.0 + np.cos(np.pi * self._n_done / self._n_steps))
        self._n_done += 1
        first_share, second_share = 1.0 - FIRST_DECAY**self._n_done, 1.0 - SECOND_DECAY**self._n_done
        moved = []
        for i, (array, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            self._firsts[i] += np.float32(1.0 - FIRST_DECAY) * (gradient - self._firsts[i])
            self._seconds[i] += np.float32(1.0 - SECOND_DECAY) * (np.square(gradient) - self._seconds[i])
            deviations = np.sqrt(self._seconds[i] / np.float32(second_share)) + np.float32(EPSILON)
            moved.append(array - np.float32(rate / first_share) * self._firsts[i] / deviations)
        return _Parameters(*moved)
