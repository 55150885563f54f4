"""`HopAnalysis` by the kernel: any number of hops in one call."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from streamgmm.arrays import AnyArray, Complex128Array, Float32Array, Float64Array
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
        ("still_range", _DOUBLE),
        *((name, _POINTER) for name in ("first_state", "shape_cosines", "cepstral_cosines", "groups")),
    ]


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
        design, _ = _design_of(spec)
        stream = self._library.streamgmm_kernel_new(kernel.level.encode(), ctypes.byref(design))
        if stream is None:
            raise MemoryError(f"no memory for a window of {spec.window_s} s")
        self._stream = _POINTER(stream)
        weakref.finalize(self, self._library.streamgmm_kernel_free, self._stream)

    def reset(self) -> None:
        """Drop all hops."""
        self._library.streamgmm_kernel_reset(self._stream)

    def push_hops(self, hops: Float32Array, n_last_samples: int) -> list[HopMeasures]:
        """Measure the next hops (see `HopAnalysis`)."""
        # Of each hop: the number of its frame vectors, the mean squares of its frames, and its vector.
        measures = np.empty((len(hops), 1 + self._hop_frames + self._n_features))
        # As many as there can be; pauses give none.
        frames = np.empty((len(hops) * self._hop_frames if self._has_cepstra else 0, self._n_cepstral_features))
        self._library.streamgmm_kernel_push(
            self._stream,
            hops.ctypes.data,
            len(hops),
            n_last_samples,
            measures.ctypes.data,
            frames.ctypes.data if self._has_cepstra else None,
        )
        found, end = [], 0
        for row in measures:
            begin, end = end, end + int(row[0])
            found.append(HopMeasures(row[1 : 1 + self._hop_frames], row[1 + self._hop_frames :], frames[begin:end]))
        return found

    def flush_cepstra(self) -> Float64Array:
        """Return the vectors of the last cepstral frames."""
        frames = np.empty((cepstra.DELAY_FRAMES, self._n_cepstral_features))
        return frames[: self._library.streamgmm_kernel_flush(self._stream, frames.ctypes.data)]


@lru_cache(maxsize=8)
def _design_of(spec: FeatureSpec) -> tuple[_Design, Sequence[object]]:
    """Return the design, and the arrays that its pointers lead to."""
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
        groups=ctypes.addressof(group_designs),
        **{name: array.ctypes.data for name, array in arrays.items()},
    )
    return design, (group_designs, groups, arrays)


def _group_design(group: BandGroup, spec: FeatureSpec) -> _GroupDesign:
    n_taps, n_bands = group.taps.shape
    lags = tuple(coherence_lags(group, spec))
    return _GroupDesign(group.decimation, n_taps, group.first_band, n_bands, lags, group.taps.ctypes.data)


def _parts(values: Complex128Array) -> tuple[float, ...]:
    """Return real and imaginary parts by turns."""
    return tuple(part for value in values.tolist() for part in (value.real, value.imag))
