"""Recordings of the synthetic sounds at random levels, in random rooms and with a random delay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from streamgmm import labels, units
from streamgmm.arrays import Float64Array, Samples
from streamgmm.demo.backgrounds import BACKGROUNDS, any_background
from streamgmm.demo.sounds import SOUNDS, check_rate
from streamgmm.demo.synthesis import finished, in_random_room, rms, with_rms
from streamgmm.errors import CannotCreateError, OutputError

BACKGROUND_CLIP_S = 3.0
TRAINING_STREAM = 1
"""First number of every training seed; scenes use another, so that no scene repeats a training clip."""


def render_clip(label: str, rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return one recording of `label` (a key of `SOUNDS`) in a room, over noise 15 to 35 dB below it.

    Returns:
        float32, shape (n,), at -35 to -10 dBFS, less where peaks would clip.
    """
    sound = in_random_room(rng, SOUNDS[label](rng, sample_rate_hz).astype(np.float64), sample_rate_hz)
    early_s, late_s = rng.uniform(0.02, 0.25, size=2)
    padding = [units.seconds_to_samples(pause_s, sample_rate_hz) for pause_s in (early_s, late_s)]
    noise = any_background(rng, len(sound) + sum(padding), sample_rate_hz)
    # Relative to the sound alone: with its padding, a short sound would have less noise than a long one.
    noise *= rms(sound) * units.db_to_amplitude(-rng.uniform(15.0, 35.0))
    return _at_random_level(rng, noise + np.pad(sound, padding), -35.0, -10.0)


def render_background(index: int, rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return three seconds of background of the `index`-th kind, at -65 to -35 dBFS: float32, shape (n,)."""
    n_samples = units.seconds_to_samples(BACKGROUND_CLIP_S, sample_rate_hz)
    kind = BACKGROUNDS[index % len(BACKGROUNDS)]
    return _at_random_level(rng, kind(rng, n_samples, sample_rate_hz), -65.0, -35.0)


def write_training_set(folder: Path, n_clips: int, seed: int, sample_rate_hz: int) -> None:
    """Write a folder of 16-bit WAV files per label, `n_clips` each, and one of `background`.

    The same arguments write the same bytes.

    Raises:
        UsageError: the rate is too low for the sounds.
        CannotCreateError: a folder cannot be made.
        OutputError: a file cannot be written.
    """
    check_rate(sample_rate_hz)
    for i_label, label in enumerate((*SOUNDS, labels.BACKGROUND)):
        label_folder = folder / label
        try:
            label_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotCreateError(error.strerror or str(error), where=str(label_folder)) from error
        for i_clip in range(n_clips):
            # Each clip has its own seed, so that more clips leave the first ones unchanged.
            rng = np.random.default_rng((TRAINING_STREAM, seed, i_label, i_clip))
            if label == labels.BACKGROUND:
                samples = render_background(i_clip, rng, sample_rate_hz)
            else:
                samples = render_clip(label, rng, sample_rate_hz)
            write_wav(label_folder / f"{label}_{i_clip:02d}.wav", samples, sample_rate_hz)


def write_wav(path: Path, samples: Samples, sample_rate_hz: int) -> None:
    """Write `samples` as a 16-bit WAV file.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        soundfile.write(path, samples, sample_rate_hz, subtype="PCM_16")
    # libsndfile reports some failures of the disk by an error of its own.
    except (OSError, soundfile.SoundFileError) as error:
        raise OutputError(
            f"cannot write the recording: {error}", where=str(path), hint="is the disk full or read-only?"
        ) from error


def _at_random_level(rng: np.random.Generator, samples: Float64Array, low_dbfs: float, high_dbfs: float) -> Samples:
    return finished(with_rms(samples, units.db_to_amplitude(rng.uniform(low_dbfs, high_dbfs))))
