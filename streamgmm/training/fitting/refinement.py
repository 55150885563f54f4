"""Discriminative refinement of the mixtures that expectation maximisation has fitted.

Expectation maximisation makes each mixture likely for its own label, regardless of the other labels. Refinement moves
the same means, variances and weights along the gradient of the cross-entropy of the posterior, known in speech
recognition as maximum mutual information training (Bahl, Brown, de Souza and Mercer, ICASSP, 1986). The result is still
one Gaussian mixture per label. Against overfitting to single recordings, windows are mixed in pairs (mixup: Zhang et
al., ICLR, 2018), labels smoothed (Szegedy et al., CVPR, 2016) and noise added to the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float32Array, FloatArray, IndexArray, softmax
from streamgmm.model.mixture import Mixture
from streamgmm.training.fitting.adam import Adam

LIKELIHOOD_SCALE = 0.2
"""Factor on log-likelihoods in the trained posterior: windows overlap, so plain likelihoods are overconfident."""

LEARNING_RATE = 0.01
"""At the start, in units of the standard deviation of projected vectors."""

BATCH_SIZE = 256
N_EPOCHS = 8
MIN_STEPS, MAX_STEPS = 200, 6000
"""Limits on the number of batches: small training sets get more epochs, very large ones fewer."""

MIXUP_SHAPE = 0.4
"""Both shape parameters of the beta distribution of mixing weights."""

LABEL_SMOOTHING = 0.05
NOISE_DEVIATION = 0.3
"""Standard deviation of the noise added to projected vectors, whose own is 1."""


class _Parameters(NamedTuple):
    """Parameters of all components; logarithms and logits keep variances and weights positive whatever the step.

    Attributes:
        means: (k, d).
        log_deviations: (k, d), logarithms of standard deviations.
        logits: (k,), of the weights within each mixture.
    """

    means: Float32Array
    log_deviations: Float32Array
    logits: Float32Array


class _Batch(NamedTuple):
    """Vectors (n, d), and their weighted target probabilities (n, n_labels)."""

    vectors: Float32Array
    targets: Float32Array


class _Terms(NamedTuple):
    """What both the likelihoods and the gradients of a batch are made from.

    Attributes:
        vectors: (n, d).
        squares: (n, d), of the vectors.
        precisions: (k, d), one over the variances of the components.
        log_weights: (k,), of the components within their mixture.
    """

    vectors: Float32Array
    squares: Float32Array
    precisions: Float32Array
    log_weights: Float32Array


def refine(
    mixtures: Sequence[Mixture], projected: FloatArray, class_indices: IndexArray, *, seed: int
) -> list[Mixture]:
    """Refine mixtures to separate the labels; labels have equal weight, whatever their number of windows.

    Args:
        mixtures: one per label, diagonal.
        projected: shape (n, d), of unit variance.
        class_indices: shape (n,), index of the label of each vector.
        seed: of order, mixing and noise.
    """
    joint = _Mixtures(mixtures)
    batches = _Batches(projected, class_indices, len(mixtures), seed)
    optimiser = Adam(joint.parameters, LEARNING_RATE, batches.n_steps)
    # The smallest fitted variance is the floor: the gradient would shrink components to single recordings.
    narrowest = joint.parameters.log_deviations.min()
    for batch in batches:
        moved = _Parameters(*optimiser.step(joint.parameters, joint.gradients(batch)))
        joint.parameters = moved._replace(log_deviations=np.maximum(moved.log_deviations, narrowest))
    return joint.mixtures()


class _Batches:
    """Batches drawn without replacement in each epoch, with mixup and noise."""

    def __init__(self, projected: FloatArray, class_indices: IndexArray, n_labels: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._vectors = projected.astype(np.float32, copy=False)
        self._class_indices = class_indices
        # Row i holds the targets of label i: most for the label itself, the rest in equal parts.
        smoothed = (1.0 - LABEL_SMOOTHING) * np.eye(n_labels) + LABEL_SMOOTHING / n_labels
        counts = np.bincount(class_indices, minlength=n_labels)
        # Weights of 1 in the mean, so that the learning rate does not depend on how the labels are balanced.
        shares = len(projected) / (n_labels * np.maximum(1, counts))
        self._targets = (smoothed * shares[:, np.newaxis]).astype(np.float32)
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
        # The rest of an epoch that is smaller than a batch is dropped; the next epoch has another order.
        if len(self._order) < self._size:
            self._order = self._rng.permutation(len(self._vectors))
        own, self._order = self._order[: self._size], self._order[self._size :]
        other = own[self._rng.permutation(self._size)]
        shares = self._rng.beta(MIXUP_SHAPE, MIXUP_SHAPE, (self._size, 1)).astype(np.float32)
        vectors = shares * self._vectors[own] + (1 - shares) * self._vectors[other]
        noise = self._rng.standard_normal(vectors.shape, dtype=np.float32)
        of_own, of_other = (self._targets[self._class_indices[one]] for one in (own, other))
        targets = shares * of_own + (1 - shares) * of_other
        return _Batch(vectors + np.float32(NOISE_DEVIATION) * noise, targets)


class _Mixtures:
    """All mixtures as joint arrays, with the gradients of the loss."""

    def __init__(self, mixtures: Sequence[Mixture]) -> None:
        counts = [mixture.n_components for mixture in mixtures]
        # Components of one mixture are adjacent: `reduceat` over the starts sums them, `owners` spreads sums again.
        self._starts = np.cumsum([0, *counts[:-1]])
        self._owners = np.repeat(np.arange(len(mixtures)), counts)
        self.parameters = _Parameters(
            np.concatenate([mixture.means for mixture in mixtures]).astype(np.float32),
            0.5 * np.log(np.concatenate([mixture.covariances for mixture in mixtures])).astype(np.float32),
            np.log(np.concatenate([mixture.weights for mixture in mixtures])).astype(np.float32),
        )

    def _log_weights(self) -> Float32Array:
        logits = self.parameters.logits
        # Softmax in logarithms, within each mixture.
        totals = np.logaddexp.reduceat(logits, self._starts)
        return np.asarray(logits - totals[self._owners])

    def _terms(self, vectors: Float32Array) -> _Terms:
        return _Terms(vectors, np.square(vectors), np.exp(-2.0 * self.parameters.log_deviations), self._log_weights())

    def _likelihoods(self, terms: _Terms) -> tuple[Float32Array, Float32Array]:
        """Return log-likelihoods (n, n_labels), and responsibilities of components within their mixture (n, k)."""
        means, log_deviations, _ = self.parameters
        vectors, squares, precisions, log_weights = terms
        # |x - m|^2 / s^2 multiplied out into matrix products; its constant part is in `norms`.
        distances = squares @ precisions.T - 2.0 * (vectors @ (means * precisions).T)
        # Without -d/2 log(2 pi): equal terms of all labels cancel in the posterior.
        norms = log_weights - log_deviations.sum(axis=1) - 0.5 * (np.square(means) * precisions).sum(axis=1)
        weighted = norms - 0.5 * distances
        # The largest term is factored out, or `exp` would underflow far from all components.
        tops = np.maximum.reduceat(weighted, self._starts, axis=1)
        odds = np.exp(weighted - tops[:, self._owners])
        sums = np.add.reduceat(odds, self._starts, axis=1)
        return tops + np.log(sums), odds / sums[:, self._owners]

    def gradients(self, batch: _Batch) -> _Parameters:
        """Return the gradients of the mean cross-entropy between scaled posterior and targets."""
        terms = self._terms(batch.vectors)
        log_likelihoods, shares = self._likelihoods(terms)
        posteriors = softmax(LIKELIHOOD_SCALE * log_likelihoods)
        # Targets of a row sum up to its weight, not to 1.
        totals = batch.targets.sum(axis=1, keepdims=True)
        excess = LIKELIHOOD_SCALE * (posteriors * totals - batch.targets) / np.float32(len(batch.vectors))
        return self._parameter_gradients(excess[:, self._owners] * shares, terms)

    def _parameter_gradients(self, by_likelihood: Float32Array, terms: _Terms) -> _Parameters:
        """Apply the chain rule: from loss gradients by log-likelihoods of components (n, k) to those by parameters."""
        means, precisions = self.parameters.means, terms.precisions
        # The log-likelihood of a component has the derivatives (x - m) / s^2 by its mean and (x - m)^2 / s^2 - 1 by its
        # log deviation; both are sums of moments, multiplied out as above.
        totals = by_likelihood.sum(axis=0)
        firsts, seconds = by_likelihood.T @ terms.vectors, by_likelihood.T @ terms.squares
        of_means = (firsts - totals[:, np.newaxis] * means) * precisions
        deviations = seconds - 2.0 * firsts * means + totals[:, np.newaxis] * np.square(means)
        of_log_deviations = deviations * precisions - totals[:, np.newaxis]
        # Derivative of a softmax: the share of the component itself, less its weight times the share of its mixture.
        of_labels = np.add.reduceat(totals, self._starts)
        of_logits = totals - np.exp(terms.log_weights) * of_labels[self._owners]
        return _Parameters(of_means, of_log_deviations, of_logits)

    def mixtures(self) -> list[Mixture]:
        """Return the current mixtures."""
        means, log_deviations, _ = (array.astype(np.float64) for array in self.parameters)
        weights = np.exp(self._log_weights().astype(np.float64))
        variances = np.exp(2.0 * log_deviations)
        parts = [slice(start, end) for start, end in zip(self._starts, [*self._starts[1:], len(means)], strict=True)]
        return [Mixture(weights[one] / weights[one].sum(), means[one], variances[one], "diag") for one in parts]
