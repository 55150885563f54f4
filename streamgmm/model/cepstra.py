"""Mixtures over cepstral frames, one per label, which support those over windows for words and voices.

A single frame carries little evidence. The mean log-likelihood of all frames of a window is added, with a weight, to
the log-likelihood of the window itself: a log-linear combination of two kinds of evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.errors import DataError
from streamgmm.model.mixture import Mixture, MixtureBank
from streamgmm.model.projection import Projection
from streamgmm.model.scoring import Scorer, make_scorer

MAX_WEIGHT = 1e6


@dataclass(frozen=True, eq=False)
class CepstralMixtures:
    """The mixtures over frame vectors, with their projection and weight.

    Attributes:
        projection: maps frame vectors to the space of the mixtures.
        mixtures: one per label in the order of the classifier, then that of the background unless it is a label.
        weight: factor on the mean log-likelihood of the frames of a window, 0 to `MAX_WEIGHT`; with 0 the frames are
            not used.

    Raises:
        DataError: the weight is out of range, or mixtures and projection differ in dimension.
    """

    projection: Projection
    mixtures: tuple[Mixture, ...]
    weight: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mixtures", tuple(self.mixtures))
        if not 0.0 <= self.weight <= MAX_WEIGHT:
            raise DataError(f"the weight of frames is {self.weight:g}, expected 0 to {MAX_WEIGHT:g}")
        if any(mixture.n_dimensions != self.projection.n_dimensions for mixture in self.mixtures):
            raise DataError("mixtures and projection of frames differ in dimension")
        _ = self._bank  # Created here, so that mixtures that do not fit together fail at once.

    @cached_property
    def _bank(self) -> MixtureBank:
        return MixtureBank(self.mixtures)

    @cached_property
    def _scorer(self) -> Scorer:
        return make_scorer(self.projection, self.mixtures, self._bank)

    def sums(self, hops: Sequence[Float64Array]) -> Float64Array:
        """Return the sums of the log-likelihoods of the frames of each hop, shape (n_hops, n_mixtures) (nat).

        Args:
            hops: frame vectors of hops of any streams, float64, shape (n, f) each; n may be 0.
        """
        return self._scorer.sums(hops)

    def score(self, vectors: Float64Array) -> Float64Array:
        """Return log-likelihoods of frame vectors, shape (n, f), under `mixtures`, shape (n, n_mixtures) (nat)."""
        log_likelihoods: Float64Array = self._bank.log_likelihoods_of_many(self.projection.apply(vectors))
        return log_likelihoods

    def score_one(self, vector: Float64Array) -> Float64Array:
        """Return log-likelihoods of one frame vector, shape (f,), under `mixtures`, shape (n_mixtures,) (nat)."""
        log_likelihoods: Float64Array = self.score(vector[np.newaxis])[0]
        return log_likelihoods


class CepstralEvidence:
    """Computes mean log-likelihoods of the frames of the last window, hop by hop.

    Args:
        mixtures: mixtures that score the frames.
        n_window_hops: number of hops in a window.
    """

    def __init__(self, mixtures: CepstralMixtures, n_window_hops: int) -> None:
        self._mixtures = mixtures
        # One sum per hop, oldest first: the frames themselves are not needed again. Zeros stand for hops before the
        # first.
        self._sums = np.zeros((n_window_hops, len(mixtures.mixtures)))
        self._n_frames = [0] * n_window_hops

    def reset(self) -> None:
        """Drop all frames."""
        self._sums[:] = 0.0
        self._n_frames = [0] * len(self._n_frames)

    def push(self, cepstra: Float64Array) -> Float64Array:
        """Add the frames of a hop; return the evidence of the window that ends with it.

        Args:
            cepstra: float64, shape (n, f), frame vectors of the hop; n may be 0.

        Returns:
            float64, shape (n_mixtures,) (nat); 0, which favours no label, if the window has no frames.
        """
        return add_stack([self], [cepstra])[0]

    def _add(self, sums: Float64Array, n_frames: int) -> Float64Array:
        # A hop without frames adds zeros, so that older hops still leave the window in time.
        self._sums[:-1] = self._sums[1:]
        self._sums[-1] = sums
        self._n_frames = [*self._n_frames[1:], n_frames]
        # Summed from scratch, oldest first: a running sum would collect rounding errors.
        evidence: Float64Array = np.add.reduce(self._sums, axis=0) / max(1, sum(self._n_frames))
        return evidence


def add_stack(evidences: Sequence[CepstralEvidence], hops: Sequence[Float64Array]) -> list[Float64Array]:
    """Do as `CepstralEvidence.push` for hops of one or several streams, to the last bit.

    Args:
        evidences: that of the stream of each hop, all with the same mixtures; the hops of one follow each other.
        hops: frame vectors of each, float64, shape (n, f); one or more.
    """
    sums = evidences[0]._mixtures.sums(hops)
    return [own._add(row, len(hop)) for own, row, hop in zip(evidences, sums, hops, strict=True)]
