"""Context: copies of a clip within other sound, with something before, below and after it, as in a room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np

from streamgmm.arrays import Float64Array, IndexArray, Samples
from streamgmm.audio.resample import resample
from streamgmm.errors import DataError
from streamgmm.features.extractor import Features, extract
from streamgmm.features.spec import FeatureSpec
from streamgmm.training.extraction.augmentation import COLOUR_RANGE, DIGITAL_SILENCE, coloured_noise
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ContextCopy
from streamgmm.world.world import read_world

CONTEXT_SNRS_DB = (0.0, 6.0, 12.0, 20.0)
"""Levels of the sound above the rest, one copy after the other: from as loud as the rest to close by."""

LEAD_S, TAIL_S = 0.75, 0.5
"""Sound before and after the clip, at least; for windows of more than a second, such shares of a window."""

MAX_SOUND_S = 2.5
"""Longest part of a clip that is put in context, its loudest; a whole window where that is longer."""

FRAME_S = 0.05
ACTIVE_RANGE_DB = 25.0
"""Frames this far below the loudest do not count for the level of a sound."""

FILLED_COVER = 0.6
"""Least share at which a window counts as one of the sound."""

BED_KINDS = frozenset({"wind", "rain", "sea", "crowd", "machine hum", "road vehicle", "running water", "train", "fire"})
"""Kinds of the world's sounds that last, and so can lie below others."""

WORLD_BED_SHARE = 0.5
"""Share of copies over a sound of the world, where no background was recorded; the others are over noise."""

Bed = Callable[[int, np.random.Generator], Float64Array]
"""Makes the sound below a clip: a number of samples, of mean square about 1."""


def loudest_part(samples: Samples, n_samples: int) -> Samples:
    """Return the part of at most `n_samples` with the most energy."""
    if len(samples) <= n_samples:
        return samples
    energies = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    start = int(np.argmax(energies[n_samples:] - energies[:-n_samples]))
    return samples[start : start + n_samples]


def active_rms(samples: Samples, sample_rate_hz: int) -> float:
    """Return the root mean square of the loud frames of a sound; at least `DIGITAL_SILENCE`."""
    n_frame = max(1, int(FRAME_S * sample_rate_hz))
    # Padded, so that a sound shorter than a frame has one too.
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % n_frame))
    powers = np.square(padded).reshape(-1, n_frame).mean(axis=1)
    loud = powers[powers >= powers.max() * 10.0 ** (-ACTIVE_RANGE_DB / 10.0)]
    return max(float(np.sqrt(loud.mean())), DIGITAL_SILENCE)


def put_in_context(
    samples: Samples, spec: FeatureSpec, bed: Bed, snr_db: float, rng: np.random.Generator, *, has_cepstra: bool
) -> ContextCopy:
    """Measure a sound within other sound.

    Args:
        samples: the sound, shape (n,), n >= 1.
        spec: defines the features.
        bed: makes the other sound.
        snr_db: level of the sound above it (dB).
        rng: draws the other sound.
        has_cepstra: whether to measure cepstral frames too.
    """
    rate_hz = spec.sample_rate_hz
    sound = loudest_part(samples, max(int(MAX_SOUND_S * rate_hz), spec.window_samples))
    # The first windows of a stream are not whole: the sound begins after them, or within the last of them.
    n_lead, n_tail = (int(least_s * max(1.0, spec.window_s) * rate_hz) for least_s in (LEAD_S, TAIL_S))
    mixed = bed(n_lead + len(sound) + n_tail, rng) * active_rms(sound, rate_hz) * 10.0 ** (-snr_db / 20.0)
    mixed[n_lead : n_lead + len(sound)] += sound
    measured = extract(mixed.astype(np.float32), spec, has_cepstra=has_cepstra)
    onset_s, offset_s = n_lead / rate_hz, (n_lead + len(sound)) / rate_hz
    return ContextCopy(
        vectors=measured.vectors.astype(np.float32),
        covers=_covers(measured.end_s, spec, onset_s, offset_s),
        levels_dbfs=measured.levels_dbfs,
        snr_db=snr_db,
        cepstra=_cepstra(measured, spec, onset_s, offset_s) if has_cepstra else None,
    )


def _covers(end_s: Float64Array, spec: FeatureSpec, onset_s: float, offset_s: float) -> Float64Array:
    window_s = spec.window_samples / spec.sample_rate_hz
    common_s = np.minimum(end_s, offset_s) - np.maximum(end_s - window_s, onset_s)
    return np.asarray(np.clip(common_s, 0.0, None) / min(window_s, offset_s - onset_s))


def _cepstra(measured: Features, spec: FeatureSpec, onset_s: float, offset_s: float) -> ClipCepstra:
    """Return all frames, and as copies those of the hops in which the sound is."""
    vectors = measured.cepstra.astype(np.float32)
    hop_s = spec.hop_samples / spec.sample_rate_hz
    holds_sound = (measured.end_s > onset_s) & (measured.end_s - hop_s < offset_s)
    return ClipCepstra(vectors, vectors[np.repeat(holds_sound, measured.n_frames)], frame_spans(measured, spec))


def frame_spans(measured: Features, spec: FeatureSpec) -> IndexArray:
    """Return the first frame of each window and one past its last, shape (n_hops, 2)."""
    # `n_frames` counts the new frames of each hop; a window contains those of all the hops that it spans.
    ends = np.cumsum(measured.n_frames)
    starts = np.concatenate([np.zeros(spec.window_samples // spec.hop_samples, dtype=np.intp), ends])[: len(ends)]
    return np.stack([starts, ends], axis=1)


def noise_bed(n_samples: int, rng: np.random.Generator, *, sample_rate_hz: int) -> Float64Array:
    """Return noise of a random colour, mean square 1."""
    return coloured_noise(n_samples, sample_rate_hz, rng.uniform(*COLOUR_RANGE), rng)


def recorded_bed(n_samples: int, rng: np.random.Generator, *, recording: Samples) -> Float64Array:
    """Return a random part of a recording, shape (n,), n >= 1, repeated as needed, mean square 1."""
    part = np.resize(np.roll(recording, -int(rng.integers(len(recording)))), n_samples).astype(np.float64)
    return part / max(float(np.std(part)), DIGITAL_SILENCE)


def world_bed(n_samples: int, rng: np.random.Generator, *, sample_rate_hz: int) -> Float64Array:
    """Return a lasting sound of the world, or noise; noise alone if the world cannot be read."""
    sounds = lasting_sounds(sample_rate_hz)
    if not sounds or rng.uniform() >= WORLD_BED_SHARE:
        return noise_bed(n_samples, rng, sample_rate_hz=sample_rate_hz)
    return recorded_bed(n_samples, rng, recording=sounds[int(rng.integers(len(sounds)))])


def choose_bed(recordings: Sequence[Samples], sample_rate_hz: int, rng: np.random.Generator, *, has_world: bool) -> Bed:
    """Return what to put a clip into: one of the user's background recordings, else the world or noise."""
    if recordings:
        return partial(recorded_bed, recording=recordings[int(rng.integers(len(recordings)))])
    return partial(world_bed if has_world else noise_bed, sample_rate_hz=sample_rate_hz)


@lru_cache(maxsize=2)
def lasting_sounds(sample_rate_hz: int) -> tuple[Samples, ...]:
    """Return the sounds of the world that last, in their order; none if the world cannot be read."""
    try:
        world = read_world(kinds=BED_KINDS)
    except DataError:  # reported where the world is read as background
        return ()
    return tuple(resample(sound.samples, world.rate_hz, sample_rate_hz) for sound in world.sounds)
