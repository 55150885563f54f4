"""Fit the linear projection from features to the few dimensions of the mixtures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import eigh

from streamgmm.arrays import Float64Array, FloatArray
from streamgmm.model.projection import Projection

if TYPE_CHECKING:
    from streamgmm.training.fitting.network import Network

MIN_DEVIATION = 1e-6
"""Least standard deviation that is divided by; a constant feature has less."""


@dataclass(frozen=True, eq=False)
class Moments:
    """The moments that determine a projection; covariances and class means are of standardised features.

    Attributes:
        mean: (f,) of all vectors, not standardised.
        scale: (f,) standard deviations of all vectors, at least `MIN_DEVIATION`.
        class_means: (n_classes, f).
        class_deviations: (n_classes, f).
        within: (f, f) mean of the class covariances, with equal weights.
        total: (f, f) covariance of all vectors.
        projections: those that were fitted to the moments, by shrinkage and number of further components: fits to the
            same windows often differ in their mixtures alone.
        networks: those that were trained on the windows of the moments, by number of labels and seed, likewise.
        wide_projections: as `projections`, of the features with those that the network of these labels and seed adds.
    """

    mean: Float64Array
    scale: Float64Array
    class_means: Float64Array
    class_deviations: Float64Array
    within: Float64Array
    total: Float64Array
    projections: dict[tuple[float, int], Projection] = field(default_factory=dict)
    networks: dict[tuple[int, int], Network] = field(default_factory=dict)
    wide_projections: dict[tuple[int, int, float, int], Projection] = field(default_factory=dict)


class ClassMoments(NamedTuple):
    """The moments of the vectors of one class, in float64.

    Attributes:
        n_vectors: number of vectors, at least 1.
        mean: (f,).
        covariance: (f, f).
    """

    n_vectors: int
    mean: Float64Array
    covariance: Float64Array


def measure_class(blocks: Iterable[FloatArray]) -> ClassMoments:
    """Measure the moments of the vectors of one class, in blocks of shape (n, f), n >= 1."""
    blocks = iter(blocks)
    first = next(blocks)
    # Relative to the mean of the first block: of vectors far from 0, the squares would lose digits.
    origin = first.mean(axis=0, dtype=np.float64)
    n_vectors, sums, products = 0, np.zeros_like(origin), np.zeros((len(origin), len(origin)))
    for block in chain([first], blocks):
        centred = block - origin
        n_vectors += len(block)
        sums += centred.sum(axis=0)
        products += centred.T @ centred
    offset = sums / n_vectors
    return ClassMoments(n_vectors, origin + offset, products / n_vectors - np.outer(offset, offset))


def pooled(parts: Sequence[ClassMoments]) -> ClassMoments:
    """Return the moments of the vectors of all parts together, of which there is at least one."""
    n_vectors = sum(part.n_vectors for part in parts)
    mean = np.asarray(sum(part.n_vectors / n_vectors * part.mean for part in parts))
    covariance = np.zeros_like(parts[0].covariance)
    # The law of total variance.
    for part in parts:
        covariance += part.n_vectors / n_vectors * (part.covariance + np.outer(part.mean - mean, part.mean - mean))
    return ClassMoments(n_vectors, mean, covariance)


class MomentSums:
    """Adds up the moments of classes, in their order."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._means: list[Float64Array] = []
        self._variances: list[Float64Array] = []
        self._within: Float64Array | float = 0.0
        self._weighted: Float64Array | float = 0.0

    def add(self, moments: ClassMoments) -> None:
        """Add the next class."""
        self._counts.append(moments.n_vectors)
        self._means.append(moments.mean)
        # Rounding may leave a variance of nothing a little below 0.
        self._variances.append(np.maximum(moments.covariance.diagonal(), 0.0))
        self._within = self._within + moments.covariance
        self._weighted = self._weighted + moments.n_vectors * moments.covariance

    def moments(self) -> Moments:
        """Return the moments of all classes that were added, of which there is at least one."""
        shares, means = np.array(self._counts) / sum(self._counts), np.array(self._means)
        mean = shares @ means
        means -= mean
        # The law of total variance.
        total = self._weighted / sum(self._counts) + (shares[:, np.newaxis] * means).T @ means
        scale = np.maximum(np.sqrt(np.maximum(total.diagonal(), 0.0)), MIN_DEVIATION)
        # Covariances of standardised features are those of the features divided by both deviations.
        squares = np.outer(scale, scale)
        return Moments(
            mean,
            scale,
            means / scale,
            np.sqrt(self._variances) / scale,
            self._within / len(means) / squares,
            total / squares,
        )


def measure_moments(classes: Iterable[Iterable[FloatArray]]) -> Moments:
    """Measure the moments of the vectors of classes, each in blocks as in `measure_class`."""
    sums = MomentSums()
    for blocks in classes:
        sums.add(measure_class(blocks))
    return sums.moments()


def fit_projection(moments: Moments, *, shrinkage: float, n_extra: int) -> Projection:
    """Fit discriminants and principal components of standardised features.

    Linear discriminant analysis (Fisher, 1936; Rao, 1948) with equal class weights and a within-class covariance shrunk
    towards a multiple of the identity (Friedman, JASA, 1989); then the leading principal components of the space
    orthogonal to the discriminants, which help to separate known sounds from unknown ones. All outputs have unit
    variance.

    Args:
        moments: of the vectors.
        shrinkage: 0 for the plain covariance, 1 to ignore it.
        n_extra: number of principal components added.

    Returns:
        A projection to n_classes - 1 + n_extra dimensions, or fewer if there are fewer features.
    """
    key = (shrinkage, n_extra)
    if key not in moments.projections:
        moments.projections[key] = _fit_projection(moments, shrinkage, n_extra)
    return moments.projections[key]


def _fit_projection(moments: Moments, shrinkage: float, n_extra: int) -> Projection:
    discriminants = _discriminants(moments, shrinkage)
    matrix = np.hstack([discriminants, _principal_rest(moments.total, discriminants, n_extra)])
    # Constant features get no weight: dividing their rounding errors by MIN_DEVIATION would make them large.
    matrix[moments.total.diagonal() < 0.5] = 0.0
    # The variance of each output, shape (d,): the diagonal of matrix.T @ total @ matrix.
    variances = np.einsum("fd,fd->d", matrix, moments.total @ matrix)
    return Projection(moments.mean, moments.scale, matrix / np.maximum(np.sqrt(variances), MIN_DEVIATION))


def _discriminants(moments: Moments, shrinkage: float) -> Float64Array:
    within = moments.within
    sphere = np.trace(within) / len(within) * np.eye(len(within))
    # A little of the identity even without shrinkage: constant features make the covariance singular.
    within = (1.0 - shrinkage) * within + (shrinkage + MIN_DEVIATION) * sphere
    n_directions = min(len(moments.class_means) - 1, len(within))
    if not n_directions:
        return np.zeros((len(within), 0))
    # Covariance of the class means, with equal weights; its rank is at most the number of classes less one.
    between = np.cov(moments.class_means, rowvar=False, bias=True)
    # The generalised eigenproblem between @ v = w * within @ v. Eigenvalues rise, so the last ones separate best.
    _, directions = eigh(between, within, subset_by_index=[len(within) - n_directions, len(within) - 1])
    return _with_fixed_signs(directions[:, ::-1])


def _principal_rest(total: Float64Array, taken: Float64Array, n_extra: int) -> Float64Array:
    n_extra = min(n_extra, len(total) - taken.shape[1])
    if not n_extra:
        return np.zeros((len(total), 0))
    # Orthonormal first: discriminants are orthogonal in the metric of `within`, not in that of the features.
    basis, _ = np.linalg.qr(taken)
    # Projector onto the complement of the discriminants.
    rest = np.eye(len(total)) - basis @ basis.T
    _, directions = eigh(rest @ total @ rest, subset_by_index=[len(total) - n_extra, len(total) - 1])
    return _with_fixed_signs(directions[:, ::-1])


def _with_fixed_signs(directions: Float64Array) -> Float64Array:
    """Flip eigenvectors so that the largest entry of each is positive: LAPACK versions return different signs."""
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    return np.asarray(directions * np.where(largest < 0, -1.0, 1.0))
