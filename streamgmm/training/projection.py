"""The linear map from features to the few dimensions in which the mixtures live."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from streamgmm.model.projection import Projection

Array = npt.NDArray[np.float64]

MIN_DEVIATION = 1e-6


def fit_projection(
    vectors: Array, class_indices: npt.NDArray[np.intp], *, shrinkage: float, n_extra: int
) -> Projection:
    """Standardise, then discriminate, then add what varies most besides.

    Linear discriminant analysis (Fisher, 1936; Rao, 1948) with equal weight for every class, and the
    within-class covariance drawn towards a sphere (Friedman, JASA, 1989); then the leading principal
    components of what it leaves aside, which tell known sounds from unknown ones. All outputs have
    unit variance.

    Args:
        vectors: shape (n, n_features).
        class_indices: shape (n,), from 0.
        shrinkage: 0 is plain, 1 ignores the covariance.
        n_extra: number of principal components added.

    Returns:
        A projection to n_classes - 1 + n_extra dimensions, or fewer if there are not as many features.
    """
    mean, scale = vectors.mean(axis=0), np.maximum(vectors.std(axis=0), MIN_DEVIATION)
    standard = (vectors - mean) / scale
    discriminants = _discriminants(standard, class_indices, shrinkage)
    matrix = np.hstack([discriminants, _principal_rest(standard, discriminants, n_extra)])
    return Projection(mean, scale, matrix / np.maximum((standard @ matrix).std(axis=0), MIN_DEVIATION))


def _discriminants(standard: Array, class_indices: npt.NDArray[np.intp], shrinkage: float) -> Array:
    n_classes = int(class_indices.max()) + 1
    members = [standard[class_indices == i] for i in range(n_classes)]
    means = np.array([vectors.mean(axis=0) for vectors in members])
    within = np.mean([np.cov(vectors, rowvar=False, bias=True) for vectors in members], axis=0)
    sphere = np.trace(within) / len(within) * np.eye(len(within))
    within = (1.0 - shrinkage) * within + (shrinkage + MIN_DEVIATION) * sphere
    n_directions = min(n_classes - 1, len(within))
    if not n_directions:
        return np.zeros((len(within), 0))
    between = np.cov(means, rowvar=False, bias=True)
    _, directions = eigh(between, within, subset_by_index=[len(within) - n_directions, len(within) - 1])
    return _with_fixed_signs(directions[:, ::-1])


def _principal_rest(standard: Array, taken: Array, n_extra: int) -> Array:
    n_extra = min(n_extra, standard.shape[1] - taken.shape[1])
    basis, _ = np.linalg.qr(taken)
    rest = standard - (standard @ basis) @ basis.T
    covariance = np.cov(rest, rowvar=False, bias=True)
    if not n_extra:
        return np.zeros((len(covariance), 0))
    _, directions = eigh(covariance, subset_by_index=[len(covariance) - n_extra, len(covariance) - 1])
    return _with_fixed_signs(directions[:, ::-1])


def _with_fixed_signs(directions: Array) -> Array:
    """Eigenvectors are unique but for their sign: make the largest entry of each positive."""
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    return np.asarray(directions * np.where(largest < 0, -1.0, 1.0))
