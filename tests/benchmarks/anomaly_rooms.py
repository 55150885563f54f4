"""Rooms of machines and ambiences, of which a part is taught and the rest is heard, and strange sounds in them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.demo.synthesis import rms, with_rms
from tests.benchmarks.room.sounds import RATE_HZ, active_rms, load, looped

ROOM_DBFS = -45.0
LAYER_DB = -4.0
"""Each layer is so much below the one before (dB)."""

PIECE_S, SPEED_RANGE, DRIFT_DB = 15.0, 0.03, 1.0
"""Each layer has another offset and speed, by up to this share, and another level after so long (s)."""

TAUGHT_SHARE, N_TAUGHT, TAUGHT_S = 0.6, 5, 60.0
"""Share of each layer that is taught, in so many recordings of this length, each of a part of its own."""

SPACING_S = 9.0
"""From the begin of one strange sound to that of the next."""

Layer = tuple[str, str, str]
"""A corpus, a label and a source; of the ambiences only the corpus, and the name."""

ROOMS: dict[str, tuple[Layer, ...]] = {
    "fireplace": (("ambience", "fireplace", ""),),
    "dishwasher, fridge": (("kitchen", "dishwasher", "by_acertingart"), ("kitchen", "fridge", "by_ancorapazzo")),
    "mixer, fan": (("kitchen", "blender", "fs_M_mixer2_wav"), ("kitchen", "stove_fan", "by_nlm")),
    "kitchen fan": (("kitchen", "stove_fan", "by_robinhood76"),),
    "chainsaw": (("esc10", "chainsaw", "19898"),),
    "helicopter": (("esc10", "helicopter", "37806"),),
    "boiling water, fan": (("kitchen", "boiling_water", "by_inspectorj"), ("kitchen", "stove_fan", "by_cumesoftware")),
    "frying, fridge": (("kitchen", "frying_pan", "by_hadders"), ("kitchen", "fridge", "fs_K_frigo_m4a")),
    "juicer": (("kitchen", "juicer", "by_simple_machines"),),
    "birds *": (("ambience", "birds", ""),),
    "waves *": (("ambience", "waves", ""),),
    "rain, wind *": (("ambience", "rain", ""), ("ambience", "wind", "")),
    "city, coffee shop *": (("ambience", "city", ""), ("ambience", "coffee-shop", "")),
}


def paths_of(layer: Layer, root: Path) -> list[Path]:
    name, label, source = layer
    if name == "ambience":
        return [root / name / "audio" / f"{label}.ogg"]
    with (root / name / "manifest.csv").open(newline="") as file:
        return [
            root / name / row["path"]
            for row in csv.DictReader(file)
            if (row["label"], row["source_id"]) == (label, source)
        ]


def make_room(
    layers: Sequence[Layer], root: Path, part: tuple[float, float], duration_s: float, seed: int
) -> Float64Array:
    """A stream of these shares of all layers, in pieces that each have another offset and speed."""
    rng = np.random.default_rng(seed)
    pieces = []
    for _ in range(ceil(duration_s / PIECE_S)):
        total = np.zeros(int(PIECE_S * RATE_HZ))
        for i, layer in enumerate(layers):
            whole = np.concatenate([load(path) for path in paths_of(layer, root)])
            own = whole[int(part[0] * len(whole)) : int(part[1] * len(whole))]
            speed = 1.0 + rng.uniform(-SPEED_RANGE, SPEED_RANGE)
            own = np.interp(np.arange(0.0, len(own) - 1, speed), np.arange(len(own)), own)
            loop = looped(np.roll(own / rms(own), int(rng.integers(len(own)))), len(total))
            total += loop * 10.0 ** ((rng.normal(0.0, DRIFT_DB) + i * LAYER_DB) / 20.0)
        pieces.append(total)
    return with_rms(np.concatenate(pieces)[: int(duration_s * RATE_HZ)], 10.0 ** (ROOM_DBFS / 20.0))


def put_in(room: Float64Array, sounds: Sequence[Float64Array], snr_db: float) -> list[tuple[float, float]]:
    """Add sounds to a room at equal distances; return where each begins and ends (s)."""
    spans = []
    for i, sound in enumerate(sounds):
        first = int((2.0 + i * SPACING_S) * RATE_HZ)
        gain = 10.0 ** ((ROOM_DBFS + snr_db) / 20.0) / active_rms(sound)
        room[first : first + len(sound)] += gain * sound
        spans.append((first / RATE_HZ, (first + len(sound)) / RATE_HZ))
    return spans


def taught(layers: Sequence[Layer], root: Path) -> list[Float64Array]:
    """The recordings of the room that are its background."""
    parts = [(TAUGHT_SHARE * i / N_TAUGHT, TAUGHT_SHARE * (i + 1) / N_TAUGHT) for i in range(N_TAUGHT)]
    return [make_room(layers, root, part, TAUGHT_S, seed=i) for i, part in enumerate(parts)]
