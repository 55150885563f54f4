"""Expectation maximisation of mixtures with diagonal covariances (Dempster, Laird and Rubin, 1977).

The mixtures are those of `sklearn.mixture.GaussianMixture`, up to rounding, in a fraction of its time. With
precisions p, the log-density of a component is linear in x and x^2:

    log w + sum(log p - log 2 pi) / 2 - sum(m^2 p) / 2 + sum(m p x) - sum(p x^2) / 2

and the new weights, means and variances follow from the sums of responsibilities, and of these times x and x^2. So an
iteration is two products of matrices with rows (x, x^2), for a block of vectors at a time: everything in between stays
in the processor's cache, and needs no memory that grows with the number of vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array, FloatArray, IndexArray
from streamgmm.model.mixture import Mixture

BLOCK_VECTORS = 2048
"""Vectors that are processed at once; the best of 512 to 8192 with 16 and 64 components of 40 dimensions."""

MAX_CLUSTERED_VECTORS = 50_000
"""Most vectors that k-means sees: it only finds where to start."""

MIN_GAIN = 1e-3
"""Iterations end when the mean log-likelihood (nat) changes by less; the default of scikit-learn."""

_EMPTY = 10.0 * np.finfo(np.float64).eps
"""Added to the number of vectors of each component, so that none is divided by 0."""


class _Sums(NamedTuple):
    """Sums over vectors, weighted by the responsibility of each component.

    Attributes:
        counts: (k,), of responsibilities alone.
        moments: (k, 2 d), of vectors, and of their squares.
        log_likelihood: of all vectors, not weighted (nat).
    """

    counts: Float64Array
    moments: Float64Array
    log_likelihood: float = 0.0


def fit_diagonal(
    vectors: FloatArray, n_components: int, *, seed: int, variance_floor: float, max_iterations: int
) -> Mixture:
    """Fit a mixture that begins with the clusters of k-means.

    Args:
        vectors: float32 or float64, shape (n, d), n >= n_components; products have its precision, sums float64.
        n_components: of the mixture.
        seed: of k-means.
        variance_floor: added to all variances.
        max_iterations: of expectation maximisation, at most.
    """
    from sklearn.cluster import KMeans  # imported here: see `unconverged_allowed`

    # Every n-th vector: evenly from the whole.
    some = vectors[:: 1 + (len(vectors) - 1) // MAX_CLUSTERED_VECTORS]
    clusters = KMeans(n_components, n_init=1, random_state=seed).fit(some).labels_
    start = _as_mixture(_sums_of_clusters(some, clusters, n_components), variance_floor)
    return maximise(vectors, start, variance_floor=variance_floor, max_iterations=max_iterations)


def spread_mixture(vectors: FloatArray, n_components: int, *, seed: int, variance_floor: float) -> Mixture:
    """Return a mixture to start from: vectors far from each other (k-means++: Arthur and Vassilvitskii, SODA, 2007).

    Args:
        vectors: shape (n, d), n >= n_components.
        n_components: of the mixture; all have equal weights.
        seed: of the draws.
        variance_floor: all variances.
    """
    from sklearn.cluster import kmeans_plusplus  # imported here: see `unconverged_allowed`

    means, _ = kmeans_plusplus(vectors, n_components, random_state=seed)
    shape = means.shape
    return Mixture(np.full(n_components, 1.0 / n_components), means, np.full(shape, variance_floor), "diag")


def maximise(vectors: FloatArray, start: Mixture, *, variance_floor: float, max_iterations: int) -> Mixture:
    """Improve a mixture until the log-likelihood of `vectors` hardly changes.

    Args:
        vectors: float32 or float64, shape (n, d); products have its precision, sums float64.
        start: a diagonal mixture.
        variance_floor: added to all variances.
        max_iterations: at most.
    """
    mixture, before = start, -np.inf
    for _ in range(max_iterations):
        sums = _expectation(vectors, mixture)
        mixture = _as_mixture(sums, variance_floor)
        mean = sums.log_likelihood / len(vectors)
        if abs(mean - before) < MIN_GAIN:
            break
        before = mean
    return mixture


def _expectation(vectors: FloatArray, mixture: Mixture) -> _Sums:
    weights, means, variances = mixture.weights, mixture.means, mixture.covariances
    n_dimensions = means.shape[1]
    slopes = np.concatenate([means / variances, -0.5 / variances], axis=1).T.astype(vectors.dtype)
    spans = np.log(variances).sum(axis=1) + (np.square(means) / variances).sum(axis=1)
    offsets = (np.log(weights) - 0.5 * (n_dimensions * np.log(2.0 * np.pi) + spans)).astype(vectors.dtype)
    counts = np.zeros(len(means))
    moments = np.zeros((len(means), 2 * n_dimensions))
    total = 0.0
    for block in _blocks(vectors):
        # In place: from log-densities to responsibilities.
        shares = block @ slopes
        shares += offsets
        tops = shares.max(axis=1, keepdims=True)
        shares -= tops
        np.exp(shares, out=shares)
        sums = shares.sum(axis=1, keepdims=True)
        shares /= sums
        total += float(tops.sum(dtype=np.float64) + np.log(sums).sum(dtype=np.float64))
        counts += shares.sum(axis=0, dtype=np.float64)
        moments += shares.T @ block
    return _Sums(counts, moments, total)


def _sums_of_clusters(vectors: FloatArray, clusters: IndexArray, n_components: int) -> _Sums:
    moments = np.zeros((n_components, 2 * vectors.shape[1]))
    one_of = np.eye(n_components, dtype=vectors.dtype)
    for i, block in enumerate(_blocks(vectors)):
        moments += one_of[clusters[i * BLOCK_VECTORS : (i + 1) * BLOCK_VECTORS]].T @ block
    return _Sums(np.bincount(clusters, minlength=n_components).astype(np.float64), moments)


def _blocks(vectors: FloatArray) -> Iterator[FloatArray]:
    """Yield blocks of rows (x, x^2), all in one array that the next block overwrites."""
    n, d = vectors.shape
    rows = np.empty((min(n, BLOCK_VECTORS), 2 * d), vectors.dtype)
    for first in range(0, n, BLOCK_VECTORS):
        some = vectors[first : first + BLOCK_VECTORS]
        block = rows[: len(some)]
        block[:, :d] = some
        np.square(some, out=block[:, d:])
        yield block


def _as_mixture(sums: _Sums, variance_floor: float) -> Mixture:
    counts = sums.counts + _EMPTY
    means, squares = np.split(sums.moments / counts[:, np.newaxis], 2, axis=1)
    # Rounding may leave a variance of nothing a little below 0.
    variances = np.maximum(squares - np.square(means), 0.0) + variance_floor
    return Mixture(counts / counts.sum(), means, variances, "diag")
