"""How well sounds that were never taught are noticed: `python -m tests.benchmarks.anomaly [--brief]`.

    STREAMGMM_DATA=DIR python -m tests.benchmarks.anomaly

Rooms are made of machines and ambiences: each layer is a recording, or several of one source, of which the first part
is in the background that a model is taught (five recordings of a minute, of a fifth each), and the rest in the streams
that it hears. Parts are looped, every 15 seconds at another offset and speed, as no corpus has hours of one room: the
rates of false anomalies are those of some ten to sixty seconds of unseen sound. Strange sounds, of other labels than
any room or class, lie 0 to 20 dB above the room. The density and its tail were chosen on the rooms marked `*`, with
other strange sounds. The classes of the model are those of one training, with all rooms as background; its density is
that of each room.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import csv
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from streamgmm.analyser import Analyser
from streamgmm.arrays import Float64Array
from streamgmm.dataset.dataset import read_dataset
from streamgmm.decision.hop_scores import HopScores
from streamgmm.demo.recordings import write_wav
from streamgmm.features.extractor import extract
from streamgmm.labels import ANOMALY, BACKGROUND
from streamgmm.listening.events import Detection, detections_of
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.settings.config import Config
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.fitting.density import fit_density
from streamgmm.training.trainer import train
from tests.benchmarks.anomaly_rooms import ROOMS, SPACING_S, TAUGHT_SHARE, Layer, make_room, put_in, taught
from tests.benchmarks.room.sounds import RATE_HZ, Sound, audible, load, read_sounds
from tests.narrowing import present
from tests.required import corpus
from tests.training.training_rig import make_clip

BUDGETS_PER_HOUR = (1.0, 5.0, 20.0)
SNRS_DB = (0.0, 6.0, 12.0, 20.0)
FOUND_BUDGET_PER_HOUR = 5.0

MAX_SOUND_S = 3.0
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


def teach(folder: Path, root: Path, plan: Plan) -> Model:
    """A model of two sounds, with all rooms as background."""
    (folder / "background").mkdir(parents=True)
    for i, name in enumerate(plan.rooms):
        write_wav(folder / "background" / f"{i}.wav", taught(ROOMS[name], root)[0].astype(np.float32), RATE_HZ)
    for label in CLASSES:
        (folder / label).mkdir()
        for i, sound in enumerate(of_labels(root, {label}, {"1", "2", "3"}, 8)):
            write_wav(folder / label / f"{i}.wav", (0.5 * sound / np.abs(sound).max()).astype(np.float32), RATE_HZ)
    settings = {"training": plan.settings, "features": {"sample_rate_hz": RATE_HZ}}
    return train(read_dataset(folder), msgspec.convert(settings, Config), name="room").model


def in_room(model: Model, layers: Sequence[Layer], root: Path) -> Model:
    """The model with the density of a room."""
    clips = []
    for i, samples in enumerate(taught(layers, root)):
        vectors = extract(samples.astype(np.float32), model.spec).vectors.astype(np.float32)
        clips.append(ClipVectors(make_clip(BACKGROUND, i), vectors, vectors[:0]))
    return replace(model, density=present(fit_density(clips, model.spec)))


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


def try_room(model: Model, layers: Sequence[Layer], root: Path, plan: Plan) -> Outcome:
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
    with tempfile.TemporaryDirectory() as folder:
        model = teach(Path(folder) / "data", root, plan)
    outcomes = {}
    for name in plan.rooms:
        outcomes[name] = try_room(in_room(model, ROOMS[name], root), ROOMS[name], root, plan)
        # A line for each, as all of them take minutes.
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
