"""Streams: which sounds occur when over which bed, and their samples."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float64Array
from streamgmm.demo.synthesis import rms, with_rms
from tests.benchmarks.room.sounds import RATE_HZ, Sound, active_rms, audible, corpus_of, load, looped
from tests.benchmarks.room.users import Lesson, seeded

FOREIGN_PER_HOUR = 570
STREAM_S = 600.0
"""Length of a stream without targets, and of the recording of the room."""

SPACING_S = (8.0, 20.0)
"""From the onset of one target to that of the next."""

CLEAR_S = (0.5, 1.0)
"""No foreign sound is so near to a target: recall is measured against the bed alone."""

FOREIGN_SNR_DB = (0.0, 20.0)
BED_DBFS = -45.0
SECOND_DB = -8.0
"""Level of the second ambience of a bed, relative to the first: their loops differ, so that no bed repeats itself."""

ROOM_SHARE = 0.4
"""Share of each ambience, from its beginning, that is in the recording of the room; streams have the rest."""

BEDS = (
    ("coffee-shop", "city"),
    ("rain", "wind"),
    ("city", "train"),
    ("birds", "wind"),
    ("fireplace", "rain"),
    ("summer-night", "train"),
    ("boat", "waves"),
    ("storm", "fireplace"),
    ("waves", "birds"),
)
"""The room at different times: two ambiences each."""

SHARES = {
    "kitchen": 0.30,
    "esc10": 0.20,
    "instruments": 0.10,
    "music_genre": 0.10,
    "speech_commands": 0.15,
    "fsdd": 0.05,
    "ami_vad": 0.10,
}
"""Share of each corpus among foreign sounds."""

VERSION = 1
"""Increased whenever the same plan would give other samples."""


class Placed(NamedTuple):
    """A sound in a stream; no SNR for a foreign one, which gets a random one by the seed of its onset."""

    sound: Sound
    onset_s: float
    snr_db: float
    is_target: bool


class Plan(NamedTuple):
    """All that the samples of a stream depend on.

    Attributes:
        beds: pairs of ambiences that follow each other in equal parts.
        is_room: whether it is the recording of the room, and so of the beginnings of ambiences.
        placed: in order of onset.
    """

    name: str
    duration_s: float
    beds: Sequence[tuple[str, str]]
    is_room: bool
    placed: Sequence[Placed]

    def as_json(self) -> str:
        return json.dumps([VERSION, self], sort_keys=True)


class Heard(NamedTuple):
    """A sound of a stream, and where it is audible (s)."""

    placed: Placed
    onset_s: float
    offset_s: float


def plan_foreign(sounds: Sequence[Sound], n_streams: int, duration_s: float) -> list[Plan]:
    """Streams without targets, each over another bed; no sound occurs twice."""
    rng = seeded("foreign")
    n_each = round(FOREIGN_PER_HOUR * duration_s / 3600.0)
    chosen = _choose(sounds, n_streams * n_each, rng)
    return [
        Plan(
            f"foreign {i}",
            duration_s,
            [BEDS[i % len(BEDS)]],
            is_room=False,
            placed=_scattered(chosen[i * n_each : (i + 1) * n_each], duration_s, rng),
        )
        for i in range(n_streams)
    ]


def plan_room(sounds: Sequence[Sound], lessons: Sequence[Lesson], foreign: Sequence[Plan]) -> Plan:
    """The recording of the room, the same for all users: no sound of theirs, and none that occurs in `foreign`."""
    rng = seeded("room")
    used = {placed.sound for plan in foreign for placed in plan.placed}
    free = [s for s in sounds if s not in used and all(lesson.is_foreign(s) for lesson in lessons)]
    chosen = _choose(free, round(FOREIGN_PER_HOUR * STREAM_S / 3600.0), rng)
    return Plan("room", STREAM_S, BEDS, is_room=True, placed=_scattered(chosen, STREAM_S, rng))


def plan_targets(lesson: Lesson, sounds: Sequence[Sound], n_targets: int) -> Plan:
    """A stream with the targets of a user, and foreign sounds between them."""
    name = lesson.user.seed
    rng = seeded(name, "stream")
    targets = lesson.targets(n_targets)
    onsets_s = np.cumsum(rng.uniform(*SPACING_S, size=len(targets) + 1)).tolist()
    duration_s = onsets_s.pop()
    placed = [Placed(s, onset_s, snr_db, True) for (s, snr_db), onset_s in zip(targets, onsets_s, strict=True)]
    tested = {clip for clips in lesson.tested.values() for clip in clips}
    free = [s for s in sounds if lesson.is_foreign(s) and s not in tested]
    chosen = _choose(free, round(FOREIGN_PER_HOUR * duration_s / 3600.0), rng)
    bed = BEDS[int(rng.integers(len(BEDS)))]
    everything = sorted([*placed, *_scattered(chosen, duration_s, rng)], key=lambda one: one.onset_s)
    return Plan(f"targets of {name}", duration_s, [bed], is_room=False, placed=everything)


def _choose(sounds: Sequence[Sound], n_sounds: int, rng: np.random.Generator) -> list[Sound]:
    """Different sounds in random order, of each corpus its share."""
    chosen: list[Sound] = []
    for corpus, share in SHARES.items():
        own = [s for s in sounds if corpus_of(s) == corpus]
        chosen += [own[i] for i in rng.permutation(len(own))[: round(share * n_sounds)]]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _scattered(sounds: Sequence[Sound], duration_s: float, rng: np.random.Generator) -> list[Placed]:
    onsets_s = np.sort(rng.uniform(0.0, duration_s, size=len(sounds))).tolist()
    snrs_db = rng.uniform(*FOREIGN_SNR_DB, size=len(sounds)).tolist()
    return [Placed(*three, False) for three in zip(sounds, onsets_s, snrs_db, strict=True)]


def render(plan: Plan, root: Path, rate_hz: int = RATE_HZ) -> tuple[Float64Array, list[Heard]]:
    """Return the samples of a stream, shape (n,), and what is to be heard in it when.

    The SNR is the level of the active frames of a sound over that of the bed beneath it.
    """
    bed = _bed(plan, root, rate_hz)
    mixture = bed.copy()
    heard = [
        one
        for placed in plan.placed
        if placed.is_target and (one := _add(placed, bed, mixture, root, rate_hz, _always))
    ]
    targets = list(heard)

    def is_clear(first: int, end: int) -> bool:
        return not any(
            first / rate_hz < target.offset_s + CLEAR_S[1] and end / rate_hz > target.onset_s - CLEAR_S[0]
            for target in targets
        )

    heard += [
        one
        for placed in plan.placed
        if not placed.is_target and (one := _add(placed, bed, mixture, root, rate_hz, is_clear))
    ]
    return mixture, sorted(heard, key=lambda one: one.onset_s)


def _always(first: int, end: int) -> bool:
    return True


def _add(
    placed: Placed,
    bed: Float64Array,
    mixture: Float64Array,
    root: Path,
    rate_hz: int,
    is_free: Callable[[int, int], bool],
) -> Heard | None:
    sound = audible(load(root / placed.sound.path, rate_hz), placed.sound.start_s, rate_hz)
    first = units.seconds_to_samples(placed.onset_s, rate_hz)
    sound = sound[: len(mixture) - first]
    end = first + len(sound)
    if not sound.any() or not is_free(first, end):
        return None
    mixture[first:end] += sound * (
        rms(bed[first:end]) * units.db_to_amplitude(placed.snr_db) / active_rms(sound, rate_hz)
    )
    return Heard(placed, first / rate_hz, end / rate_hz)


def _bed(plan: Plan, root: Path, rate_hz: int) -> Float64Array:
    n_samples = units.seconds_to_samples(plan.duration_s, rate_hz)
    bounds = np.linspace(0, n_samples, len(plan.beds) + 1).astype(int).tolist()
    parts = [
        sum(
            with_rms(
                looped(_part(root, name, rate_hz, is_room=plan.is_room), end - first, rate_hz),
                units.db_to_amplitude(level_dbfs),
            )
            for name, level_dbfs in zip(pair, (BED_DBFS, BED_DBFS + SECOND_DB), strict=True)
        )
        for pair, first, end in zip(plan.beds, bounds[:-1], bounds[1:], strict=True)
    ]
    return np.concatenate(parts)


def _part(root: Path, name: str, rate_hz: int, *, is_room: bool) -> Float64Array:
    samples = load(root / "ambience" / "audio" / f"{name}.ogg", rate_hz)
    n_room = round(ROOM_SHARE * len(samples))
    return samples[:n_room] if is_room else samples[n_room:]
