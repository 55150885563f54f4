"""The arithmetic of whole hops: levels, window vectors and cepstral frames, in numpy.

This is the reference for the compiled kernel (`streamgmm.features.kernel`), and replaces it where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from streamgmm import units
from streamgmm.arrays import Float32Array, Float64Array
from streamgmm.features.cepstra import CepstralFrames, n_cepstral_features
from streamgmm.features.low_cut import LowCut
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.transform import WaveletTransform
from streamgmm.features.window import WindowStatistics

LEVEL_TIME_CONSTANT_S = 3.0
"""Time constant of the running level: longer than a word, shorter than a stay in one room."""


class HopMeasures(NamedTuple):
    """The measures of one hop.

    Attributes:
        squares: sum of the mean squares of its frames after the low cut; padding counts as 0.
        frame_levels_db: float64, shape (hop_frames,), levels of these frames (dB re full scale).
        vector: float64, shape (n_features,), of the window that ends with the hop.
        cepstra: float64, shape (n, n_cepstral_features), vectors of the frames that the hop completes.
    """

    squares: float
    frame_levels_db: Float64Array
    vector: Float64Array
    cepstra: Float64Array


class HopAnalysis(Protocol):
    """Measures the hops of a stream, the same to the last bit however they are grouped into calls."""

    def reset(self) -> None:
        """Drop all hops."""

    def push_hops(
        self, hops: Float32Array, n_last_samples: int, largest: float = math.inf, offset: float = 0.0
    ) -> list[HopMeasures]:
        """Measure the next hops; return nothing, and change nothing, if one of their samples is not usable.

        Args:
            hops: one or more, shape (n, hop_samples), C-contiguous.
            n_last_samples: number of samples of the last hop before its padding.
            largest: samples up to this magnitude are usable, and NaN is not.
            offset: subtracted from the samples afterwards, in place.
        """

    def push_stack(self, analyses: Sequence[Self], hops: Float32Array) -> list[HopMeasures]:
        """Measure the next hop of each of several analyses of the same design, of which this is one.

        Args:
            analyses: n analyses.
            hops: shape (n, hop_samples), finite, C-contiguous.
        """

    def flush_cepstra(self) -> Float64Array:
        """Return the vectors of the last cepstral frames, shape (n, n_cepstral_features), at the end of a recording."""


class RunningLevel:
    """Exponential mean without the bias of a start at zero.

    Args:
        spec: gives the time between values, a hop.

    Attributes:
        keep: factor on the weight of earlier values at each new one.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.keep = float(np.exp(-spec.hop_samples / spec.sample_rate_hz / LEVEL_TIME_CONSTANT_S))
        self.reset()

    def reset(self) -> None:
        """Drop all values."""
        self._sum = self._weight = 0.0

    def update(self, value: float) -> float:
        """Add `value`, and return the mean of all values, in which newer ones weigh more."""
        self._sum = self.keep * self._sum + (1.0 - self.keep) * value
        # Dividing by the total weight removes the zero that the sum started from.
        self._weight = self.keep * self._weight + (1.0 - self.keep)
        return self._sum / self._weight


class NumpyAnalysis:
    """`HopAnalysis` in numpy.

    Args:
        spec: defines the features.
        dtype: of the wavelet transform; float64 takes twice the time.
        has_cepstra: whether to make frame vectors.
    """

    def __init__(self, spec: FeatureSpec, dtype: npt.DTypeLike = np.float32, *, has_cepstra: bool = False) -> None:
        self.spec = spec
        self._frames = CepstralFrames(spec) if has_cepstra else None
        self._no_cepstra = np.zeros((0, n_cepstral_features(spec)))
        self._low_cut = LowCut(spec)
        self._transform = WaveletTransform(spec, dtype)
        self._window = WindowStatistics(spec, dtype)
        self._level = RunningLevel(spec)

    def reset(self) -> None:
        """Drop all hops."""
        self._low_cut.reset()
        self._transform.reset()
        self._window.reset()
        self._level.reset()
        if self._frames:
            self._frames.reset()

    def push_hops(
        self, hops: Float32Array, n_last_samples: int, largest: float = math.inf, offset: float = 0.0
    ) -> list[HopMeasures]:
        """Measure the next hops (see `HopAnalysis`)."""
        if not np.maximum.reduce(np.abs(hops), axis=None) <= largest:  # False for NaN
            return []
        hops -= np.float32(offset)
        n_samples = [self.spec.hop_samples] * (len(hops) - 1) + [n_last_samples]
        return [self._push_hop(hop, n) for hop, n in zip(hops, n_samples, strict=True)]

    def push_stack(self, analyses: Sequence[Self], hops: Float32Array) -> list[HopMeasures]:
        """Measure the next hop of several analyses (see `HopAnalysis`)."""
        return [each._push_hop(hop, len(hop)) for each, hop in zip(analyses, hops, strict=True)]

    def flush_cepstra(self) -> Float64Array:
        """Return the vectors of the last cepstral frames."""
        return self._frames.flush() if self._frames else self._no_cepstra

    def _push_hop(self, samples: Float32Array, n_samples: int) -> HopMeasures:
        # The low cut serves the levels only; the wavelets reject offset and rumble by themselves.
        squares = self._frame_squares(samples, n_samples)
        hop = self._transform.push_hop(samples)
        powers = np.add.reduce(hop.energies, axis=1, dtype=np.float64)
        # Updated before it is used: the first hop is relative to its own level, not to 0.
        level = self._level.update(float(np.add.reduce(powers)) / len(powers))
        vector = self._window.push(hop, level)
        cepstra = self._frames.push(hop.energies, level) if self._frames else self._no_cepstra
        levels_db = 10.0 * np.log10(np.maximum(squares, units.MIN_SQUARE))
        return HopMeasures(float(np.add.reduce(squares)), levels_db, vector, cepstra)

    def _frame_squares(self, samples: Float32Array, n_samples: int) -> Float64Array:
        filtered = self._low_cut.push_hop(samples)
        filtered[n_samples:] = 0.0
        # For arrays this small, the call overhead of `mean` exceeds the work.
        squares = np.add.reduce(np.square(filtered, dtype=np.float64).reshape(self.spec.hop_frames, -1), axis=1)
        return np.asarray(squares / self.spec.frame_samples)
