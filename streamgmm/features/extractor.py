"""Feature extraction from samples to vectors, for streams and for whole recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgmm import units
from streamgmm.arrays import Float32Array, Float64Array, FloatArray, IndexArray
from streamgmm.features.analysis import HopAnalysis, HopMeasures, NumpyAnalysis
from streamgmm.features.cepstra import n_cepstral_features
from streamgmm.features.kernel.analysis import KernelAnalysis
from streamgmm.features.kernel.loader import find_kernel
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.transform import memory_samples
from streamgmm.features.window import n_features

MAX_AMPLITUDE = 1e3
"""Larger samples (60 dB above full scale) come from a broken float stream and are treated like NaN."""

MAX_HOPS = 64
"""Most hops that are analysed together; more would only take memory, and delay the first one."""


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
        # Properties of the spec are computed at each use, which would take a third of the time of small blocks.
        self._hop_samples, self._frame_samples = spec.hop_samples, spec.frame_samples
        self.no_cepstra = np.zeros((0, n_cepstral_features(spec)))
        self._n_window_hops = spec.window_samples // self._hop_samples
        self._analysis = make_analysis(spec, dtype, has_cepstra=has_cepstra)
        # float32 also if the transform runs in float64: the low cut and its levels stay the same.
        self._hop = np.zeros(self._hop_samples, dtype=np.float32)
        # Mean power of each hop of the window; 0, and so silence, where none was received.
        self._hop_powers = [0.0] * self._n_window_hops
        # A bad sample affects vectors until it has left both the window and the wavelets at its beginning.
        self._memory_hops = -(-(spec.window_samples + memory_samples(spec)) // self._hop_samples)
        self.reset()

    def reset(self) -> None:
        """Begin a new stream at sample 0."""
        self.n_pending_samples = 0
        self.end_sample = 0
        self.level_dbfs = units.SILENCE_DBFS
        self.forget()

    def forget(self) -> None:
        """Drop all earlier audio but keep the position in the stream, for a loss of audio."""
        self._analysis.reset()
        self._hop_powers = [0.0] * self._n_window_hops
        self._offset = 0.0
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
        n_missing = self._hop_samples - self.n_pending_samples
        if len(samples) < n_missing:
            # As most blocks of a live stream: they complete no hop.
            return self._add_pending(samples)
        found: list[HopFeatures] = []
        if self.n_pending_samples:
            found = self._add_pending(samples[:n_missing])
            samples = samples[n_missing:]
        n_whole = len(samples) // self._hop_samples * self._hop_samples
        for first in range(0, n_whole, MAX_HOPS * self._hop_samples):
            # A copy: what follows changes the hops.
            hops = np.array(samples[first : min(first + MAX_HOPS * self._hop_samples, n_whole)], dtype=np.float32)
            found += self._finish_hops(hops.reshape(-1, self._hop_samples), self._hop_samples)
        return found + self._add_pending(samples[n_whole:])

    def flush(self) -> list[HopFeatures]:
        """Complete an incomplete hop and return its features, so that the last samples of a recording count."""
        n_samples = self.n_pending_samples
        if not n_samples:
            return []
        # Padding with the mean: zeros would be a step, and so a click, after a recording with an offset.
        self._hop[n_samples:] = _mean(self._hop[:n_samples])
        (last,) = self._finish_hops(self._hop[np.newaxis], n_samples)
        if last.vector is not None:
            # No further hop will complete the frames that still wait for their slopes.
            last = last._replace(cepstra=np.concatenate([last.cepstra, self._analysis.flush_cepstra()]))
        return [last]

    def _add_pending(self, samples: FloatArray) -> list[HopFeatures]:
        """Add samples that do not reach beyond the incomplete hop; return its features if they complete it."""
        self._hop[self.n_pending_samples : self.n_pending_samples + len(samples)] = samples
        self.n_pending_samples += len(samples)
        if self.n_pending_samples < self._hop_samples:
            return []
        return self._finish_hops(self._hop[np.newaxis], self._hop_samples)

    def _finish_hops(self, hops: Float32Array, n_last_samples: int) -> list[HopFeatures]:
        """Return the features of hops, shape (n, hop_samples), of whose last one `n_last_samples` were received."""
        self.n_pending_samples = 0
        # The first hop of a stream is cleaned, because its offset is not known yet.
        measures: list[HopMeasures] = []
        if self._n_hops:
            measures = self._analysis.push_hops(hops, n_last_samples, MAX_AMPLITUDE, self._offset)
        if measures:
            n_refused = [self._forgive() for _ in hops]
        else:
            n_refused = [self._clean(hop, is_first=self._n_hops + i == 0) for i, hop in enumerate(hops)]
            measures = self._analysis.push_hops(hops, n_last_samples)
        n_samples = [self._hop_samples] * (len(hops) - 1) + [n_last_samples]
        return [self._features(*hop) for hop in zip(measures, n_samples, n_refused, strict=True)]

    def _features(self, hop: HopMeasures, n_samples: int, n_refused_hops: int) -> HopFeatures:
        # Padding does not count: positions are those of received samples.
        self.end_sample += n_samples
        # A ring of the last hops: their order does not matter for a mean.
        self._hop_powers[self._n_hops % self._n_window_hops] = hop.squares / len(hop.frame_levels_db)
        self._n_hops += 1
        # Padding adds nothing to the sum, which is divided by the received samples alone.
        self.level_dbfs = units.power_to_dbfs(hop.squares * self._frame_samples / n_samples)
        return HopFeatures(
            end_sample=self.end_sample,
            vector=None if n_refused_hops else hop.vector,
            level_dbfs=self.level_dbfs,
            # In a padded hop, only frames without padding have a meaningful level.
            frame_levels_db=hop.frame_levels_db[: n_samples // self._frame_samples],
            window_share=min(1.0, self._n_hops / self._n_window_hops),
            window_level_dbfs=units.power_to_dbfs(sum(self._hop_powers) / self._n_window_hops),
            cepstra=self.no_cepstra if n_refused_hops else hop.cepstra,
        )

    def _clean(self, hop: Float32Array, *, is_first: bool) -> int:
        """Replace unusable samples and subtract the offset; return for how many hops windows hold a bad sample."""
        is_sound = np.abs(hop) <= MAX_AMPLITUDE  # False for NaN
        if is_sound.all():
            self._forgive()
        else:
            # A NaN would stay in the sums of filters and means forever.
            hop[~is_sound] = _mean(hop[is_sound]) if is_sound.any() else self._offset
            self._n_refused_hops = self._memory_hops
        # The offset at the start of the stream: no band passes it, but its onset would be a click.
        if is_first:
            self._offset = float(_mean(hop[: self._frame_samples]))
        hop -= self._offset
        return self._n_refused_hops

    def _forgive(self) -> int:
        """Count a hop without bad samples; return for how many more hops windows hold one."""
        self._n_refused_hops = max(0, self._n_refused_hops - 1)
        return self._n_refused_hops


def push_stack(streams: Sequence[FeatureStream], samples: Sequence[FloatArray]) -> list[HopFeatures]:
    """Add one hop to each of several streams; return its features, to the last bit as `FeatureStream.push` does.

    Args:
        streams: streams with the same spec, all or none of them with cepstra, none with an incomplete hop.
        samples: float32, shape (hop_samples,), of each stream, full scale 1.0.
    """
    # A copy: what follows changes the hops.
    hops = np.array(samples, dtype=np.float32)
    n_refused = _clean_stack(streams, hops)
    analyses = [stream._analysis for stream in streams]
    measures = analyses[0].push_stack(analyses, hops)
    each = zip(streams, measures, n_refused, strict=True)
    return [stream._features(hop, hops.shape[1], n) for stream, hop, n in each]


def _clean_stack(streams: Sequence[FeatureStream], hops: Float32Array) -> list[int]:
    """Do as `FeatureStream._clean` for a hop of each stream, most of which have nothing to replace."""
    are_sound = (np.maximum.reduce(np.abs(hops), axis=1) <= MAX_AMPLITUDE).tolist()
    offsets, n_refused = np.zeros((len(hops), 1), dtype=np.float32), []
    for i, (stream, hop, is_sound) in enumerate(zip(streams, hops, are_sound, strict=True)):
        if is_sound and stream._n_hops:
            stream._forgive()
            offsets[i] = stream._offset
        else:
            stream._clean(hop, is_first=stream._n_hops == 0)
        n_refused.append(stream._n_refused_hops)
    hops -= offsets
    return n_refused


def make_analysis(spec: FeatureSpec, dtype: npt.DTypeLike = np.float32, *, has_cepstra: bool = False) -> HopAnalysis:
    """Return the compiled analysis where there is one for the machine and for `dtype`, otherwise the one in numpy.

    Raises:
        ConfigError: the environment chooses a kernel that does not exist.
    """
    kernel = find_kernel()
    if kernel is not None and np.dtype(dtype) == np.float32:
        return KernelAnalysis(kernel, spec, has_cepstra=has_cepstra)
    return NumpyAnalysis(spec, dtype, has_cepstra=has_cepstra)


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
