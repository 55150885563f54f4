"""Sounds of the corpora, at any rate, and without what is too quiet before and after them."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float64Array
from streamgmm.audio.reading import read_recording
from streamgmm.audio.resample import resample
from streamgmm.demo.scene import audible_span
from streamgmm.demo.synthesis import rms

RATE_HZ = 16000
"""Of streams, unless another is asked for."""

MAX_SOUND_S = 5.0
"""Longer sounds are cut."""

CORPORA = ("kitchen", "esc10", "instruments", "music_genre", "speech_commands", "fsdd", "ami_vad")
NO_SOUNDS = frozenset({"silence"})
"""Labels of recordings in which nothing happens."""

EXCERPTS_S = {"music_genre": (3.0,), "ami_vad": (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)}
"""Where the sounds of long recordings begin; those of other corpora begin with their recording."""

FADE_S = 0.01
FRAME_S = 0.02
ACTIVE_DB = 20.0
"""Frames within so much of the loudest one are active (dB)."""


class Sound(NamedTuple):
    """A sound of a corpus.

    Attributes:
        path: relative to the folder of all corpora.
        source: the corpus, and what was recorded there: a person, an uploader, a pack.
        start_s: where it begins in its recording.
    """

    path: str
    label: str
    source: str
    start_s: float = 0.0


def read_sounds(root: Path) -> list[Sound]:
    """Read the lists of all corpora below `root`, in an order that never changes."""
    return [sound for corpus in CORPORA for sound in _sounds_of(root, corpus)]


def corpus_of(sound: Sound) -> str:
    return sound.path.split("/", 1)[0]


def _sounds_of(root: Path, corpus: str) -> list[Sound]:
    with (root / corpus / "manifest.csv").open(newline="") as file:
        rows = sorted((row["path"], row["label"], row["source_id"]) for row in csv.DictReader(file))
    return [
        Sound(f"{corpus}/{path}", label, f"{corpus}/{source}", start_s)
        for path, label, source in rows
        for start_s in EXCERPTS_S.get(corpus, (0.0,))
        if label not in NO_SOUNDS
    ]


@lru_cache(maxsize=64)
def load(path: Path, rate_hz: int = RATE_HZ) -> Float64Array:
    """The samples of a recording; the same array for all, so nobody may change it."""
    recording = read_recording(path)
    samples = resample(recording.samples, recording.sample_rate_hz, rate_hz).astype(np.float64)
    samples.setflags(write=False)
    return samples


def audible(samples: Float64Array, start_s: float, rate_hz: int = RATE_HZ) -> Float64Array:
    """The sound from `start_s` on without what is too quiet around it, faded at both ends; empty if it is silent."""
    samples = samples[units.seconds_to_samples(start_s, rate_hz) :]
    if not samples.any():
        return samples[:0]
    first, end = audible_span(samples, rate_hz)
    sound = samples[first : min(end, first + units.seconds_to_samples(MAX_SOUND_S, rate_hz))].copy()
    n_fade = min(len(sound) // 2, units.seconds_to_samples(FADE_S, rate_hz))
    ramp = np.arange(n_fade) / max(1, n_fade)
    sound[:n_fade] *= ramp
    sound[len(sound) - n_fade :] *= ramp[::-1]
    return sound


def active_rms(sound: Float64Array, rate_hz: int = RATE_HZ) -> float:
    """RMS of the active frames of a sound: pauses between two barks do not make the barks fainter."""
    n_frame = units.seconds_to_samples(FRAME_S, rate_hz)
    powers = np.array([rms(sound[i : i + n_frame]) ** 2 for i in range(0, len(sound), n_frame)])
    return float(np.sqrt(powers[powers >= powers.max() * 10.0 ** (-ACTIVE_DB / 10.0)].mean()))


def looped(samples: Float64Array, n_samples: int, rate_hz: int = RATE_HZ) -> Float64Array:
    """As many samples of a loop, whose end is blended into its beginning."""
    n_fade = min(len(samples) // 4, units.seconds_to_samples(0.25, rate_hz))
    ramp = np.sqrt(np.arange(n_fade) / n_fade)
    loop = samples[: len(samples) - n_fade].copy()
    loop[:n_fade] = loop[:n_fade] * ramp + samples[len(samples) - n_fade :] * ramp[::-1]
    return np.resize(loop, n_samples)
