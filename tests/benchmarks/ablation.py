"""Prints what each part of the trainer is worth: `python -m tests.benchmarks.ablation [DATA ...]`.

The recordings are those below the folder that STREAMGMM_DATA names; each is measured once. Then each part is left out
in turn, and clips are held out by source five times: accuracy and log loss of the posteriors of clips.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from streamgmm.config import Config, TrainingSection
from streamgmm.dataset.dataset import read_dataset
from streamgmm.features.window import window_layout
from streamgmm.training.extraction import ClipVectors, ExtractionTask, extract_clips, silenced
from streamgmm.training.fitting import unconverged_allowed
from streamgmm.training.trainer import make_task
from streamgmm.training.validation import validate

DEFAULT_DATA = ("esc10", "fsdd")
DEFAULTS = TrainingSection(search=False)
SETTINGS = {
    "frames": {"frames": "never"},
    "refinement": {"refinement": False, "n_principal": 4},
    "altered copies": {"copies": False},
    "principal components": {"n_principal": 0},
    "shrinkage of the discriminants": {"lda_shrinkage": 0.0},
    "several components": {"n_components": 1},
}


class Row(NamedTuple):
    """One line of the table: what is left out, and how held-out clips fared without it."""

    name: str
    accuracy: float
    standard_error: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ablation", description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="*", default=DEFAULT_DATA, help="data sets (default: esc10 fsdd)")
    parser.add_argument("--brief", action="store_true", help="the whole and one part: enough to see that nothing rots")
    args = parser.parse_args()
    root = Path(os.environ["STREAMGMM_DATA"])
    for name in args.data:
        dataset = read_dataset(root / name)
        task = make_task(dataset, Config(training=DEFAULTS))
        clips = extract_clips(dataset.clips, task).clips
        Console(width=100).print(table_of(name, rows_of(clips, dataset.labels, task, is_brief=args.brief)))


def rows_of(clips: Sequence[ClipVectors], labels: list[str], task: ExtractionTask, *, is_brief: bool) -> list[Row]:
    """The whole, then everything without one part."""
    fare = partial(_fare, labels=labels)
    rows = [fare("nothing", clips, training=DEFAULTS)]
    for name, settings in list(SETTINGS.items())[: 1 if is_brief else None]:
        rows.append(fare(name, clips, training=msgspec.structs.replace(DEFAULTS, **settings)))
    for kind in () if is_brief else dict.fromkeys(block.kind for block in window_layout(task.spec)):
        without = partial(silenced, kinds=[kind], spec=task.spec)
        changed = [clip._replace(vectors=without(clip.vectors), copies=without(clip.copies)) for clip in clips]
        rows.append(fare(kind, changed, training=DEFAULTS))
    return rows


def _fare(name: str, clips: Sequence[ClipVectors], *, labels: list[str], training: TrainingSection) -> Row:
    with unconverged_allowed():
        accuracy = validate(clips, labels, training).accuracy
    assert accuracy is not None
    return Row(name, accuracy, (accuracy * (1.0 - accuracy) / len(clips)) ** 0.5)


def table_of(name: str, rows: Sequence[Row]) -> Table:
    table = Table("left out", title=f"{name}: held-out clips right, by source, without a part")
    table.add_column("right", justify="right")
    table.add_column("loss", justify="right")
    whole = rows[0].accuracy
    for row in rows:
        lost = "" if row is rows[0] else f"{100 * (whole - row.accuracy):+.1f}"
        table.add_row(row.name, f"{row.accuracy:.1%} ({row.standard_error:.1%})", lost)
    return table


if __name__ == "__main__":
    main()
