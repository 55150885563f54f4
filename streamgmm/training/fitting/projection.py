"""Fit the linear projection from features to the few dimensions of the mixtures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from streamgmm.arrays import Float64Array, FloatArray, IndexArray
from streamgmm.model.projection import Projection

MIN_DEVIATION = 1e-6
"""Least standard deviation that is divided by; a constant feature has less."""


class Moments(NamedTuple):
    """The moments that determine a projection; covariances and class means are of standardised features.

    Attributes:
        mean: (f,) of all vectors, not standardised.
        scale: (f,) standard deviations of all vectors, at least `MIN_DEVIATION`.
        class_means: (n_classes, f).
        class_deviations: (n_classes, f).
        within: (f, f) mean of the class covariances, with equal weights.
        total: (f, f) covariance of all vectors.
    """

    mean: Float64Array
    scale: Float64Array
    class_means: Float64Array
    class_deviations: Float64Array
    within: Float64Array
    total: Float64Array


def measure_moments(vectors: FloatArray, class_indices: IndexArray) -> Moments:
    """Measure the moments of vectors (n, f), at least one per class, in float64."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    means, covariances, shares = [], [], []
    for index in range(int(class_indices.max()) + 1):
        # One class at a time: centring all vectors at once would copy the whole training set in double precision.
        centred = vectors[class_indices == index] - mean
        means.append(centred.mean(axis=0))
        shares.append(len(centred) / len(vectors))
        centred -= means[-1]
        covariances.append(centred.T @ centred / len(centred))
    # The law of total variance, from class moments: no second pass over the vectors.
    total = np.asarray(
        sum(share * (c + np.outer(m, m)) for share, c, m in zip(shares, covariances, means, strict=True))
    )
    scale = np.maximum(np.sqrt(total.diagonal()), MIN_DEVIATION)
    deviations = np.sqrt([np.diagonal(covariance) for covariance in covariances])
    # Covariances of standardised features are those of the features divided by both deviations.
    squares = np.outer(scale, scale)
    return Moments(
        mean,
        scale,
        np.array(means) / scale,
        deviations / scale,
        np.mean(covariances, axis=0) / squares,
        total / squares,
    )


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
