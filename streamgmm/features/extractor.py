"""The whole chain from samples to vectors, as a stream or on an array."""

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
"""A sample 60 dB over full scale is no sound but a broken float stream, as NaN is."""


LEVEL_TIME_CONSTANT_S = 3.0
"""Memory of the running level: long against a word, short against a change of room."""


class HopFeatures(NamedTuple):
    """What is known after one hop.

    All levels are of what the bank hears: without a constant offset, drift, or rumble below the lowest band.

    Attributes:
        end_sample: absolute index of the sample after the hop.
        vector: float64, shape (n_features,), of the window that ends here; None if a sample of it was
            not finite.
        level_dbfs: of the hop.
        frame_levels_db: shape (hop_frames,), levels of its frames, dBFS; fewer for the last, incomplete hop.
        window_share: how much of a whole window has been heard, 0 to 1; less than 1 after a start or a loss.
        window_level_dbfs: level of the window, what of it has not been heard counted as silence.
        cepstra: float64, shape (n, n_cepstral_features), of the frames that became complete with this hop
            and are no pauses; none if `vector` is None, or if the stream does not make them.
    """

    end_sample: int
    vector: Float64Array | None
    level_dbfs: float
    frame_levels_db: Float64Array
    window_share: float
    window_level_dbfs: float
    cepstra: Float64Array


class RunningLevel:
    """Exponential mean that starts from the signal itself instead of zero.

    Args:
        time_constant_s: memory.
        hop_s: seconds between values.
    """

    def __init__(self, time_constant_s: float, hop_s: float) -> None:
        self._keep = float(np.exp(-hop_s / time_constant_s))
        self.reset()

    def reset(self) -> None:
        """Forget all values."""
        self._sum = self._weight = 0.0

    def update(self, value: float) -> float:
        """Mean of the values so far, the newer ones weighing more."""
        self._sum = self._keep * self._sum + (1.0 - self._keep) * value
        self._weight = self._keep * self._weight + (1.0 - self._keep)
        return self._sum / self._weight


class FeatureStream:
    """Samples in blocks of any size in, one `HopFeatures` per hop out.

    Args:
        spec: what to measure.
        dtype: of the wavelet transform; float64 costs twice the time.
        has_cepstra: whether to make frame vectors too.

    Attributes:
        end_sample: samples in finished hops.
        n_pending_samples: samples that wait for their hop to be complete.
        level_dbfs: level of the last finished hop; that of silence before the first.
        no_cepstra: shape (0, n_cepstral_features), what a hop without frame vectors has.
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
        self._hop = np.zeros(spec.hop_samples, dtype=np.float32)
        self._hop_powers = np.zeros(self._n_window_hops)
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
        """Drop what was heard so far, but go on counting: audio was lost here."""
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
        """The samples of a begun hop, shape (n_pending_samples,), which is then one that was not begun."""
        taken = self._hop[: self.n_pending_samples].copy()
        self.n_pending_samples = 0
        return taken

    def abandon(self, end_sample: int) -> None:
        """Give up all samples after `end_sample`, in a begun hop or in one whose analysis failed."""
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
        """Complete a begun hop, so that the last samples of a recording count too."""
        n_samples = self.n_pending_samples
        if not n_samples:
            return []
        # Without a step behind a recording that has an offset; of one without, this is silence.
        self._hop[n_samples:] = _mean(self._hop[:n_samples])
        last = self._finish_hop(n_samples)
        if self._frames and last.vector is not None:
            last = last._replace(cepstra=np.concatenate([last.cepstra, self._frames.flush()]))
        return [last]

    def _finish_hop(self, n_samples: int) -> HopFeatures:
        self.n_pending_samples = 0
        self.end_sample += n_samples
        self._refuse_non_finite()
        self._remove_offset()
        squares = self._frame_squares(n_samples)
        hop = self._transform.push_hop(self._hop)
        powers = np.add.reduce(hop.energies, axis=1, dtype=np.float64)
        level = self._level.update(float(np.add.reduce(powers)) / len(powers))
        vector = self._window.push(hop, level)
        cepstra = self._frames.push(hop.energies, level) if self._frames else self.no_cepstra
        self._hop_powers[self._n_hops % self._n_window_hops] = np.add.reduce(squares) / len(squares)
        self._n_hops += 1
        # Of a hop completed with silence, only the frames that are whole have a level.
        whole = squares[: n_samples // self.spec.frame_samples]
        frame_levels_db = 10.0 * np.log10(np.maximum(whole, 10.0 ** (units.SILENCE_DBFS / 10.0)))
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
        """Mean squares of the hop's frames, shape (hop_frames,), of what the bank hears of its first `n_samples`."""
        heard = self._low_cut.push_hop(self._hop)
        heard[n_samples:] = 0.0
        # Plain reductions: of arrays as small as these, `mean` takes most of its time to be called.
        squares = np.add.reduce(np.square(heard, dtype=np.float64).reshape(self.spec.hop_frames, -1), axis=1)
        return np.asarray(squares / self.spec.frame_samples)

    def _refuse_non_finite(self) -> None:
        """Keep what is no sound out of the sums, and remember how long the windows lack a sample."""
        is_sound = np.abs(self._hop) <= MAX_AMPLITUDE  # false for NaN
        if is_sound.all():
            self._n_refused_hops = max(0, self._n_refused_hops - 1)
        else:
            self._hop[~is_sound] = _mean(self._hop[is_sound]) if is_sound.any() else self._offset
            self._n_refused_hops = self._memory_hops

    def _remove_offset(self) -> None:
        """Subtract the offset with which the stream begins: no band hears it, but its beginning would be a click."""
        if self._n_hops == 0:
            self._offset = _mean(self._hop[: self.spec.frame_samples])
        self._hop -= self._offset


def _mean(samples: Float32Array) -> np.float32:
    return np.float32(np.add.reduce(samples, dtype=np.float64) / len(samples))


class Features(NamedTuple):
    """All vectors of a recording.

    Attributes:
        vectors: float64, shape (n_hops, n_features).
        levels_dbfs: float64, shape (n_hops,).
        end_s: float64, shape (n_hops,), when each window ends.
        window_shares: float64, shape (n_hops,), how much of a whole window had been heard.
        window_levels_dbfs: float64, shape (n_hops,), of the windows.
        cepstra: float64, shape (n_frames, n_cepstral_features), of the frames that are no pauses.
        n_frames: int, shape (n_hops,), how many of them each hop completed.
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
    """Vectors of a whole recording, exactly those that a stream of it gives.

    Args:
        samples: shape (n,), mono, at `spec.sample_rate_hz`, full scale 1.0, finite.
        spec: what to measure.
        dtype: of the wavelet transform.
        has_cepstra: whether to make frame vectors too.
    """
    hops = clip_features(samples, spec, dtype, has_cepstra=has_cepstra)
    vectors = [np.full(n_features(spec), np.nan) if hop.vector is None else hop.vector for hop in hops]
    return Features(
        np.array(vectors).reshape(len(hops), n_features(spec)),
        np.array([hop.level_dbfs for hop in hops]),
        np.array([hop.end_sample / spec.sample_rate_hz for hop in hops]),
        np.array([hop.window_share for hop in hops]),
        np.array([hop.window_level_dbfs for hop in hops]),
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
    """What a stream of a whole recording gives, hop by hop; arguments as for `extract`."""
    stream = FeatureStream(spec, dtype, has_cepstra=has_cepstra)
    return stream.push(samples) + stream.flush()
