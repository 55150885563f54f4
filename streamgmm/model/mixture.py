"""Gaussian mixtures: plain arrays, checked once, scored in numpy.

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
from streamgmm.config import Covariance
from streamgmm.errors import DataError

MIN_VARIANCE = 1e-9
"""A smaller variance means a collapsed component (units of the projected data, squared)."""

MAX_MAGNITUDE = 1e12
"""Largest number that a model may hold; below it no square or sum of a score can overflow."""

WEIGHT_TOLERANCE = 1e-6
SYMMETRY_TOLERANCE = 1e-9


def checked_numbers(values: npt.ArrayLike, what: str, shape: tuple[int, ...]) -> Float64Array:
    """A read-only float64 copy of `values`.

    Raises:
        DataError: `values` has another shape than `shape`, or a number that is not finite or is huge.
    """
    numbers = np.array(values, dtype=np.float64, order="C")
    if numbers.shape != shape:
        raise DataError(f"{what} has shape {numbers.shape}, wanted {shape}")
    if not (np.abs(numbers) <= MAX_MAGNITUDE).all():
        raise DataError(f"{what} holds a number that is not finite or exceeds {MAX_MAGNITUDE:g}")
    numbers.setflags(write=False)
    return numbers


def covariance_shape(covariance_type: Covariance, n_components: int, n_dimensions: int) -> tuple[int, ...]:
    """Shape of the covariances of one mixture, as scikit-learn has it."""
    return {
        "full": (n_components, n_dimensions, n_dimensions),
        "tied": (n_dimensions, n_dimensions),
        "diag": (n_components, n_dimensions),
        "spherical": (n_components,),
    }[covariance_type]


@dataclass(frozen=True, eq=False)
class Mixture:
    """One Gaussian mixture; immutable.

    Attributes:
        weights: (k,) positive, sum 1.
        means: (k, d).
        covariances: full (k, d, d), tied (d, d), diag (k, d) or spherical (k,).
        covariance_type: which of these.

    Raises:
        DataError: a shape, weight or covariance cannot be that of a mixture.
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
        # Made here, not at the first window, so that a covariance that is none is refused at once.
        _ = self.precisions_cholesky

    def _sizes(self) -> tuple[int, int]:
        shape = np.shape(self.means)
        if len(shape) != 2 or 0 in shape:
            raise DataError(f"means has shape {shape}, wanted (components, dimensions)")
        return shape[0], shape[1]

    def _check_weights(self) -> None:
        total = float(self.weights.sum())
        if (self.weights <= 0.0).any() or abs(total - 1.0) > WEIGHT_TOLERANCE:
            raise DataError(f"weights are not positive with sum 1 (sum {total:.9g})")

    @property
    def n_components(self) -> int:
        """Gaussians, k."""
        return len(self.means)

    @property
    def n_dimensions(self) -> int:
        """Length of the vectors, d."""
        return int(self.means.shape[1])

    @cached_property
    def precisions_cholesky(self) -> Float64Array:
        """Factors P with P P^T = inverse covariance: (k, d) if diagonal, else (k, d, d) upper triangles."""
        k, d = self.means.shape
        if self.covariance_type in ("diag", "spherical"):
            variances = self.covariances if self.covariance_type == "diag" else self.covariances[:, np.newaxis]
            _check_variances(variances)
            return np.broadcast_to(1.0 / np.sqrt(variances), (k, d))
        factors = _cholesky(self.covariances)
        inverses = np.linalg.solve(factors, np.broadcast_to(np.eye(d), factors.shape))
        return np.broadcast_to(np.swapaxes(inverses, -1, -2), (k, d, d))

    @cached_property
    def log_norms(self) -> Float64Array:
        """Log of weight times normalising constant of each component, (k,) in nats."""
        factors = self.precisions_cholesky
        diagonals = factors if factors.ndim == 2 else np.diagonal(factors, axis1=1, axis2=2)
        log_determinants = np.log(diagonals).sum(axis=1)
        norms: Float64Array = (
            np.log(self.weights) + log_determinants - 0.5 * self.n_dimensions * math.log(2.0 * math.pi)
        )
        return norms

    def log_likelihood(self, vectors: Float64Array) -> Float64Array:
        """Log-density of each of the vectors (n, d), (n,) in nats."""
        return log_sum_exp(self._weighted_log_densities(vectors))

    def responsibilities(self, vectors: Float64Array) -> Float64Array:
        """Posterior over the components of each of the vectors (n, d), (n, k)."""
        weighted = self._weighted_log_densities(vectors)
        posteriors: Float64Array = np.exp(weighted - log_sum_exp(weighted)[:, np.newaxis])
        return posteriors

    def gradient(self, vectors: Float64Array) -> Float64Array:
        """Gradient of the log-density at each of the vectors (n, d), (n, d) in nats per unit.

        Each component pulls towards its mean by its precision, as far as it is responsible: eq. 9.16 of Bishop 2006
        for the vector instead of the mean.
        """
        total = np.zeros_like(vectors)
        shares = self.responsibilities(vectors).T
        for share, mean, factor in zip(shares, self.means, self.precisions_cholesky, strict=True):
            deviations = mean - vectors
            pulls = deviations * np.square(factor) if factor.ndim == 1 else deviations @ factor @ factor.T
            total += share[:, np.newaxis] * pulls
        return total

    def _weighted_log_densities(self, vectors: Float64Array) -> Float64Array:
        """Log of weight times density of each component at the vectors (n, d), (n, k)."""
        distances = np.empty((len(vectors), self.n_components))
        # One component at a time keeps the memory at n x d; training scores all its vectors at once.
        for component, (mean, factor) in enumerate(zip(self.means, self.precisions_cholesky, strict=True)):
            deviations = vectors - mean
            whitened = deviations * factor if factor.ndim == 1 else deviations @ factor
            distances[:, component] = np.einsum("nd,nd->n", whitened, whitened)
        weighted: Float64Array = self.log_norms - 0.5 * distances
        return weighted


class MixtureBank:
    """All mixtures of a model scored together, one vector at a time.

    Shapes never change from call to call, so the same vector gives the same bits whatever came before.

    Args:
        mixtures: of one covariance type and dimension; their numbers of components may differ.

    Raises:
        DataError: there are none, or they differ in covariance type or dimension.
    """

    def __init__(self, mixtures: Sequence[Mixture]) -> None:
        if len({(mixture.covariance_type, mixture.n_dimensions) for mixture in mixtures}) != 1:
            raise DataError("the mixtures of a model need one covariance type and one dimension")
        counts = [mixture.n_components for mixture in mixtures]
        self._starts = np.cumsum([0, *counts[:-1]])
        self._owners = np.repeat(np.arange(len(mixtures)), counts)
        self._log_norms = np.concatenate([mixture.log_norms for mixture in mixtures])
        self._is_tied = mixtures[0].covariance_type == "tied"
        # The 1/2 of the exponent is taken into the factors, once.
        self._factors = math.sqrt(0.5) * np.concatenate([_distinct_factors(mixture) for mixture in mixtures])
        self._whitened_means = math.sqrt(0.5) * np.concatenate([_whitened_means(mixture) for mixture in mixtures])

    def log_likelihoods(self, vector: Float64Array) -> Float64Array:
        """Log-density under each mixture of one vector (d,), (n_mixtures,) in nats."""
        whitened = vector * self._factors if self._factors.ndim == 2 else np.matmul(vector, self._factors)
        if self._is_tied:
            whitened = whitened[self._owners]
        whitened -= self._whitened_means
        weighted = self._log_norms - np.einsum("kd,kd->k", whitened, whitened)
        tops = np.maximum.reduceat(weighted, self._starts)
        sums = np.add.reduceat(np.exp(weighted - tops[self._owners]), self._starts)
        log_likelihoods: Float64Array = tops + np.log(sums)
        return log_likelihoods

    def log_likelihoods_of_many(self, vectors: Float64Array) -> Float64Array:
        """Those of vectors (n, d) together, (n, n_mixtures), equal to those one by one up to rounding."""
        if self._factors.ndim > 2:
            return np.array([self.log_likelihoods(vector) for vector in vectors]).reshape(
                len(vectors), len(self._starts)
            )
        # |x f - m|^2 multiplied out, so that two matrix products do the work of all components.
        distances = np.square(vectors) @ np.square(self._factors).T
        distances -= 2.0 * (vectors @ (self._factors * self._whitened_means).T)
        weighted = self._log_norms - distances - np.square(self._whitened_means).sum(axis=1)
        tops = np.maximum.reduceat(weighted, self._starts, axis=1)
        sums = np.add.reduceat(np.exp(weighted - tops[:, self._owners]), self._starts, axis=1)
        log_likelihoods: Float64Array = tops + np.log(sums)
        return log_likelihoods


def _distinct_factors(mixture: Mixture) -> Float64Array:
    """The precision factors without the copies that the components of a tied mixture share."""
    factors = mixture.precisions_cholesky
    return factors[:1] if mixture.covariance_type == "tied" else factors


def _whitened_means(mixture: Mixture) -> Float64Array:
    """Means (k, d) in the units where each component is a standard normal."""
    factors = mixture.precisions_cholesky
    subscripts = "kd,kd->kd" if factors.ndim == 2 else "kd,kde->ke"
    return np.asarray(np.einsum(subscripts, mixture.means, factors), dtype=np.float64)


def _check_variances(variances: Float64Array) -> None:
    if (variances < MIN_VARIANCE).any():
        raise DataError(f"covariances holds a variance of {variances.min():g}, below {MIN_VARIANCE:g}")


def _cholesky(covariances: Float64Array) -> Float64Array:
    """Lower Cholesky factors of (..., d, d) covariances."""
    # The factorisation reads one triangle only and would not see that the other differs.
    asymmetry = np.abs(covariances - np.swapaxes(covariances, -1, -2)).max()
    if asymmetry > SYMMETRY_TOLERANCE * np.abs(covariances).max():
        raise DataError("covariances holds a matrix that is not symmetric")
    try:
        factors = np.asarray(np.linalg.cholesky(covariances), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise DataError("covariances holds a matrix that is not positive definite") from None
    _check_variances(np.square(np.diagonal(factors, axis1=-2, axis2=-1)))
    return factors
