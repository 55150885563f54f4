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

N_NOISE_BATCHES = 64
"""So much noise is drawn once, and each batch gets a part of it from a random place on: to draw it for each batch takes
half as long as all else in a step."""


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
        noise = self._rng.standard_normal(N_NOISE_BATCHES * self._size * projected.shape[1], dtype=np.float32)
        self._noise = np.float32(NOISE_DEVIATION) * noise
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
        vectors = _mixed(self._vectors.take(own, axis=0), self._vectors.take(other, axis=0), shares)
        first = self._rng.integers(len(self._noise) - vectors.size + 1)
        vectors += self._noise[first : first + vectors.size].reshape(vectors.shape)
        of_own, of_other = (self._targets.take(self._class_indices.take(one), axis=0) for one in (own, other))
        return _Batch(vectors, _mixed(of_own, of_other, shares))


def _mixed(own: Float32Array, other: Float32Array, shares: Float32Array) -> Float32Array:
    """Return the rows of `own` with their `shares`, and those of `other` with the rest."""
    mixed: Float32Array = own - other
    mixed *= shares
    mixed += other
    return mixed


class _Mixtures:
    """All mixtures as joint arrays, with the gradients of the loss.

    Arrays that have a value of each component for each vector have a row for each component: the largest of a mixture,
    and sums over it, then are operations on whole rows.
    """

    def __init__(self, mixtures: Sequence[Mixture]) -> None:
        counts = [mixture.n_components for mixture in mixtures]
        # Components of one mixture are adjacent: `reduceat` over the starts sums them, `owners` spreads sums again.
        self._starts = np.cumsum([0, *counts[:-1]])
        self._owners = np.repeat(np.arange(len(mixtures)), counts)
        self._parts = [slice(start, start + count) for start, count in zip(self._starts, counts, strict=True)]
        # For many vectors, a product with a matrix of ones and zeros sums in a sixth of the time of `reduceat`.
        self._memberships = (self._owners == np.arange(len(mixtures))[:, np.newaxis]).astype(np.float32)
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

    def _coefficients(self) -> Float32Array:
        """Return what `_terms` are multiplied by in the log-likelihoods of the components, shape (k, 2 d + 1)."""
        means, log_deviations, _ = self.parameters
        # -|x - m|^2 / 2 s^2 multiplied out; without -d/2 log(2 pi), which cancels in the posterior.
        precisions = np.exp(-2.0 * log_deviations)
        slopes = means * precisions
        offsets = self._log_weights() - log_deviations.sum(axis=1) - 0.5 * (means * slopes).sum(axis=1)
        return np.hstack([-0.5 * precisions, slopes, offsets[:, np.newaxis]])

    def _likelihoods(self, terms: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return log-likelihoods (n_labels, n), and responsibilities of components within their mixture (k, n)."""
        weighted = self._coefficients() @ terms.T
        # The largest term is factored out, or `exp` would underflow far from all components.
        tops = np.stack([weighted[own].max(axis=0) for own in self._parts])
        weighted -= tops.take(self._owners, axis=0)
        odds = np.exp(weighted, out=weighted)
        sums = self._memberships @ odds
        odds /= sums.take(self._owners, axis=0)
        return tops + np.log(sums), odds

    def gradients(self, batch: _Batch) -> _Parameters:
        """Return the gradients of the mean cross-entropy between scaled posterior and targets."""
        terms = _terms(batch.vectors)
        log_likelihoods, by_likelihood = self._likelihoods(terms)
        posteriors = softmax(LIKELIHOOD_SCALE * log_likelihoods.T)
        # Targets of a row sum up to its weight, not to 1.
        totals = batch.targets.sum(axis=1, keepdims=True)
        excess = LIKELIHOOD_SCALE / len(batch.vectors) * (posteriors * totals - batch.targets)
        by_likelihood *= excess.T.take(self._owners, axis=0)
        return self._parameter_gradients(by_likelihood @ terms)

    def _parameter_gradients(self, moments: Float32Array) -> _Parameters:
        """Apply the chain rule, from loss gradients by log-likelihoods of components to those by parameters.

        Args:
            moments: sums of the former times `_terms`, shape (k, 2 d + 1).
        """
        means, log_deviations, _ = self.parameters
        # The log-likelihood of a component has the derivatives (x - m) / s^2 by its mean and (x - m)^2 / s^2 - 1 by its
        # log deviation; both are sums of moments, multiplied out as above.
        n = means.shape[1]
        seconds, firsts, totals = moments[:, :n], moments[:, n:-1], moments[:, -1:]
        precisions = np.exp(-2.0 * log_deviations)
        of_means = (firsts - totals * means) * precisions
        deviations = seconds - 2.0 * firsts * means + totals * np.square(means)
        of_log_deviations = deviations * precisions - totals
        # Derivative of a softmax: the share of the component itself, less its weight times the share of its mixture.
        of_labels = np.add.reduceat(totals[:, 0], self._starts)
        of_logits = totals[:, 0] - np.exp(self._log_weights()) * of_labels[self._owners]
        return _Parameters(of_means, of_log_deviations, of_logits)

    def mixtures(self) -> list[Mixture]:
        """Return the current mixtures."""
        means, log_deviations, _ = (array.astype(np.float64) for array in self.parameters)
        weights = np.exp(self._log_weights().astype(np.float64))
        variances = np.exp(2.0 * log_deviations)
        return [Mixture(weights[one] / weights[one].sum(), means[one], variances[one], "diag") for one in self._parts]


def _terms(vectors: Float32Array) -> Float32Array:
    """Return the squares of vectors (n, d), the vectors, and ones: what log-likelihoods are linear in; (n, 2 d + 1)."""
    n = vectors.shape[1]
    terms = np.empty((len(vectors), 2 * n + 1), dtype=vectors.dtype)
    np.square(vectors, out=terms[:, :n])
    terms[:, n:-1] = vectors
    terms[:, -1] = 1.0
    return terms
