"""Gaussian mixtures: arrays that are checked once, and scored with numpy.

The formula is that of `sklearn.mixture.GaussianMixture.score_samples`: the log-density of each
component through the Cholesky factor of its precision, then the log-sum-exp over the components
(Bishop, Pattern Recognition and Machine Learning, 2006, section 9.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from streamgmm.arrays import Float64Array, log_sum_exp
from streamgmm.errors import DataError
from streamgmm.settings.training import Covariance

MIN_VARIANCE = 1e-9
"""Minimum variance; smaller ones belong to collapsed components (squared units of the projected data)."""

MAX_MAGNITUDE = 1e12
"""Largest magnitude in a model; up to it, no square or sum in a score can overflow."""

WEIGHT_TOLERANCE = 1e-6
SYMMETRY_TOLERANCE = 1e-9


def checked_numbers(values: npt.ArrayLike, what: str, shape: tuple[int, ...]) -> Float64Array:
    """Return a read-only float64 copy of `values`.

    Raises:
        DataError: `values` has another shape than `shape`, or a number that is not finite or above `MAX_MAGNITUDE`.
    """
    numbers = np.array(values, dtype=np.float64, order="C")
    if numbers.shape != shape:
        raise DataError(f"{what} has shape {numbers.shape}, expected {shape}")
    # In this form, because a comparison with NaN is false.
    if not (np.abs(numbers) <= MAX_MAGNITUDE).all():
        raise DataError(f"{what} holds a number that is not finite or exceeds {MAX_MAGNITUDE:g}")
    # Cached factors depend on the arrays, so the arrays must not change.
    numbers.setflags(write=False)
    return numbers


def covariance_shape(covariance_type: Covariance, n_components: int, n_dimensions: int) -> tuple[int, ...]:
    """Return the shape of the covariances of one mixture, which is that of scikit-learn."""
    return (n_components, *(n_dimensions,) * (2 if covariance_type == "full" else 1))


@dataclass(frozen=True, eq=False)
class Mixture:
    """An immutable Gaussian mixture.

    Attributes:
        weights: float64, shape (k,), positive, sum 1.
        means: float64, shape (k, d).
        covariances: float64, shape (k, d) for diag, (k, d, d) for full.
        covariance_type: selects the shape of `covariances`.

    Raises:
        DataError: a shape, weight or covariance is not valid.
    """

    weights: Float64Array
    means: Float64Array
    covariances: Float64Array
    covariance_type: Covariance

    def __post_init__(self) -> None:
        n_components, n_dimensions = self._sizes()
        shapes = {
            "weights": (n_components,),
            "means": (n_components, n_dimensions),
            "covariances": covariance_shape(self.covariance_type, n_components, n_dimensions),
        }
        for name, shape in shapes.items():
            object.__setattr__(self, name, checked_numbers(getattr(self, name), name, shape))
        self._check_weights()
        # Computed here, not at the first window, so that an invalid covariance is rejected at once.
        _ = self.precisions_cholesky

    def _sizes(self) -> tuple[int, int]:
        shape = np.shape(self.means)
        if len(shape) != 2 or 0 in shape:
            raise DataError(f"means has shape {shape}, expected (components, dimensions)")
        return shape[0], shape[1]

    def _check_weights(self) -> None:
        total = float(self.weights.sum())
        # A weight of 0 would have a logarithm of -inf.
        if (self.weights <= 0.0).any() or abs(total - 1.0) > WEIGHT_TOLERANCE:
            raise DataError(f"weights are not positive with sum 1 (sum {total:.9g})")

    @property
    def n_components(self) -> int:
        """Number of components, k."""
        return len(self.means)

    @property
    def n_dimensions(self) -> int:
        """Length of vectors, d."""
        return int(self.means.shape[1])

    @cached_property
    def precisions_cholesky(self) -> Float64Array:
        """Factors P with P P^T = inverse covariance: shape (k, d) if diagonal, else (k, d, d), upper triangular."""
        if self.covariance_type == "diag":
            _check_variances(self.covariances)
            return np.asarray(1.0 / np.sqrt(self.covariances))
        # Inverting the factor instead of the covariance loses half as many digits: its condition is the square root.
        factors = _cholesky(self.covariances)
        inverses = np.linalg.solve(factors, np.broadcast_to(np.eye(self.n_dimensions), factors.shape))
        return np.swapaxes(inverses, -1, -2)

    @cached_property
    def log_norms(self) -> Float64Array:
        """Log of weight times normalising constant of each component, shape (k,) (nat)."""
        factors = self.precisions_cholesky
        diagonals = factors if factors.ndim == 2 else np.diagonal(factors, axis1=1, axis2=2)
        # The determinant of a triangular matrix is the product of its diagonal.
        log_determinants = np.log(diagonals).sum(axis=1)
        norms: Float64Array = (
            np.log(self.weights) + log_determinants - 0.5 * self.n_dimensions * math.log(2.0 * math.pi)
        )
        return norms

    def log_likelihood(self, vectors: Float64Array) -> Float64Array:
        """Return the log-density at vectors, shape (n, d); shape (n,) (nat)."""
        return log_sum_exp(self._weighted_log_densities(vectors))

    def responsibilities(self, vectors: Float64Array) -> Float64Array:
        """Return posteriors of the components for vectors, shape (n, d); shape (n, k)."""
        weighted = self._weighted_log_densities(vectors)
        posteriors: Float64Array = np.exp(weighted - log_sum_exp(weighted)[:, np.newaxis])
        return posteriors

    def gradient(self, vectors: Float64Array) -> Float64Array:
        """Return the gradient of the log-density at vectors, shape (n, d); shape (n, d) (nat per unit).

        Each component contributes its precision times the deviation from its mean, weighted by its responsibility:
        eq. 9.16 of Bishop 2006, for the vector instead of the mean.
        """
        total = np.zeros_like(vectors)
        shares = self.responsibilities(vectors).T
        for share, mean, factor in zip(shares, self.means, self.precisions_cholesky, strict=True):
            deviations = mean - vectors
            # P P^T is the precision, so deviations are weighted by it without inverting a matrix again.
            pulls = deviations * np.square(factor) if factor.ndim == 1 else deviations @ factor @ factor.T
            total += share[:, np.newaxis] * pulls
        return total

    def _weighted_log_densities(self, vectors: Float64Array) -> Float64Array:
        """Return the log of weight times density of each component at vectors, shape (n, d); shape (n, k)."""
        distances = np.empty((len(vectors), self.n_components))
        # One component at a time limits the memory to n x d: training scores all its vectors at once.
        for component, (mean, factor) in enumerate(zip(self.means, self.precisions_cholesky, strict=True)):
            deviations = vectors - mean
            whitened = deviations * factor if factor.ndim == 1 else deviations @ factor
            distances[:, component] = np.einsum("nd,nd->n", whitened, whitened)
        weighted: Float64Array = self.log_norms - 0.5 * distances
        return weighted


class MixtureBank:
    """Scores all mixtures of a model together, one vector at a time.

    All calls compute with the same shapes, so that the same vector always gives bitwise the same result.

    Args:
        mixtures: mixtures of one covariance type and dimension; their numbers of components may differ.

    Raises:
        DataError: `mixtures` is empty, or the mixtures differ in covariance type or dimension.
    """

    def __init__(self, mixtures: Sequence[Mixture]) -> None:
        if len({(mixture.covariance_type, mixture.n_dimensions) for mixture in mixtures}) != 1:
            raise DataError("the mixtures of a model must share one covariance type and one dimension")
        counts = [mixture.n_components for mixture in mixtures]
        # Index of the first component of each mixture, and index of the mixture of each component.
        self._starts = np.cumsum([0, *counts[:-1]])
        self._owners = np.repeat(np.arange(len(mixtures)), counts)
        self._log_norms = np.concatenate([mixture.log_norms for mixture in mixtures])
        # The factor 1/2 of the exponent is part of the factors, which saves a product per vector.
        self._factors = math.sqrt(0.5) * np.concatenate([mixture.precisions_cholesky for mixture in mixtures])
        self._whitened_means = math.sqrt(0.5) * np.concatenate([_whitened_means(mixture) for mixture in mixtures])
        # Diagonal covariances: |x f - m|^2 is expanded, so that two matrix products serve all components.
        if self._factors.ndim == 2:
            self._of_squares = np.square(self._factors).T
            self._of_vectors = 2.0 * (self._factors * self._whitened_means).T
            self._constants = self._log_norms - np.square(self._whitened_means).sum(axis=1)

    @property
    def n_mixtures(self) -> int:
        """Number of mixtures."""
        return len(self._starts)

    def log_likelihoods(self, vector: Float64Array) -> Float64Array:
        """Return the log-density of one vector, shape (d,), under each mixture; shape (n_mixtures,) (nat)."""
        if self._factors.ndim == 2:
            weighted = self._constants - (np.square(vector) @ self._of_squares - vector @ self._of_vectors)
        else:
            # Means were whitened in the constructor: x P - m P instead of (x - m) P.
            whitened = np.matmul(vector, self._factors) - self._whitened_means
            weighted = self._log_norms - np.einsum("kd,kd->k", whitened, whitened)
        # Log-sum-exp over the components of each mixture, without a loop over mixtures.
        tops = np.maximum.reduceat(weighted, self._starts)
        sums = np.add.reduceat(np.exp(weighted - tops[self._owners]), self._starts)
        log_likelihoods: Float64Array = tops + np.log(sums)
        return log_likelihoods

    def log_likelihoods_of_many(self, vectors: Float64Array) -> Float64Array:
        """Return `log_likelihoods` of vectors, shape (n, d), up to rounding; shape (n, n_mixtures) (nat)."""
        # Full covariances have no such shortcut.
        if self._factors.ndim > 2:
            return np.array([self.log_likelihoods(vector) for vector in vectors]).reshape(
                len(vectors), len(self._starts)
            )
        distances = np.square(vectors) @ self._of_squares
        distances -= vectors @ self._of_vectors
        weighted = self._constants - distances
        tops = np.maximum.reduceat(weighted, self._starts, axis=1)
        sums = np.add.reduceat(np.exp(weighted - tops[:, self._owners]), self._starts, axis=1)
        log_likelihoods: Float64Array = tops + np.log(sums)
        return log_likelihoods


def _whitened_means(mixture: Mixture) -> Float64Array:
    """Return the means in coordinates in which each component is a standard normal, shape (k, d)."""
    factors = mixture.precisions_cholesky
    subscripts = "kd,kd->kd" if factors.ndim == 2 else "kd,kde->ke"
    return np.asarray(np.einsum(subscripts, mixture.means, factors), dtype=np.float64)


def _check_variances(variances: Float64Array) -> None:
    if (variances < MIN_VARIANCE).any():
        raise DataError(f"covariances holds a variance of {variances.min():g}, below {MIN_VARIANCE:g}")


def _cholesky(covariances: Float64Array) -> Float64Array:
    """Return the lower Cholesky factors of covariances, shape (..., d, d)."""
    # The factorisation reads one triangle only, and would not notice that the other differs.
    asymmetry = np.abs(covariances - np.swapaxes(covariances, -1, -2)).max()
    if asymmetry > SYMMETRY_TOLERANCE * np.abs(covariances).max():
        raise DataError("covariances holds a matrix that is not symmetric")
    try:
        factors = np.asarray(np.linalg.cholesky(covariances), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise DataError("covariances holds a matrix that is not positive definite") from None
    # The squared diagonal is the variance that each dimension adds to those before it: 0 means a collapsed component.
    _check_variances(np.square(np.diagonal(factors, axis1=-2, axis2=-1)))
    return factors
