"""A mixture of the sounds of one room, adapted from the background mixture of a model, hop by hop and without end."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from streamgmm.arrays import Float64Array, log_sum_exp
from streamgmm.model.mixture import Mixture

N_COMPONENTS = 32
"""Number of components: enough for the sounds of a room, and a few microseconds per hop."""

RELEVANCE_FACTOR = 16.0
"""Number of whole windows at which a component is half way from the model to what was heard (Reynolds et al. 2000)."""

UPDATE_S = 60.0
"""Sound that is learnt between two changes of the mixture (s)."""

MEMORY_S = 2 * 3600.0
"""Time constant with which earlier sound is forgotten, in sound that is learnt (s)."""

MIN_VARIANCE_SHARE = 0.2
"""Smallest variance of a component, as a share of the one it started with."""

_LOST_VARIANCE = 2.0 / math.pi
"""Share of the variance of a normal distribution that is between the means of its two halves."""


class RoomMixture:
    """The sounds of one room, as a diagonal mixture in the space of a classifier.

    It follows what is heard by MAP adaptation (Reynolds, Quatieri, Dunn 2000) of sufficient statistics that are
    forgotten exponentially. The state depends on the added vectors alone, and is bounded. No component grows wider than
    it started: a narrow one covers the sound that was heard, and little of a class beside it.

    Args:
        background: background mixture of the model, from which the adaptation starts.
        is_claimed: whether a class of the model explains a vector, shape (d,), better than its background. A component
            whose mean is claimed stays where it started: the room must not cover what the model was taught.
        hop_s: time between vectors (s).
        window_s: length of the window of a vector (s), of which successive vectors share all but a hop.

    Attributes:
        hop_s: time between vectors (s).
        settled: float64, shape (k, 1 + 2 d), statistics in use: for each component the number of windows, and the sums
            of their deviations from where it started, and of the squares of these.
        fresh: float64, shape (k, 1 + 2 d), statistics since the last update.
        n_hops: number of hops learnt so far.
        learnt_s: duration of the sound in `settled`, as far as it is not forgotten (s); 0 before the first update.
    """

    def __init__(
        self, background: Mixture, is_claimed: Callable[[Float64Array], bool], *, hop_s: float, window_s: float
    ) -> None:
        self._weights, self._means, self._variances = _components(background)
        self._is_claimed = is_claimed
        self.hop_s = hop_s
        self._hop_share = hop_s / window_s
        self._hops_per_update = max(1, round(UPDATE_S / hop_s))
        self._kept_share = math.exp(-self._hops_per_update * hop_s / MEMORY_S)
        self.fresh = np.zeros((len(self._means), 1 + 2 * self._means.shape[1]))
        self.settled = np.zeros_like(self.fresh)
        self.n_hops = 0
        self._adapt()

    def weighted_log_densities(self, vector: Float64Array) -> Float64Array:
        """Return the log of weight times density of each component at a vector, shape (d,); shape (k,) (nat)."""
        whitened = vector * self._factors
        whitened -= self._whitened_means
        weighted: Float64Array = self._offsets - np.einsum("kd,kd->k", whitened, whitened)
        return weighted

    def add(self, vector: Float64Array, weighted_log_densities: Float64Array) -> None:
        """Learn from one hop, and from time to time update the mixture.

        Args:
            vector: float64, shape (d,).
            weighted_log_densities: shape (k,), of this vector, when it was scored (nat).
        """
        # A hop adds only its share of a window: the rest of its window was counted before.
        counts = self._hop_share * np.exp(weighted_log_densities - log_sum_exp(weighted_log_densities))
        deviations = vector - self._means
        self.fresh[:, 0] += counts
        self.fresh[:, 1 : 1 + len(vector)] += counts[:, np.newaxis] * deviations
        self.fresh[:, 1 + len(vector) :] += counts[:, np.newaxis] * np.square(deviations)
        self.n_hops += 1
        if self.n_hops % self._hops_per_update == 0:
            self.settled = self._kept_share * self.settled + self.fresh
            self.fresh = np.zeros_like(self.fresh)
            self._adapt()

    def restore(self, settled: Float64Array, fresh: Float64Array, n_hops: int) -> None:
        """Continue from the attributes of another mixture, which was adapted from the same background."""
        self.settled, self.fresh, self.n_hops = settled.copy(), fresh.copy(), n_hops
        self._adapt()

    def _adapt(self) -> None:
        """Compute the mixture from the statistics: equations 11 to 14 of Reynolds et al., from where it started."""
        counts, sums, squares = np.split(self.settled, [1, 1 + self._means.shape[1]], axis=1)
        n_windows = float(counts.sum())
        shifts = sums / (counts + RELEVANCE_FACTOR)
        spread = (squares + RELEVANCE_FACTOR * self._variances) / (counts + RELEVANCE_FACTOR) - np.square(shifts)
        variances = np.clip(spread, MIN_VARIANCE_SHARE * self._variances, self._variances)
        trust = (counts / (counts + RELEVANCE_FACTOR))[:, 0]
        # Before anything was learnt, there is no trust either.
        weights = trust * counts[:, 0] / max(n_windows, 1.0) + (1.0 - trust) * self._weights
        for i in np.flatnonzero(trust).tolist():
            if self._is_claimed(self._means[i] + shifts[i]):
                shifts[i], variances[i], weights[i] = 0.0, self._variances[i], self._weights[i]
        # The factor 1/2 of the exponent is part of the factors, as in `MixtureBank`.
        self._factors = np.sqrt(0.5 / variances)
        self._whitened_means = (self._means + shifts) * self._factors
        self._offsets = np.log(weights / weights.sum()) - 0.5 * np.log(2.0 * math.pi * variances).sum(axis=1)
        self.learnt_s = n_windows / self._hop_share * self.hop_s


def _components(background: Mixture) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return weights, means and variances of `N_COMPONENTS` components, shapes (k,), (k, d), (k, d), from `background`.

    The heaviest components are kept if there are too many, and split if there are too few.
    """
    variances = background.covariances
    if background.covariance_type != "diag":
        variances = np.diagonal(variances, axis1=1, axis2=2)
    # Stable, so that components of equal weight are chosen alike everywhere.
    heaviest = np.argsort(-background.weights, kind="stable")[:N_COMPONENTS]
    parts = [(float(background.weights[i]), background.means[i].copy(), variances[i].copy()) for i in heaviest.tolist()]
    while len(parts) < N_COMPONENTS:
        # The first of the heaviest is split, and its halves go to the end.
        i = max(range(len(parts)), key=lambda i: parts[i][0])
        parts += _halves(*parts.pop(i))
    weights = np.array([weight for weight, _, _ in parts])
    return weights / weights.sum(), np.array([mean for _, mean, _ in parts]), np.array([wide for _, _, wide in parts])


def _halves(
    weight: float, mean: Float64Array, variances: Float64Array
) -> list[tuple[float, Float64Array, Float64Array]]:
    """Split a component at its mean, across its widest dimension; both halves together keep mean and covariance."""
    widest = int(variances.argmax())
    shift = np.zeros_like(mean)
    shift[widest] = math.sqrt(_LOST_VARIANCE * variances[widest])
    narrowed = variances.copy()
    narrowed[widest] *= 1.0 - _LOST_VARIANCE
    return [(weight / 2.0, mean - shift, narrowed), (weight / 2.0, mean + shift, narrowed)]
