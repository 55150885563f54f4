"""What is done to the sound of test clips before a model hears them: a room, noise, a microphone, less of it."""

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
"""Of the noise and the room that a clip gets: always the same, so that two evaluations differ in the models alone."""

ROOM_DIRECT_DB = 0.0
"""Direct sound over the answer of the room: as loud, as at the critical distance (Kuttruff, Room Acoustics)."""

BAND_ORDER = 8
"""Of the Butterworth filters at either end of a band, 48 dB per octave."""


class Noise(NamedTuple):
    """Noise over a clip.

    Attributes:
        kind: its colour, or `file` for a stretch of a recording.
        snr_db: level of the clip's sounding part over that of the noise (dB).
        path: the recording, of kind `file` only.
    """

    kind: NoiseKind
    snr_db: float
    path: Path | None = None


class Conditions(NamedTuple):
    """What is done to each test clip, in the order of this list; by default nothing.

    Attributes:
        room_s: reverberation time of a room that it is heard in, as loud as the direct sound; None for none (s).
        noise: is added to the whole clip; None for none.
        band_hz: the lowest and highest frequency that the microphone hears; None for all.
        first_active_s: how many active seconds are kept, None for all: from the first active hop on, pauses
            between active hops included but not counted (s).
        gain_db: on the samples (dB). They may exceed full scale: nothing is clipped.
    """

    noise: Noise | None = None
    first_active_s: float | None = None
    gain_db: float = 0.0
    room_s: float | None = None
    band_hz: tuple[float, float] | None = None

    def described(self) -> dict[str, str | float | None]:
        """The same by names and numbers, for reports."""
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
    """What was done to the test clips in words; empty if nothing was."""
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
    """Refuse a noise that cannot cover every clip: one that is repeated would have a rhythm of its own.

    Raises:
        RecordingError: the recording of noise cannot be read.
        DataError: it is shorter than a clip.
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
    """What a model hears of a clip; the same clip always gives the same samples.

    Args:
        samples: float32, shape (n,), of the clip as recorded, at the rate of `spec`; not changed.
        clip: seeds the noise.
        conditions: what to do.
        spec: the hop is what is or is not active.
        silence_gate_dbfs: hops below it are not active.

    Returns:
        float32, shape (m,), m <= n.

    Raises:
        DataError: the recording of noise is too short, or silent where it was drawn.
    """
    if conditions == UNCHANGED:
        return samples
    # Measured once, on the clip as recorded: noise would make its pauses sound.
    is_active = active_samples(samples, clip.label, spec, silence_gate_dbfs)
    # One for both, so that the noise does not repeat what the room was drawn from.
    rng = rng_of(clip, NOISE_SEED)
    heard = samples
    if conditions.room_s is not None:
        heard = in_room(heard, conditions.room_s, spec.sample_rate_hz, rng)
    if conditions.noise is not None:
        noise = _draw_noise(conditions.noise, len(samples), spec.sample_rate_hz, rng)
        heard = mix(heard, noise, is_active, conditions.noise.snr_db)
    if conditions.band_hz is not None:
        heard = in_band(heard, conditions.band_hz, spec.sample_rate_hz)
    if conditions.first_active_s is not None:
        n_wanted = units.seconds_to_samples(conditions.first_active_s, spec.sample_rate_hz)
        heard = keep_first(heard, is_active, n_wanted)
    return with_gain(heard, conditions.gain_db)


def in_room(samples: Samples, reverberation_s: float, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """`samples` (n,) with what a room answers until their end."""
    from scipy.signal import fftconvolve  # here, as processes that hear clips as recorded begin sooner without it

    response = room_response(reverberation_s, ROOM_DIRECT_DB, sample_rate_hz, rng)
    # As if the first sample had always been: an offset that began with the clip would be a click.
    offset = samples[:1]
    heard = fftconvolve(samples - offset, response)[: len(samples)] + offset * response.sum()
    return np.asarray(heard, dtype=np.float32)


def in_band(samples: Samples, band_hz: tuple[float, float], sample_rate_hz: int) -> Samples:
    """`samples` (n,) as a microphone hears them that ends at either end of a band; what reaches Nyquist has no end."""
    from scipy.signal import butter, sosfilt, sosfilt_zi

    heard: FloatArray = samples
    for edge_hz, kind in zip(band_hz, ("highpass", "lowpass"), strict=True):
        if edge_hz < sample_rate_hz / 2 and len(samples):
            sections = butter(BAND_ORDER, edge_hz, kind, fs=sample_rate_hz, output="sos")
            # As if the first sample had always been: an offset that began with the clip would be a click.
            heard, _ = sosfilt(sections, heard, zi=sosfilt_zi(sections) * heard[0])
    return np.asarray(heard, dtype=np.float32)


def active_samples(samples: Samples, label: str, spec: FeatureSpec, silence_gate_dbfs: float) -> BoolArray:
    """Which samples lie in hops that sound, by the gates of training; shape (n,)."""
    starts = np.arange(0, len(samples), spec.hop_samples)
    heard = low_cut(samples, spec)
    squares = np.add.reduceat(np.square(heard, dtype=np.float64), starts) if len(starts) else np.zeros(0)
    lengths = np.diff(np.append(starts, len(samples)))
    levels_dbfs = np.array([units.power_to_dbfs(power) for power in squares / lengths])
    return np.repeat(active_windows(levels_dbfs, label, silence_gate_dbfs), lengths)


def mix(samples: Samples, noise: FloatArray, is_active: BoolArray, snr_db: float) -> Samples:
    """`samples` in `noise` of equal length, `snr_db` below the mean power of the active samples.

    A clip without an active sample has no level that noise could be relative to, and stays as it is.
    """
    if not is_active.any():
        return samples
    signal_rms = np.std(samples[is_active], dtype=np.float64)
    noise_rms = np.std(noise, dtype=np.float64)
    factor = signal_rms / noise_rms * units.db_to_amplitude(-snr_db)
    return np.asarray(samples + factor * noise, dtype=np.float32)


def keep_first(samples: Samples, is_active: BoolArray, n_wanted: int) -> Samples:
    """From the first active sample to the `n_wanted`-th, or to the end if there are fewer; all if there is none."""
    places = np.flatnonzero(is_active)
    if not len(places):
        return samples
    end = places[n_wanted - 1] + 1 if n_wanted <= len(places) else len(samples)
    return samples[places[0] : end]


def with_gain(samples: Samples, gain_db: float) -> Samples:
    """`samples` at another level."""
    return samples if gain_db == 0.0 else np.asarray(samples * units.db_to_amplitude(gain_db), dtype=np.float32)


def _draw_noise(noise: Noise, n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> FloatArray:
    """Noise of the length of a clip, shape (n_samples,), at any level above silence."""
    if noise.path is None:
        return coloured_noise(n_samples, sample_rate_hz, COLOUR_EXPONENTS[noise.kind], rng)
    recorded = _recorded_noise(noise.path, sample_rate_hz)
    if len(recorded) < n_samples:
        raise _too_short(noise.path, f"a clip of {units.samples_to_seconds(n_samples, sample_rate_hz):g} s")
    start = rng.integers(len(recorded) - n_samples, endpoint=True)
    stretch = recorded[start : start + n_samples]
    if not np.ptp(stretch):
        at_s = units.samples_to_seconds(int(start), sample_rate_hz)
        raise DataError(f"is silent from {at_s:g} s on", where=str(noise.path), hint="cut its silence out")
    return stretch


@lru_cache(maxsize=1)
def _recorded_noise(path: Path, sample_rate_hz: int) -> Samples:
    # Kept, as every clip takes its stretch of it.
    recording = read_recording(path, follow_symlinks=True)
    return resample(recording.samples, recording.sample_rate_hz, sample_rate_hz)


def _too_short(path: Path, than: str) -> DataError:
    return DataError(f"is shorter than {than}", where=str(path), hint="give a longer recording; it is not repeated")
