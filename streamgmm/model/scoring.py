"""Scores of vectors under the mixtures of a model, by the compiled kernel where there is one, otherwise in numpy.

Any number of vectors is scored in one call, and each by itself: the same vector always gets bitwise the same scores,
whatever is scored beside it. So a hop has the same scores alone and in a stack of many sources.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from streamgmm.arrays import AnyArray, Float64Array, address_of
from streamgmm.features.kernel.loader import Kernel, find_kernel
from streamgmm.model.mixture import Mixture, MixtureBank
from streamgmm.model.projection import Projection

_LANES = 8
"""`SCORE_LANES` of kernel.h."""

_ROWS = 8
"""`SCORE_ROWS` of kernel.h."""

_NO_WEIGHT = -1e300
"""Logarithm of the weight of components that only fill up a pack."""

_INT, _POINTER = ctypes.c_int32, ctypes.c_void_p


class Scored(NamedTuple):
    """Scores of n vectors.

    Attributes:
        projected: float64, shape (n, d), the vectors in the space of the mixtures.
        log_likelihoods: float64, shape (n, n_mixtures) (nat).
    """

    projected: Float64Array
    log_likelihoods: Float64Array


class Scorer(Protocol):
    """Scores vectors under mixtures behind a projection."""

    def score(self, vectors: Float64Array) -> Scored:
        """Score vectors, shape (n, f), C-contiguous; n may be 0."""

    def sums(self, groups: Sequence[Float64Array]) -> Float64Array:
        """Return the sums of the log-likelihoods of the vectors of each group, shape (n_groups, n_mixtures) (nat).

        Args:
            groups: one or more, shape (n, f) each; n may be 0. Each has its sums whatever groups are beside it.
        """


class NumpyScorer:
    """`Scorer` in numpy, the reference for the kernel, also for full covariances.

    Args:
        projection: maps vectors to the space of the mixtures.
        bank: the mixtures.
    """

    def __init__(self, projection: Projection, bank: MixtureBank) -> None:
        self._projection = projection
        self._bank = bank

    def score(self, vectors: Float64Array) -> Scored:
        """Score vectors (see `Scorer`)."""
        # One vector at a time with fixed shapes: the bits of a matrix product depend on its number of rows.
        projected = [self._projection.apply(vector) for vector in vectors]
        log_likelihoods = [self._bank.log_likelihoods(each) for each in projected]
        n = len(vectors)
        return Scored(
            np.array(projected).reshape(n, self._projection.n_dimensions),
            np.array(log_likelihoods).reshape(n, self._bank.n_mixtures),
        )

    def sums(self, groups: Sequence[Float64Array]) -> Float64Array:
        """Return the sums of groups (see `Scorer`)."""
        # One product for each group: it takes less than one for each vector, and its shape is that of the group alone.
        scores = [self._bank.log_likelihoods_of_many(self._projection.apply(vectors)) for vectors in groups]
        return np.array([np.add.reduce(own, axis=0) for own in scores])


_ARRAYS = ("mean", "matrix", "log_norms", "factors", "means", "starts")


class _Mixtures(ctypes.Structure):
    """`Mixtures` of kernel.h."""

    _fields_ = [
        *((name, _INT) for name in ("n_features", "n_dimensions", "n_mixtures", "stride")),
        *((name, _POINTER) for name in _ARRAYS),
    ]


class KernelScorer:
    """`Scorer` in C, for diagonal covariances.

    Args:
        kernel: the library and its level of instructions.
        projection: maps vectors to the space of the mixtures.
        mixtures: the mixtures.
        bank: the same mixtures, for another process that may have no kernel.
    """

    def __init__(self, kernel: Kernel, projection: Projection, mixtures: Sequence[Mixture], bank: MixtureBank) -> None:
        self._made_of = projection, mixtures, bank
        self._function = kernel.functions.streamgmm_kernel_score
        self._level = kernel.level.encode()
        self._bottleneck = projection.bottleneck
        self._n_features, self._n_dimensions = projection.n_features, projection.n_dimensions
        self._n_mixtures = len(mixtures)
        self._stride = _filled(projection.n_dimensions)
        n_packs = [_filled(mixture.n_components) // _LANES for mixture in mixtures]
        self._n_logs = _ROWS * _LANES * max(n_packs)
        matrix = np.zeros((projection.n_features, self._stride))
        matrix[:, : projection.n_dimensions] = projection.matrix / projection.scale[:, np.newaxis]
        # The factor 1/2 of the exponent is part of the factors, as in `MixtureBank`.
        factors = [math.sqrt(0.5) * mixture.precisions_cholesky for mixture in mixtures]
        means = [mixture.means * own for mixture, own in zip(mixtures, factors, strict=True)]
        # Kept, because the pointers lead to them.
        self._arrays: dict[str, AnyArray] = {
            "mean": np.ascontiguousarray(projection.mean),
            "matrix": matrix,
            "log_norms": np.concatenate([_in_packs(m.log_norms[:, np.newaxis], _NO_WEIGHT) for m in mixtures]),
            "factors": np.concatenate([_in_packs(own, 0.0) for own in factors]),
            "means": np.concatenate([_in_packs(own, 0.0) for own in means]),
            "starts": np.cumsum([0, *n_packs], dtype=np.int32),
        }
        self._mixtures = _Mixtures(
            *(self._n_features, self._n_dimensions, self._n_mixtures, self._stride),
            *(address_of(self._arrays[name]) for name in _ARRAYS),
        )
        self._mixtures_address = ctypes.addressof(self._mixtures)

    def score(self, vectors: Float64Array) -> Scored:
        """Score vectors (see `Scorer`)."""
        n = len(vectors)
        # One array for all that is written: its address is asked for once.
        end_projected = self._n_logs + n * self._stride
        numbers = np.empty(end_projected + n * self._n_mixtures)
        projected = numbers[self._n_logs : end_projected].reshape(n, self._stride)
        self._begin(projected, vectors)
        address = address_of(numbers)
        self._function(
            self._level,
            self._mixtures_address,
            address_of(vectors),
            n,
            address,
            address + numbers.itemsize * self._n_logs,
            address + numbers.itemsize * end_projected,
        )
        return Scored(projected[:, : self._n_dimensions], numbers[end_projected:].reshape(n, self._n_mixtures))

    def _begin(self, projected: Float64Array, vectors: Float64Array) -> None:
        """Write what the bottleneck adds, to which the kernel adds the linear part."""
        projected[:] = 0.0
        if self._bottleneck is None:
            return
        projection = self._made_of[0]
        # One vector at a time, as in `NumpyScorer`.
        for row, vector in zip(projected, vectors, strict=True):
            row[: self._n_dimensions] = self._bottleneck.apply((vector - projection.mean) / projection.scale)

    def sums(self, groups: Sequence[Float64Array]) -> Float64Array:
        """Return the sums of groups (see `Scorer`)."""
        if len(groups) == 1:
            # The one hop of a live stream: joining and dividing would take longer than adding.
            return np.add.reduce(self.score(groups[0]).log_likelihoods, axis=0, keepdims=True)
        scores = self.score(np.concatenate(groups)).log_likelihoods
        ends = np.cumsum([len(vectors) for vectors in groups]).tolist()
        parts = zip([0, *ends], ends, strict=False)
        return np.array([np.add.reduce(scores[begin:end], axis=0) for begin, end in parts])

    def __reduce__(self) -> tuple[object, ...]:
        # Addresses mean nothing to another process, which makes the scorer that it can run.
        return make_scorer, self._made_of


def make_scorer(projection: Projection, mixtures: Sequence[Mixture], bank: MixtureBank) -> Scorer:
    """Return the compiled scorer where there is one for this machine and for the covariances, else the one in numpy.

    Raises:
        ConfigError: the environment chooses a kernel that does not exist.
    """
    kernel = find_kernel()
    if kernel is not None and all(mixture.covariance_type == "diag" for mixture in mixtures):
        return KernelScorer(kernel, projection, mixtures, bank)
    return NumpyScorer(projection, bank)


def _filled(n: int) -> int:
    """Return `n` rounded up to whole packs."""
    return -(-n // _LANES) * _LANES


def _in_packs(rows: Float64Array, filling: float) -> Float64Array:
    """Return rows of components, shape (k, d), as shape (n_packs, d, lanes): the order of `Mixtures` in kernel.h."""
    filled = np.full((_filled(len(rows)), rows.shape[1]), filling)
    filled[: len(rows)] = rows
    return filled.reshape(-1, _LANES, rows.shape[1]).swapaxes(1, 2).copy()
