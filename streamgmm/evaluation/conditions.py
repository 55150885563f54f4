"""Conditions of a test: the room, noise, microphone, length and level that clips are evaluated with."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import BoolArray, FloatArray, Samples
from streamgmm.audio.reading import read_recording
from streamgmm.audio.resample import resample
from streamgmm.dataset.clips import Clip, rng_of
from streamgmm.errors import DataError
from streamgmm.features.low_cut import low_cut
from streamgmm.features.spec import FeatureSpec
from streamgmm.training.extraction.augmentation import coloured_noise
from streamgmm.training.extraction.extraction import active_windows
from streamgmm.training.extraction.transmission import room_response
from streamgmm.wording import escaped

NoiseKind = Literal["white", "pink", "file"]

COLOUR_EXPONENTS = {"white": 0.0, "pink": 0.5}
"""Exponent of 1/f on the amplitudes: equal power per hertz, equal power per octave."""

NOISE_SEED = 20150701
"""Seed of the noise and the room of a clip: always the same, so that two evaluations differ only in the models."""

ROOM_DIRECT_DB = 0.0
"""Level of the direct sound over the reverberation: equal, as at the critical distance (Kuttruff, Room Acoustics)."""

BAND_ORDER = 8
"""Order of the Butterworth filters at either end of a band, 48 dB per octave."""


class Noise(NamedTuple):
    """Noise that is added to a clip.

    Attributes:
        kind: its colour, or `file` for a part of a recording.
        snr_db: level of the active part of the clip over that of the noise (dB).
        path: the recording; for kind `file` only.
    """

    kind: NoiseKind
    snr_db: float
    path: Path | None = None


class Conditions(NamedTuple):
    """Changes to each test clip, by default none. The room comes first, then noise, band, length and gain.

    Attributes:
        noise: noise over the whole clip; None for none.
        first_active_s: active seconds to keep, from the first active hop on (s); None for all. Pauses between active
            hops are kept but not counted.
        gain_db: gain on the samples (dB). They may exceed full scale: nothing is clipped.
        room_s: reverberation time of a room whose reverberation is as loud as the direct sound (s); None for none.
        band_hz: lowest and highest frequency that the microphone passes (Hz); None for all.
    """

    noise: Noise | None = None
    first_active_s: float | None = None
    gain_db: float = 0.0
    room_s: float | None = None
    band_hz: tuple[float, float] | None = None

    def described(self) -> dict[str, str | float | None]:
        """Return the conditions by name, as reports have them."""
        noise = self.noise
        low_hz, high_hz = self.band_hz or (None, None)
        return {
            "room_s": self.room_s,
            "noise": None if noise is None else escaped(str(noise.path or noise.kind)),
            "snr_db": None if noise is None else noise.snr_db,
            "low_hz": low_hz,
            "high_hz": high_hz,
            "first_active_s": self.first_active_s,
            "gain_db": self.gain_db,
        }


UNCHANGED = Conditions()
"""Clips as they were recorded."""


def conditions_text(conditions: dict[str, str | float | None]) -> str:
    """Return the conditions in words; empty if clips are unchanged."""
    parts: list[str] = []
    if conditions["room_s"] is not None:
        parts.append(f"in a room of {conditions['room_s']:g} s reverberation")
    if conditions["noise"] is not None:
        parts.append(f"{conditions['noise']} noise at {conditions['snr_db']:g} dB SNR")
    if conditions["low_hz"] is not None:
        parts.append(f"only {conditions['low_hz']:g} to {conditions['high_hz']:g} Hz")
    if conditions["first_active_s"] is not None:
        parts.append(f"first {conditions['first_active_s']:g} active seconds")
    if conditions["gain_db"]:
        parts.append(f"gain {conditions['gain_db']:+g} dB")
    return ", ".join(parts)


def check_noise(noise: Noise | None, clips: Iterable[Clip]) -> None:
    """Reject a noise that is shorter than a clip: repeated noise would have a rhythm of its own.

    Raises:
        RecordingError: the recording of noise cannot be read.
        DataError: it is shorter than the longest clip.
    """
    if noise is None or noise.path is None:
        return
    recording = read_recording(noise.path, follow_symlinks=True)
    duration_s = units.samples_to_seconds(recording.samples.size, recording.sample_rate_hz)
    longest = max(clips, key=lambda clip: clip.duration_s)
    if duration_s < longest.duration_s:
        raise _too_short(noise.path, f"{longest.path} of {longest.duration_s:g} s")


def apply_conditions(
    samples: Samples,
    clip: Clip,
    conditions: Conditions,
    spec: FeatureSpec,
    silence_gate_dbfs: float,
) -> Samples:
    """Return the samples of a clip under `conditions`; the same clip always gives the same samples.

    Args:
        samples: float32, shape (n,), the clip as recorded, at the rate of `spec`; not modified.
        clip: determines the seed of noise and room.
        conditions: the changes to make.
        spec: gives the hop, the unit that is active or not, and the sample rate.
        silence_gate_dbfs: hops below it are not active.

    Returns:
        float32, shape (m,), m <= n.

    Raises:
        DataError: the recording of noise is too short, or silent where it was drawn.
    """
    if conditions == UNCHANGED:
        return samples
    # Measured on the clip as recorded: noise would make its pauses active.
    is_active = active_samples(samples, clip.label, spec, silence_gate_dbfs)
    # One generator for both, so that the noise does not repeat the numbers that the room was drawn from.
    rng = rng_of(clip, NOISE_SEED)
    changed = samples
    if conditions.room_s is not None:
        changed = with_reverberation(changed, conditions.room_s, spec.sample_rate_hz, rng)
    if conditions.noise is not None:
        noise = _draw_noise(conditions.noise, len(samples), spec.sample_rate_hz, rng)
        changed = mix(changed, noise, is_active, conditions.noise.snr_db)
    if conditions.band_hz is not None:
        changed = in_band(changed, conditions.band_hz, spec.sample_rate_hz)
    if conditions.first_active_s is not None:
        n_wanted = units.seconds_to_samples(conditions.first_active_s, spec.sample_rate_hz)
        changed = keep_first(changed, is_active, n_wanted)
    return with_gain(changed, conditions.gain_db)


def with_reverberation(
    samples: Samples, reverberation_s: float, sample_rate_hz: int, rng: np.random.Generator
) -> Samples:
    """Return `samples`, shape (n,), with the reverberation of a random room, cut off at their end."""
    from scipy.signal import fftconvolve  # here, as processes without conditions start faster without it

    response = room_response(reverberation_s, ROOM_DIRECT_DB, sample_rate_hz, rng)
    # As if the first sample extended into the past: an offset that began with the clip would be a click.
    offset = samples[:1]
    # A constant passes the room with the sum of its response as gain.
    reverberant = fftconvolve(samples - offset, response)[: len(samples)] + offset * response.sum()
    return np.asarray(reverberant, dtype=np.float32)


def in_band(samples: Samples, band_hz: tuple[float, float], sample_rate_hz: int) -> Samples:
    """Return `samples`, shape (n,), limited to a band; an edge at Nyquist or above is not filtered."""
    from scipy.signal import butter, sosfilt, sosfilt_zi

    limited: FloatArray = samples
    for edge_hz, kind in zip(band_hz, ("highpass", "lowpass"), strict=True):
        if edge_hz < sample_rate_hz / 2 and len(samples):
            sections = butter(BAND_ORDER, edge_hz, kind, fs=sample_rate_hz, output="sos")
            # As if the first sample extended into the past: an offset that began with the clip would be a click.
            limited, _ = sosfilt(sections, limited, zi=sosfilt_zi(sections) * limited[0])
    return np.asarray(limited, dtype=np.float32)


def active_samples(samples: Samples, label: str, spec: FeatureSpec, silence_gate_dbfs: float) -> BoolArray:
    """Return which samples lie in active hops, by the gates of training; bool, shape (n,)."""
    # Levels are those of hops, after the same filter as in training; the last hop may be shorter than the others.
    starts = np.arange(0, len(samples), spec.hop_samples)
    without_rumble = low_cut(samples, spec)
    squares = np.add.reduceat(np.square(without_rumble, dtype=np.float64), starts) if len(starts) else np.zeros(0)
    lengths = np.diff(np.append(starts, len(samples)))
    levels_dbfs = np.array([units.power_to_dbfs(power) for power in squares / lengths])
    return np.repeat(active_windows(levels_dbfs, label, silence_gate_dbfs), lengths)


def mix(samples: Samples, noise: FloatArray, is_active: BoolArray, snr_db: float) -> Samples:
    """Return `samples` with `noise` of equal length, `snr_db` below the mean power of the active samples.

    A clip without an active sample has no level to relate the noise to, and is returned unchanged.
    """
    if not is_active.any():
        return samples
    # Standard deviations, as the offset of a microphone is no sound; in double precision, as clips may be long.
    signal_rms = np.std(samples[is_active], dtype=np.float64)
    noise_rms = np.std(noise, dtype=np.float64)
    factor = signal_rms / noise_rms * units.db_to_amplitude(-snr_db)
    return np.asarray(samples + factor * noise, dtype=np.float32)


def keep_first(samples: Samples, is_active: BoolArray, n_wanted: int) -> Samples:
    """Return the part from the first active sample to the `n_wanted`-th, or to the end if there are fewer.

    A clip without active samples is returned whole.
    """
    places = np.flatnonzero(is_active)
    if not len(places):
        return samples
    end = places[n_wanted - 1] + 1 if n_wanted <= len(places) else len(samples)
    return samples[places[0] : end]


def with_gain(samples: Samples, gain_db: float) -> Samples:
    """Return `samples` with a gain (dB)."""
    return samples if gain_db == 0.0 else np.asarray(samples * units.db_to_amplitude(gain_db), dtype=np.float32)


def _draw_noise(noise: Noise, n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> FloatArray:
    """Return noise of the length of a clip, shape (n_samples,), at any level above silence."""
    if noise.path is None:
        return coloured_noise(n_samples, sample_rate_hz, COLOUR_EXPONENTS[noise.kind], rng)
    recorded = _recorded_noise(noise.path, sample_rate_hz)
    if len(recorded) < n_samples:
        raise _too_short(noise.path, f"a clip of {units.samples_to_seconds(n_samples, sample_rate_hz):g} s")
    # With the end point: a recording as long as the clip has exactly one start.
    start = rng.integers(len(recorded) - n_samples, endpoint=True)
    stretch = recorded[start : start + n_samples]
    # Digital silence has no deviation that could be scaled to a level.
    if not np.ptp(stretch):
        at_s = units.samples_to_seconds(int(start), sample_rate_hz)
        raise DataError(f"is silent from {at_s:g} s on", where=str(noise.path), hint="cut its silence out")
    return stretch


@lru_cache(maxsize=1)
def _recorded_noise(path: Path, sample_rate_hz: int) -> Samples:
    # Cached, as every clip takes a part of it.
    recording = read_recording(path, follow_symlinks=True)
    return resample(recording.samples, recording.sample_rate_hz, sample_rate_hz)


def _too_short(path: Path, than: str) -> DataError:
    return DataError(f"is shorter than {than}", where=str(path), hint="give a longer recording; it is not repeated")
