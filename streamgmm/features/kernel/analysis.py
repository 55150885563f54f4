"""`HopAnalysis` by the kernel: any number of hops in one call."""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np

from streamgmm import units
from streamgmm.arrays import AnyArray, Complex128Array, Float32Array, Float64Array, address_of
from streamgmm.features import active_shape, cepstra, low_cut, window
from streamgmm.features import statistics as st
from streamgmm.features.analysis import HopMeasures, RunningLevel
from streamgmm.features.bank import BandGroup, group_bands
from streamgmm.features.cosines import cosine_transform
from streamgmm.features.kernel.loader import Kernel
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.transform import LAGS_PER_INVERSE_SIGMA, coherence_lags, delay_samples

_INT, _DOUBLE, _POINTER = ctypes.c_int32, ctypes.c_double, ctypes.c_void_p


class _GroupDesign(ctypes.Structure):
    """`GroupDesign` of kernel.h."""

    _fields_ = [
        *((name, _INT) for name in ("decimation", "n_taps", "first_band", "n_bands")),
        ("lags", _INT * len(LAGS_PER_INVERSE_SIGMA)),
        ("taps", _POINTER),
    ]


class _Design(ctypes.Structure):
    """`Design` of kernel.h."""

    _fields_ = [
        *((name, _INT) for name in ("n_bands", "n_band_groups", "hop_samples", "fine_samples", "n_window_hops")),
        *((name, _INT) for name in ("n_cepstra", "delay_samples", "n_features")),
        ("group_edges", _INT * (st.N_GROUPS + 1)),
        ("lag_edges", _INT * (st.N_LAG_RANGES + 1)),
        *((name, _DOUBLE) for name in ("floor", "min_energy", "min_detail", "shape_range", "level_keep")),
        *((name, _DOUBLE) for name in ("mean_keep", "mean_prior_weight", "pause_range", "direct")),
        ("poles", _DOUBLE * low_cut.ORDER),
        ("residues", _DOUBLE * low_cut.ORDER),
        *((name, _DOUBLE) for name in ("still_range", "min_square")),
        *((name, _POINTER) for name in ("first_state", "shape_cosines", "cepstral_cosines", "groups")),
    ]


class DesignTables(NamedTuple):
    """`Design` of kernel.h, and what its pointers lead to.

    Attributes:
        design: the structure in C.
        group_designs: that of each group of bands.
        groups: the groups, with their taps.
        arrays: the other tables, by their names in C.
    """

    design: _Design
    group_designs: ctypes.Array[_GroupDesign]
    groups: Sequence[BandGroup]
    arrays: Mapping[str, AnyArray]


class _Plan:
    """The tables of one design in C, which its streams share, and the scratch that they compute in.

    Raises:
        MemoryError: there is no memory for them.
    """

    def __init__(self, kernel: Kernel, spec: FeatureSpec) -> None:
        self.library = kernel.functions
        # All tables, until they are copied: of two threads that make the same ones, the cache keeps those of one.
        tables = design_of(spec)
        plan = self.library.streamgmm_kernel_plan(kernel.level.encode(), ctypes.byref(tables.design))
        self.address = _made(plan, spec)
        weakref.finalize(self, self.library.streamgmm_kernel_free, self.address)
        self._scratch_bytes = self.library.streamgmm_kernel_scratch_size(self.address)
        # One for each thread that computes at the same time: a call takes one, and gives it back.
        self._free: list[_Scratch] = []

    def take_scratch(self) -> _Scratch:
        """Lend room to compute in, for one call; see `give_back`."""
        try:
            return self._free.pop()
        except IndexError:
            return _Scratch(self._scratch_bytes)

    def give_back(self, scratch: _Scratch) -> None:
        """Take back what was lent; a call that fails may keep it."""
        self._free.append(scratch)


class _Scratch:
    """Room to compute in, at `address`, the beginning of a cache line."""

    def __init__(self, n_bytes: int) -> None:
        self._room = np.zeros(n_bytes // 4 + 16, dtype=np.float32)
        self.address = -(-address_of(self._room) // 64) * 64


@lru_cache(maxsize=8)
def _plan_of(kernel: Kernel, spec: FeatureSpec) -> _Plan:
    return _Plan(kernel, spec)


def _made(address: int | None, spec: FeatureSpec) -> ctypes.c_void_p:
    if address is None:
        raise MemoryError(f"no memory for a window of {spec.window_s} s")
    return _POINTER(address)


class KernelAnalysis:
    """`HopAnalysis` in C, for a float32 transform.

    Args:
        kernel: the library and its level of instructions.
        spec: defines the features.
        has_cepstra: whether to make frame vectors.

    Raises:
        MemoryError: there is no memory for the stream.
    """

    def __init__(self, kernel: Kernel, spec: FeatureSpec, *, has_cepstra: bool = False) -> None:
        self._has_cepstra = has_cepstra
        self._hop_frames = spec.hop_frames
        self._n_features = window.n_features(spec)
        self._n_cepstral_features = cepstra.n_cepstral_features(spec)
        self._library = kernel.functions
        self._plan = _plan_of(kernel, spec)
        self._stream = _made(self._library.streamgmm_kernel_new(self._plan.address), spec)
        weakref.finalize(self, self._library.streamgmm_kernel_free, self._stream)

    def reset(self) -> None:
        """Drop all hops."""
        self._library.streamgmm_kernel_reset(self._stream)

    def push_hops(
        self, hops: Float32Array, n_last_samples: int, largest: float = math.inf, offset: float = 0.0
    ) -> list[HopMeasures]:
        """Measure the next hops (see `HopAnalysis`)."""
        measures, frames = self._room_for(len(hops))
        scratch = self._plan.take_scratch()
        are_measured = self._library.streamgmm_kernel_push(
            self._stream,
            scratch.address,
            address_of(hops),
            len(hops),
            n_last_samples,
            largest,
            offset,
            address_of(measures),
            address_of(frames) if self._has_cepstra else None,
        )
        self._plan.give_back(scratch)
        return self._hop_measures(measures, frames) if are_measured else []

    def push_stack(self, analyses: Sequence[Self], hops: Float32Array) -> list[HopMeasures]:
        """Measure the next hop of several analyses (see `HopAnalysis`)."""
        measures, frames = self._room_for(len(hops))
        scratch = self._plan.take_scratch()
        self._library.streamgmm_kernel_push_stack(
            (_POINTER * len(hops))(*[each._stream.value for each in analyses]),
            scratch.address,
            address_of(hops),
            len(hops),
            address_of(measures),
            address_of(frames) if self._has_cepstra else None,
        )
        self._plan.give_back(scratch)
        return self._hop_measures(measures, frames)

    def _room_for(self, n_hops: int) -> tuple[Float64Array, Float64Array]:
        # Of each hop: the number of its frame vectors, the sum of its mean squares, levels of its frames, its vector.
        measures = np.empty((n_hops, 2 + self._hop_frames + self._n_features))
        # As many as there can be; pauses give none.
        n_frames = n_hops * self._hop_frames if self._has_cepstra else 0
        return measures, np.empty((n_frames, self._n_cepstral_features))

    def _hop_measures(self, measures: Float64Array, frames: Float64Array) -> list[HopMeasures]:
        first, end, found = 2 + self._hop_frames, 0, []
        # One after the other: the frame vectors of a hop follow those of the hop before.
        for row, (n_frames, squares) in zip(measures, measures[:, :2].tolist(), strict=True):
            begin, end = end, end + int(n_frames)
            found.append(HopMeasures(squares, row[2:first], row[first:], frames[begin:end]))
        return found

    def flush_cepstra(self) -> Float64Array:
        """Return the vectors of the last cepstral frames."""
        frames = np.empty((cepstra.DELAY_FRAMES, self._n_cepstral_features))
        scratch = self._plan.take_scratch()
        n_frames = self._library.streamgmm_kernel_flush(self._stream, scratch.address, address_of(frames))
        self._plan.give_back(scratch)
        return frames[:n_frames]


@lru_cache(maxsize=8)
def design_of(spec: FeatureSpec) -> DesignTables:
    """Return the design of the features, and what its pointers lead to."""
    groups = group_bands(spec)
    group_designs = (_GroupDesign * len(groups))(*(_group_design(group, spec) for group in groups))
    frames = cepstra.CepstralFrames(spec)
    direct, poles, residues = low_cut.low_cut_modes(spec)
    arrays: dict[str, AnyArray] = {
        "first_state": np.ascontiguousarray(low_cut.first_state(spec)),
        "shape_cosines": cosine_transform(spec.n_bands, active_shape.N_CEPSTRA),
        "cepstral_cosines": cosine_transform(spec.n_bands, cepstra.count_cepstra(spec)),
    }
    design = _Design(
        n_bands=spec.n_bands,
        n_band_groups=len(groups),
        hop_samples=spec.hop_samples,
        fine_samples=spec.fine_samples,
        n_window_hops=spec.window_frames // spec.hop_frames,
        n_cepstra=cepstra.count_cepstra(spec),
        delay_samples=delay_samples(spec),
        n_features=window.n_features(spec),
        group_edges=(*st.group_edges(spec.n_bands), spec.n_bands),
        lag_edges=tuple(st.lag_edges(spec.fine_samples / spec.sample_rate_hz)),
        floor=window.FLOOR / spec.n_bands,
        min_energy=window.MIN_ENERGY,
        min_detail=st.MIN_DETAIL,
        shape_range=10.0 ** (-active_shape.SHAPE_RANGE_DB / 10.0),
        level_keep=RunningLevel(spec).keep,
        mean_keep=frames.keep,
        mean_prior_weight=frames.prior_weight,
        pause_range=10.0 ** (-cepstra.PAUSE_RANGE_DB / 10.0),
        direct=direct,
        poles=_parts(poles),
        residues=_parts(residues),
        still_range=low_cut.STILL_RANGE,
        min_square=units.MIN_SQUARE,
        groups=ctypes.addressof(group_designs),
        **{name: address_of(array) for name, array in arrays.items()},
    )
    return DesignTables(design, group_designs, groups, arrays)


def _group_design(group: BandGroup, spec: FeatureSpec) -> _GroupDesign:
    n_taps, n_bands = group.taps.shape
    lags = tuple(coherence_lags(group, spec))
    return _GroupDesign(group.decimation, n_taps, group.first_band, n_bands, lags, address_of(group.taps))


def _parts(values: Complex128Array) -> tuple[float, ...]:
    """Return real and imaginary parts by turns."""
    return tuple(part for value in values.tolist() for part in (value.real, value.imag))
