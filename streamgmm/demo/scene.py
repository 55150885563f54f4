"""Synthetic scenes: sounds at known times over a continuous background."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float64Array, Samples
from streamgmm.demo.backgrounds import any_background
from streamgmm.demo.sounds import SOUNDS, check_rate
from streamgmm.demo.synthesis import finished, in_random_room, rms
from streamgmm.errors import UsageError
from streamgmm.listening.events import Annotation

SCENE_STREAM = 2
"""First number of the seed of every scene; training clips use another, so that all sounds of a scene are unseen."""

SHORTEST_S = 60.0
BACKGROUND_DBFS = (-55.0, -47.0)
PLACE_S = 20.0
"""Time after which the background changes (s)."""
CROSSFADE_S = 2.0
SNR_DB = (10.0, 30.0)
GAP_S = (0.8, 2.5)
AUDIBLE_DB = 20.0
"""A sound ends where it stays this far below its loudest moment (dB)."""
AUDIBLE_HOP_S = 0.01


class SyntheticScene(NamedTuple):
    """A synthetic recording with its annotations.

    Attributes:
        samples: float32, shape (n,), mono, full scale 1.0.
        events: in order of onset, without overlaps.
    """

    samples: Samples
    events: list[Annotation]


def make_scene(duration_s: float, seed: int, sample_rate_hz: int) -> SyntheticScene:
    """Return a scene of `duration_s` seconds (60 or more) in which every label occurs; reproducible.

    Sounds are 10 to 30 dB above the mean level of the background, with pauses of 0.8 to 2.5 s.

    Raises:
        UsageError: the scene is too short, or the rate too low, for all sounds.
    """
    # In this form, because a comparison with NaN is false.
    if not duration_s >= SHORTEST_S:
        raise UsageError(f"a scene of {duration_s:g} s is too short", hint=f"at least {SHORTEST_S:g} s")
    check_rate(sample_rate_hz)
    rng = np.random.default_rng((SCENE_STREAM, seed))
    n_samples = units.seconds_to_samples(duration_s, sample_rate_hz)
    mixture = changing_background(rng, n_samples, sample_rate_hz)
    # Measured before any sound is added to the mixture.
    background_rms = rms(mixture)
    events = []
    onset = units.seconds_to_samples(rng.uniform(*GAP_S), sample_rate_hz)
    for label in _labels_in_turn(rng):
        sound = in_random_room(rng, SOUNDS[label](rng, sample_rate_hz).astype(np.float64), sample_rate_hz)
        first, end = audible_span(sound, sample_rate_hz)
        # Without its inaudible beginning, so that the sound is audible from the annotated onset.
        sound = sound[first:]
        offset = onset + end - first
        if onset + len(sound) > n_samples:
            break
        # The level of the audible part alone: the fading tail would lower that of the whole.
        gain = background_rms * units.db_to_amplitude(rng.uniform(*SNR_DB)) / rms(sound[: end - first])
        mixture[onset : onset + len(sound)] += gain * sound
        onset_s, offset_s = (units.samples_to_seconds(position, sample_rate_hz) for position in (onset, offset))
        events.append(Annotation(label, onset_s, offset_s))
        onset = offset + units.seconds_to_samples(rng.uniform(*GAP_S), sample_rate_hz)
    return SyntheticScene(finished(mixture), events)


def changing_background(rng: np.random.Generator, n_samples: int, sample_rate_hz: int) -> Float64Array:
    """Return background, shape (n_samples,), that changes kind and level every `PLACE_S` seconds with a crossfade."""
    n_place = units.seconds_to_samples(PLACE_S, sample_rate_hz)
    n_fade = units.seconds_to_samples(CROSSFADE_S, sample_rate_hz)
    rise = np.sin(0.5 * np.pi * (np.arange(n_fade) + 0.5) / n_fade)  # sine and cosine keep the power constant
    n_total = n_samples + n_fade  # the first rise is cut off again
    total = np.zeros(n_total + n_place + n_fade)
    for first in range(0, n_total, n_place):
        noise = any_background(rng, n_place + n_fade, sample_rate_hz)
        noise[:n_fade] *= rise
        noise[n_place:] *= rise[::-1]
        total[first : first + n_place + n_fade] += noise * units.db_to_amplitude(rng.uniform(*BACKGROUND_DBFS))
    return total[n_fade:n_total]


def audible_span(samples: Float64Array, sample_rate_hz: int) -> tuple[int, int]:
    """Return the first sample and the end (exclusive) of the part within `AUDIBLE_DB` of the loudest 10 ms."""
    n_hop = units.seconds_to_samples(AUDIBLE_HOP_S, sample_rate_hz)
    powers = np.add.reduceat(samples**2, np.arange(0, len(samples), n_hop))
    audible = np.flatnonzero(powers > powers.max() / units.db_to_amplitude(AUDIBLE_DB) ** 2)
    return int(audible[0]) * n_hop, min(len(samples), (int(audible[-1]) + 1) * n_hop)


def _labels_in_turn(rng: np.random.Generator) -> Iterator[str]:
    """Yield all labels in random order, repeatedly, so that each occurs equally often, give or take one."""
    while True:
        yield from rng.permutation(list(SOUNDS)).tolist()
