"""How well sounds that were never taught are noticed: `python -m tests.benchmarks.anomaly [--brief]`.

    STREAMGMM_DATA=DIR python -m tests.benchmarks.anomaly

Rooms are made of machines and ambiences: each layer is a recording, or several of one source, of which the first part
is in the background that a model is taught (five recordings of a minute), and the rest in the streams that it hears.
Parts are looped at random offsets and levels, as no corpus has hours of one room: the rates of false anomalies are
those of some ten to sixty seconds of unseen sound in ever new combinations. Strange sounds, of other labels than any
room or class, lie 0 to 20 dB above the room. The density and its tail were chosen on the rooms marked `*`, with other
strange sounds.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import csv
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from streamgmm.arrays import Float64Array
from streamgmm.dataset.dataset import read_dataset
from streamgmm.decision.hop_scores import HopScores
from streamgmm.demo.recordings import write_wav
from streamgmm.demo.synthesis import rms, with_rms
from streamgmm.labels import ANOMALY
from streamgmm.listening.events import Detection, detections_of
from streamgmm.model.model import Model
from streamgmm.pipeline import Analyser, Pipeline
from streamgmm.settings.config import Config
from streamgmm.training.trainer import train
from tests.benchmarks.room.sounds import RATE_HZ, Sound, active_rms, audible, load, looped, read_sounds
from tests.narrowing import present
from tests.required import corpus

BUDGETS_PER_HOUR = (1.0, 5.0, 20.0)
SNRS_DB = (0.0, 6.0, 12.0, 20.0)
FOUND_BUDGET_PER_HOUR = 5.0

ROOM_DBFS = -45.0
LAYER_DB = -4.0
"""Each layer is so much below the one before (dB)."""

DRIFT_DB, DRIFT_S = 1.0, 10.0
"""Standard deviation of the level of a layer, and the time in which it becomes another one."""

TAUGHT_SHARE, N_TAUGHT, TAUGHT_S = 0.6, 5, 60.0
"""Share of each layer that is taught, in so many recordings of this length, each of a part of its own."""

SPACING_S, MAX_SOUND_S = 9.0, 3.0
REACH_S = 1.0
"""An event that begins up to so long after the end of a sound counts as one of it."""

CLASSES = ("dog_bark", "rooster")
STRANGE = frozenset(
    {
        "baby_cry",
        "person_sneeze",
        "cutlery",
        "plates",
        "drawer",
        "book",
        "cupboard",
        "chopping",
        "sweep",
        "clean_dishes",
    }
)

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
BRIEF_ROOMS = ("kitchen fan", "birds *")


class Plan(NamedTuple):
    """Which rooms, how long to listen in each (s), how many strange sounds, and the settings of the trainings."""

    rooms: Sequence[str]
    unseen_s: float
    n_sounds: int
    settings: dict[str, object]


# Without what makes classes better in rooms and costs most of a training.
QUICK: dict[str, object] = {"search": False, "n_speed_copies": 0, "n_noise_copies": 0}
FULL = Plan(tuple(ROOMS), 1200.0, 40, QUICK)
BRIEF = Plan(BRIEF_ROOMS, 120.0, 6, {**QUICK, "world": False, "n_jobs": 1})


class Outcome(NamedTuple):
    """What came of one room.

    Attributes:
        false_per_hour: of each budget (1/h).
        found: share of the strange sounds that were reported, of each level.
        doubled: share of the sounds of classes that were reported as an anomaly too; None if no class was found.
    """

    false_per_hour: list[float]
    found: list[float]
    doubled: float | None


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
    """A stream of these shares of all layers."""
    rng = np.random.default_rng(seed)
    n_samples = int(duration_s * RATE_HZ)
    total = np.zeros(n_samples)
    for i, layer in enumerate(layers):
        whole = np.concatenate([load(path) for path in paths_of(layer, root)])
        own = whole[int(part[0] * len(whole)) : int(part[1] * len(whole))]
        knots = np.arange(0.0, duration_s + 2 * DRIFT_S, DRIFT_S)
        drift_db = np.interp(np.arange(n_samples) / RATE_HZ, knots, rng.normal(0.0, DRIFT_DB, len(knots)))
        loop = looped(np.roll(own / rms(own), int(rng.integers(len(own)))), n_samples)
        total += loop * 10.0 ** ((drift_db + i * LAYER_DB) / 20.0)
    return with_rms(total, 10.0 ** (ROOM_DBFS / 20.0))


def put_in(room: Float64Array, sounds: Sequence[Float64Array], snr_db: float) -> list[tuple[float, float]]:
    """Add sounds to a room at equal distances; return where each begins and ends (s)."""
    spans = []
    for i, sound in enumerate(sounds):
        first = int((2.0 + i * SPACING_S) * RATE_HZ)
        gain = 10.0 ** ((ROOM_DBFS + snr_db) / 20.0) / active_rms(sound)
        room[first : first + len(sound)] += gain * sound
        spans.append((first / RATE_HZ, (first + len(sound)) / RATE_HZ))
    return spans


def teach(folder: Path, layers: Sequence[Layer], root: Path, plan: Plan) -> Model:
    """A model of two sounds and of the room."""
    (folder / "background").mkdir(parents=True)
    for i in range(N_TAUGHT):
        part = (TAUGHT_SHARE * i / N_TAUGHT, TAUGHT_SHARE * (i + 1) / N_TAUGHT)
        samples = make_room(layers, root, part, TAUGHT_S, seed=i)
        write_wav(folder / "background" / f"{i}.wav", samples.astype(np.float32), RATE_HZ)
    for label in CLASSES:
        (folder / label).mkdir()
        for i, sound in enumerate(of_labels(root, {label}, {"1", "2", "3"}, 8)):
            write_wav(folder / label / f"{i}.wav", (0.5 * sound / np.abs(sound).max()).astype(np.float32), RATE_HZ)
    settings = {"training": plan.settings, "features": {"sample_rate_hz": RATE_HZ}}
    return train(read_dataset(folder), msgspec.convert(settings, Config), name="room").model


def of_labels(root: Path, labels: set[str] | frozenset[str], folds: set[str], n_most: int) -> list[Float64Array]:
    """Sounds of these labels, in an order that never changes."""
    fold_of: dict[str, str] = {}
    for name in ("esc10", "kitchen"):
        with (root / name / "manifest.csv").open(newline="") as file:
            fold_of |= {f"{name}/{row['path']}": row["fold"] for row in csv.DictReader(file)}
    chosen: list[Sound] = [s for s in read_sounds(root) if s.label in labels and fold_of.get(s.path, "") in folds]
    order = np.random.default_rng(7).permutation(len(chosen))
    cut = (audible(load(root / chosen[i].path), chosen[i].start_s)[: int(MAX_SOUND_S * RATE_HZ)] for i in order)
    return [sound for sound in cut if len(sound) >= 0.05 * RATE_HZ][:n_most]


def heard(model: Model, samples: Float64Array) -> list[HopScores]:
    analyser = Analyser(model, density=present(model.density))
    return analyser.push(samples.astype(np.float32)) + analyser.flush()


def events(model: Model, hops: Sequence[HopScores], budget_per_hour: float) -> list[Detection]:
    config = msgspec.convert({"decision": {"max_false_anomalies_per_hour": budget_per_hour}}, Config)
    pipeline = Pipeline(model, config)
    return detections_of(pipeline.decide(hops) + pipeline.flush())


def is_reported(found: Sequence[Detection], span: tuple[float, float]) -> bool:
    return any(one.onset_s < span[1] + REACH_S and one.offset_s > span[0] for one in found)


def try_room(layers: Sequence[Layer], root: Path, plan: Plan) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        model = teach(Path(folder) / "data", layers, root, plan)
    unseen = (TAUGHT_SHARE, 1.0)
    hops = heard(model, make_room(layers, root, unseen, plan.unseen_s, seed=101))
    counts = [sum(one.label == ANOMALY for one in events(model, hops, budget)) for budget in BUDGETS_PER_HOUR]
    strange = of_labels(root, STRANGE, {str(i) for i in range(10)}, plan.n_sounds)
    duration_s = 4.0 + SPACING_S * plan.n_sounds
    found = []
    for snr_db in SNRS_DB:
        samples = make_room(layers, root, unseen, duration_s, seed=102)
        spans = put_in(samples, strange, snr_db)
        reported = events(model, heard(model, samples), FOUND_BUDGET_PER_HOUR)
        anomalies = [one for one in reported if one.label == ANOMALY]
        found.append(float(np.mean([is_reported(anomalies, span) for span in spans])))
    return Outcome([n * 3600.0 / plan.unseen_s for n in counts], found, _doubled(model, layers, root, plan))


def _doubled(model: Model, layers: Sequence[Layer], root: Path, plan: Plan) -> float | None:
    sounds = of_labels(root, set(CLASSES), {"4", "5"}, plan.n_sounds)
    samples = make_room(layers, root, (TAUGHT_SHARE, 1.0), 4.0 + SPACING_S * len(sounds), seed=103)
    spans = put_in(samples, sounds, 12.0)
    reported = events(model, heard(model, samples), FOUND_BUDGET_PER_HOUR)
    classes, anomalies = ([one for one in reported if (one.label == ANOMALY) == wanted] for wanted in (False, True))
    of_classes = [span for span in spans if is_reported(classes, span)]
    return float(np.mean([is_reported(anomalies, span) for span in of_classes])) if of_classes else None


def report(outcomes: dict[str, Outcome], plan: Plan) -> Table:
    minutes = f"{plan.unseen_s / 60:g} minutes of each without"
    title = f"Anomalies in {len(outcomes)} rooms: {minutes}, {plan.n_sounds} strange sounds"
    table = Table("room", title=title)
    for budget in BUDGETS_PER_HOUR:
        table.add_column(f"false/h of {budget:g}", justify="right")
    for snr_db in SNRS_DB:
        table.add_column(f"at {snr_db:g} dB", justify="right")
    table.add_column("doubled", justify="right")
    for name, one in outcomes.items():
        doubled = "-" if one.doubled is None else f"{one.doubled:.0%}"
        table.add_row(name, *(f"{rate:.0f}" for rate in one.false_per_hour), *(f"{x:.0%}" for x in one.found), doubled)
    rates = np.mean([one.false_per_hour for one in outcomes.values()], axis=0)
    shares = np.mean([one.found for one in outcomes.values()], axis=0)
    doubles = [one.doubled for one in outcomes.values() if one.doubled is not None]
    last = f"{np.mean(doubles):.0%}" if doubles else "-"
    table.add_section()
    table.add_row("mean", *(f"{rate:.1f}" for rate in rates), *(f"{share:.0%}" for share in shares), last)
    table.caption = f"found at each level with a budget of {FOUND_BUDGET_PER_HOUR:g} an hour; doubled: of found classes"
    return table


def anomaly_table(plan: Plan) -> Table:
    """The table for the rooms of `plan`; needs the corpora."""
    root = corpus("kitchen").parent
    outcomes = {}
    for name in plan.rooms:
        outcomes[name] = try_room(ROOMS[name], root, plan)
        # A line for each, as all of them take many minutes.
        print(f"{name}: {outcomes[name]}", file=sys.stderr, flush=True)
    return report(outcomes, plan)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.anomaly", description=__doc__.split("\n")[0])
    parser.add_argument("--brief", action="store_true", help="two rooms, some minutes: enough to see that nothing rots")
    parser.add_argument("--rooms", nargs="+", choices=list(ROOMS), metavar="ROOM", help=f"of {', '.join(ROOMS)}")
    args = parser.parse_args()
    plan = BRIEF if args.brief else FULL
    Console(width=150).print(anomaly_table(plan._replace(rooms=args.rooms or plan.rooms)))


if __name__ == "__main__":
    main()
