"""Feature extraction from samples to vectors, for streams and for whole recordings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgmm import units
from streamgmm.arrays import Float32Array, Float64Array, FloatArray, IndexArray
from streamgmm.features.cepstra import CepstralFrames, n_cepstral_features
from streamgmm.features.low_cut import LowCut
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.transform import WaveletTransform
from streamgmm.features.window import WindowStatistics, n_features

MAX_AMPLITUDE = 1e3
"""Larger samples (60 dB above full scale) come from a broken float stream and are treated like NaN."""

LEVEL_TIME_CONSTANT_S = 3.0
"""Time constant of the running level: longer than a word, shorter than a stay in one room."""


class HopFeatures(NamedTuple):
    """The features that one hop completes.

    All levels are measured after the low cut: without offset, drift, or rumble below the lowest band.

    Attributes:
        end_sample: absolute index of the sample after the hop.
        vector: float64, shape (n_features,), of the window that ends with the hop; None if one of its samples was
            not finite.
        level_dbfs: level of the hop (dB re full scale).
        frame_levels_db: shape (hop_frames,), levels of the frames in the hop (dB re full scale); only the complete
            frames of a last, incomplete hop.
        window_share: received share of a whole window, above 0 to 1; below 1 after a start or a loss.
        window_level_dbfs: level of the window, its missing part counted as silence.
        cepstra: float64, shape (n, n_cepstral_features), vectors of the frames that became complete with this hop
            and are no pauses; n is 0 if `vector` is None or if the stream makes no frame vectors.
    """

    end_sample: int
    vector: Float64Array | None
    level_dbfs: float
    frame_levels_db: Float64Array
    window_share: float
    window_level_dbfs: float
    cepstra: Float64Array


class RunningLevel:
    """Exponential mean without the bias of a start at zero.

    Args:
        time_constant_s: time after which a value weighs 1/e of a new one.
        hop_s: time between values.
    """

    def __init__(self, time_constant_s: float, hop_s: float) -> None:
        self._keep = float(np.exp(-hop_s / time_constant_s))
        self.reset()

    def reset(self) -> None:
        """Drop all values."""
        self._sum = self._weight = 0.0

    def update(self, value: float) -> float:
        """Add `value`, and return the mean of all values, in which newer ones weigh more."""
        self._sum = self._keep * self._sum + (1.0 - self._keep) * value
        # Dividing by the total weight removes the zero that the sum started from.
        self._weight = self._keep * self._weight + (1.0 - self._keep)
        return self._sum / self._weight


class FeatureStream:
    """Turns samples, in blocks of any size, into one `HopFeatures` per hop.

    Args:
        spec: defines the features.
        dtype: of the wavelet transform; float64 takes twice the time.
        has_cepstra: whether to make frame vectors too.

    Attributes:
        end_sample: number of samples in finished hops.
        n_pending_samples: number of samples that wait for the rest of their hop.
        level_dbfs: level of the last finished hop (dB re full scale); `SILENCE_DBFS` before the first.
        no_cepstra: shape (0, n_cepstral_features), the `cepstra` of a hop without frame vectors.
    """

    def __init__(self, spec: FeatureSpec, dtype: npt.DTypeLike = np.float32, *, has_cepstra: bool = False) -> None:
        self.spec = spec
        self._frames = CepstralFrames(spec) if has_cepstra else None
        self.no_cepstra = np.zeros((0, n_cepstral_features(spec)))
        self._n_window_hops = spec.window_samples // spec.hop_samples
        self._low_cut = LowCut(spec)
        self._transform = WaveletTransform(spec, dtype)
        self._window = WindowStatistics(spec, dtype)
        self._level = RunningLevel(LEVEL_TIME_CONSTANT_S, spec.hop_samples / spec.sample_rate_hz)
        # float32 also if the transform runs in float64: the low cut and its levels stay the same.
        self._hop = np.zeros(spec.hop_samples, dtype=np.float32)
        # Mean power of each hop of the window; 0, and so silence, where none was received.
        self._hop_powers = np.zeros(self._n_window_hops)
        # A bad sample affects vectors until it has left both the window and the wavelets at its beginning.
        memory_samples = spec.window_samples + self._transform.memory_samples
        self._memory_hops = -(-memory_samples // spec.hop_samples)
        self.reset()

    def reset(self) -> None:
        """Begin a new stream at sample 0."""
        self.n_pending_samples = 0
        self.end_sample = 0
        self.level_dbfs = units.SILENCE_DBFS
        self.forget()

    def forget(self) -> None:
        """Drop all earlier audio but keep the position in the stream, for a loss of audio."""
        self._low_cut.reset()
        self._transform.reset()
        self._window.reset()
        self._level.reset()
        if self._frames:
            self._frames.reset()
        self._hop_powers[:] = 0.0
        self._offset = np.float32(0.0)
        self._n_hops = 0
        self._n_refused_hops = 0

    def take_pending(self) -> Float32Array:
        """Remove and return the samples of an incomplete hop, shape (n_pending_samples,)."""
        taken = self._hop[: self.n_pending_samples].copy()
        self.n_pending_samples = 0
        return taken

    def abandon(self, end_sample: int) -> None:
        """Drop all samples after `end_sample`: those of an incomplete hop, or of a hop whose analysis failed."""
        self.n_pending_samples = 0
        self.end_sample = end_sample
        self.forget()

    def push(self, samples: FloatArray) -> list[HopFeatures]:
        """Add samples, shape (n,), full scale 1.0; return the features of the hops that they complete."""
        hops = []
        while len(samples):
            taken = samples[: self.spec.hop_samples - self.n_pending_samples]
            self._hop[self.n_pending_samples : self.n_pending_samples + len(taken)] = taken
            self.n_pending_samples += len(taken)
            samples = samples[len(taken) :]
            if self.n_pending_samples == self.spec.hop_samples:
                hops.append(self._finish_hop(self.spec.hop_samples))
        return hops

    def flush(self) -> list[HopFeatures]:
        """Complete an incomplete hop and return its features, so that the last samples of a recording count."""
        n_samples = self.n_pending_samples
        if not n_samples:
            return []
        # Padding with the mean: zeros would be a step, and so a click, after a recording with an offset.
        self._hop[n_samples:] = _mean(self._hop[:n_samples])
        last = self._finish_hop(n_samples)
        if self._frames and last.vector is not None:
            # No further hop will complete the frames that still wait for their slopes.
            last = last._replace(cepstra=np.concatenate([last.cepstra, self._frames.flush()]))
        return [last]

    def _finish_hop(self, n_samples: int) -> HopFeatures:
        self.n_pending_samples = 0
        # Padding does not count: positions are those of received samples.
        self.end_sample += n_samples
        # In this order: a NaN would make the offset, which is a mean, unusable.
        self._refuse_non_finite()
        self._remove_offset()
        squares = self._frame_squares(n_samples)
        # The low cut serves the levels only; the wavelets reject offset and rumble by themselves.
        hop = self._transform.push_hop(self._hop)
        powers = np.add.reduce(hop.energies, axis=1, dtype=np.float64)
        # Updated before it is used: the first hop is relative to its own level, not to 0.
        level = self._level.update(float(np.add.reduce(powers)) / len(powers))
        vector = self._window.push(hop, level)
        cepstra = self._frames.push(hop.energies, level) if self._frames else self.no_cepstra
        # A ring of the last hops: their order does not matter for a mean.
        self._hop_powers[self._n_hops % self._n_window_hops] = np.add.reduce(squares) / len(squares)
        self._n_hops += 1
        # In a padded hop, only frames without padding have a meaningful level.
        whole = squares[: n_samples // self.spec.frame_samples]
        frame_levels_db = 10.0 * np.log10(np.maximum(whole, 10.0 ** (units.SILENCE_DBFS / 10.0)))
        # Padding adds nothing to the sum, which is divided by the received samples alone.
        self.level_dbfs = units.power_to_dbfs(float(squares.sum()) * self.spec.frame_samples / n_samples)
        return HopFeatures(
            end_sample=self.end_sample,
            vector=None if self._n_refused_hops else vector,
            level_dbfs=self.level_dbfs,
            frame_levels_db=frame_levels_db,
            window_share=min(1.0, self._n_hops / self._n_window_hops),
            window_level_dbfs=units.power_to_dbfs(float(np.add.reduce(self._hop_powers)) / self._n_window_hops),
            cepstra=self.no_cepstra if self._n_refused_hops else cepstra,
        )

    def _frame_squares(self, n_samples: int) -> Float64Array:
        """Return the mean square of each frame after the low cut, shape (hop_frames,); padding counts as 0."""
        filtered = self._low_cut.push_hop(self._hop)
        filtered[n_samples:] = 0.0
        # For arrays this small, the call overhead of `mean` exceeds the work.
        squares = np.add.reduce(np.square(filtered, dtype=np.float64).reshape(self.spec.hop_frames, -1), axis=1)
        return np.asarray(squares / self.spec.frame_samples)

    def _refuse_non_finite(self) -> None:
        """Replace unusable samples of the hop, and count for how many hops windows hold one."""
        is_sound = np.abs(self._hop) <= MAX_AMPLITUDE  # False for NaN
        if is_sound.all():
            self._n_refused_hops = max(0, self._n_refused_hops - 1)
        else:
            # A NaN would stay in the sums of filters and means forever.
            self._hop[~is_sound] = _mean(self._hop[is_sound]) if is_sound.any() else self._offset
            self._n_refused_hops = self._memory_hops

    def _remove_offset(self) -> None:
        """Subtract the offset at the start of the stream: no band passes it, but its onset would be a click."""
        if self._n_hops == 0:
            self._offset = _mean(self._hop[: self.spec.frame_samples])
        self._hop -= self._offset


def _mean(samples: Float32Array) -> np.float32:
    return np.float32(np.add.reduce(samples, dtype=np.float64) / len(samples))


class Features(NamedTuple):
    """The features of a whole recording.

    Attributes:
        vectors: float64, shape (n_hops, n_features).
        levels_dbfs: float64, shape (n_hops,), levels of the hops (dB re full scale).
        end_s: float64, shape (n_hops,), end of each window, in seconds from the start.
        window_shares: float64, shape (n_hops,), received share of each window, above 0 to 1.
        window_levels_dbfs: float64, shape (n_hops,), levels of the windows (dB re full scale).
        cepstra: float64, shape (n_frames, n_cepstral_features), vectors of the frames that are no pauses.
        n_frames: int, shape (n_hops,), number of rows of `cepstra` that each hop completed.
    """

    vectors: Float64Array
    levels_dbfs: Float64Array
    end_s: Float64Array
    window_shares: Float64Array
    window_levels_dbfs: Float64Array
    cepstra: Float64Array
    n_frames: IndexArray


def extract(
    samples: FloatArray,
    spec: FeatureSpec,
    dtype: npt.DTypeLike = np.float32,
    *,
    has_cepstra: bool = False,
) -> Features:
    """Return all features of a recording, bit for bit those of a stream of it.

    Args:
        samples: shape (n,), mono, at `spec.sample_rate_hz`, full scale 1.0, finite.
        spec: defines the features.
        dtype: of the wavelet transform.
        has_cepstra: whether to make frame vectors too.
    """
    hops = clip_features(samples, spec, dtype, has_cepstra=has_cepstra)
    # A row of NaN in place of a missing vector keeps vectors and levels of a hop at the same index.
    vectors = [np.full(n_features(spec), np.nan) if hop.vector is None else hop.vector for hop in hops]
    return Features(
        np.array(vectors).reshape(len(hops), n_features(spec)),
        np.array([hop.level_dbfs for hop in hops]),
        np.array([hop.end_sample / spec.sample_rate_hz for hop in hops]),
        np.array([hop.window_share for hop in hops]),
        np.array([hop.window_level_dbfs for hop in hops]),
        # The empty array gives a recording without hops its number of columns.
        np.concatenate([np.zeros((0, n_cepstral_features(spec))), *(hop.cepstra for hop in hops)]),
        np.array([len(hop.cepstra) for hop in hops], dtype=np.intp),
    )


def clip_features(
    samples: FloatArray,
    spec: FeatureSpec,
    dtype: npt.DTypeLike = np.float32,
    *,
    has_cepstra: bool = False,
) -> list[HopFeatures]:
    """Return the features of each hop of a recording; arguments as for `extract`."""
    stream = FeatureStream(spec, dtype, has_cepstra=has_cepstra)
    return stream.push(samples) + stream.flush()
