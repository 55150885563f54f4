"""The linear map from features to the few dimensions in which the mixtures live."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from streamgmm.arrays import Float64Array, FloatArray, IndexArray
from streamgmm.model.projection import Projection

MIN_DEVIATION = 1e-6


class Moments(NamedTuple):
    """What a projection follows from; covariances and class means are those of standardised features.

    Attributes:
        mean: (f,) of all vectors.
        scale: (f,) their deviations.
        class_means: (n_classes, f).
        class_deviations: (n_classes, f).
        within: (f, f) mean of the covariances of the classes, each weighing alike.
        total: (f, f) covariance of all vectors.
    """

    mean: Float64Array
    scale: Float64Array
    class_means: Float64Array
    class_deviations: Float64Array
    within: Float64Array
    total: Float64Array


def measure_moments(vectors: FloatArray, class_indices: IndexArray) -> Moments:
    """The moments of vectors (n, f), each class having at least one; computed in float64."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    means, covariances, shares = [], [], []
    for index in range(int(class_indices.max()) + 1):
        # One class at a time, so that no second copy of everything is made.
        centred = vectors[class_indices == index] - mean
        means.append(centred.mean(axis=0))
        shares.append(len(centred) / len(vectors))
        centred -= means[-1]
        covariances.append(centred.T @ centred / len(centred))
    total = np.asarray(
        sum(share * (c + np.outer(m, m)) for share, c, m in zip(shares, covariances, means, strict=True))
    )
    scale = np.maximum(np.sqrt(total.diagonal()), MIN_DEVIATION)
    deviations = np.sqrt([np.diagonal(covariance) for covariance in covariances])
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
    """Standardise, then discriminate, then add what varies most besides.

    Linear discriminant analysis (Fisher, 1936; Rao, 1948) with equal weight for every class, and the
    within-class covariance drawn towards a sphere (Friedman, JASA, 1989); then the leading principal
    components of what it leaves aside, which tell known sounds from unknown ones. All outputs have
    unit variance.

    Args:
        moments: of the vectors.
        shrinkage: 0 is plain, 1 ignores the covariance.
        n_extra: number of principal components added.

    Returns:
        A projection to n_classes - 1 + n_extra dimensions, or fewer if there are not as many features.
    """
    discriminants = _discriminants(moments, shrinkage)
    matrix = np.hstack([discriminants, _principal_rest(moments.total, discriminants, n_extra)])
    # What never varied has no say: a rounding error in its place would be divided by the least deviation there is.
    matrix[moments.total.diagonal() < 0.5] = 0.0
    variances = np.einsum("fd,fd->d", matrix, moments.total @ matrix)
    return Projection(moments.mean, moments.scale, matrix / np.maximum(np.sqrt(variances), MIN_DEVIATION))


def _discriminants(moments: Moments, shrinkage: float) -> Float64Array:
    within = moments.within
    sphere = np.trace(within) / len(within) * np.eye(len(within))
    within = (1.0 - shrinkage) * within + (shrinkage + MIN_DEVIATION) * sphere
    n_directions = min(len(moments.class_means) - 1, len(within))
    if not n_directions:
        return np.zeros((len(within), 0))
    between = np.cov(moments.class_means, rowvar=False, bias=True)
    _, directions = eigh(between, within, subset_by_index=[len(within) - n_directions, len(within) - 1])
    return _with_fixed_signs(directions[:, ::-1])


def _principal_rest(total: Float64Array, taken: Float64Array, n_extra: int) -> Float64Array:
    n_extra = min(n_extra, len(total) - taken.shape[1])
    if not n_extra:
        return np.zeros((len(total), 0))
    basis, _ = np.linalg.qr(taken)
    rest = np.eye(len(total)) - basis @ basis.T
    _, directions = eigh(rest @ total @ rest, subset_by_index=[len(total) - n_extra, len(total) - 1])
    return _with_fixed_signs(directions[:, ::-1])


def _with_fixed_signs(directions: Float64Array) -> Float64Array:
    """Eigenvectors are unique but for their sign: make the largest entry of each positive."""
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    return np.asarray(directions * np.where(largest < 0, -1.0, 1.0))
