"""One mixture per label over frame vectors, beside those over window vectors: for words and voices.

A frame says little by itself. What decides is the mean log-likelihood of all frames of a window, added
with a weight to that of the window's own vector: a log-linear combination of two kinds of evidence.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.errors import DataError
from streamgmm.model.mixture import Mixture, MixtureBank
from streamgmm.model.projection import Projection

MAX_WEIGHT = 1e6


@dataclass(frozen=True, eq=False)
class CepstralMixtures:
    """The mixtures over frame vectors.

    Attributes:
        projection: from frame vectors to what the mixtures see.
        mixtures: one per label in the classifier's order, then the background's unless it is a label.
        weight: of the mean log-likelihood of a window's frames beside the log-likelihood of the window itself.

    Raises:
        DataError: the parts do not fit together.
    """

    projection: Projection
    mixtures: tuple[Mixture, ...]
    weight: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mixtures", tuple(self.mixtures))
        if not 0.0 < self.weight <= MAX_WEIGHT:
            raise DataError(f"the weight of frames is {self.weight:g}, wanted above 0 and at most {MAX_WEIGHT:g}")
        if any(mixture.n_dimensions != self.projection.n_dimensions for mixture in self.mixtures):
            raise DataError("mixtures and projection of frames differ in dimension")
        _ = self._bank

    @cached_property
    def _bank(self) -> MixtureBank:
        return MixtureBank(self.mixtures)

    def score(self, vectors: Float64Array) -> Float64Array:
        """Log-likelihoods of frame vectors (n, f) under `mixtures`, (n, n_mixtures) in nats."""
        log_likelihoods: Float64Array = self._bank.log_likelihoods_of_many(self.projection.apply(vectors))
        return log_likelihoods

    def score_one(self, vector: Float64Array) -> Float64Array:
        """Log-likelihoods of one frame vector (f,), (n_mixtures,) in nats."""
        log_likelihoods: Float64Array = self.score(vector[np.newaxis])[0]
        return log_likelihoods


class CepstralEvidence:
    """Mean log-likelihoods of the frames of the last window, hop by hop.

    Args:
        mixtures: score the frames.
        n_window_hops: hops of a window.
    """

    def __init__(self, mixtures: CepstralMixtures, n_window_hops: int) -> None:
        self._mixtures = mixtures
        self._sums: deque[Float64Array] = deque(maxlen=n_window_hops)
        self._n_frames: deque[int] = deque(maxlen=n_window_hops)

    def reset(self) -> None:
        """Forget all frames."""
        self._sums.clear()
        self._n_frames.clear()

    def push(self, cepstra: Float64Array) -> Float64Array:
        """The evidence of the window that ends with this hop.

        Args:
            cepstra: (n, f) of the hop; n may be 0.

        Returns:
            (n_mixtures,) in nats; 0, which favours none, if the window holds no frame.
        """
        self._sums.append(self._mixtures.score(cepstra).sum(axis=0))
        self._n_frames.append(len(cepstra))
        # Added up anew each time, oldest first: nothing is ever taken away, so nothing drifts.
        evidence: Float64Array = np.sum(self._sums, axis=0) / max(1, sum(self._n_frames))
        return evidence
