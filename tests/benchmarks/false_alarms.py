"""Does a tuning hold on other background? Models of ESC-10, backgrounds of the ambience collection.

    STREAMGMM_DATA=DIR python -m tests.benchmarks.false_alarms

A model learns seven sounds from four folds; rain, sea waves and fire, which the ambiences hold, are its
background. Again and again some ambiences are drawn, the model is tuned on them, and its alarms are counted on
the others. The fifth fold, which nothing was learnt from, says what it costs: thresholds are chosen by half of its
clips, and recall is that of the other half. Each fold is held out in turn, so there are five models. How the tail is
fitted was chosen on these ambiences too, so the rates of alarms flatter a little.
"""

from __future__ import annotations

import argparse
import os

from streamgmm.arrays import Float64Array

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import csv
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from streamgmm.dataset.backgrounds import background_recordings
from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import Findings
from streamgmm.listening.tracks import ScoredRecording
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.settings.training import TrainingSection
from streamgmm.training.trainer import train
from streamgmm.tuning.alarm_rates import upper_rate_per_hour
from streamgmm.tuning.operating_points import Curve, Levels, Material, make_levels, measure_curves
from streamgmm.tuning.recordings import recordings_with_events, score_recordings
from streamgmm.tuning.refusals import BudgetError
from streamgmm.tuning.tuning import tune
from tests.narrowing import present
from tests.required import corpus

AMBIENT = frozenset({"rain", "sea_waves", "fire_crackling"})
FOLDS = (1, 2, 3, 4, 5)
N_TUNED_ON = 6
BUDGETS_PER_HOUR = (0.5, 5.0)


class Outcome(NamedTuple):
    """What one tuning came to: alarms on the recordings that it was not tuned on, recall, and the hours of these."""

    n_alarms: int
    recall: float
    hours: float


def write_manifest(folder: Path, rows: Iterable[dict[str, str]], root: Path) -> Path:
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "source_id"])
        for row in rows:
            label = "background" if row["label"] in AMBIENT else row["label"]
            writer.writerow([root / row["path"], label, row["source_id"]])
    return folder


class Trial(NamedTuple):
    """A model and all that it was let hear."""

    model: Model
    material: Material

    @property
    def hours(self) -> Float64Array:
        """Of each ambience."""
        return (
            np.array([heard.end_sample for heard in self.material.backgrounds])
            / self.model.spec.sample_rate_hz
            / 3600.0
        )


def make_model(folder: Path, config: Config, held_out_fold: int, n_sources: int) -> tuple[Model, Path]:
    """A model of the other folds, at most so many sources of a label, and the data set of the one held out."""
    root = corpus("esc10")
    with (root / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    sources: dict[str, set[str]] = {}
    learnt = []
    for row in rows:
        own = sources.setdefault(row["label"], set())
        if row["fold"] != str(held_out_fold) and (row["source_id"] in own or len(own) < n_sources):
            own.add(row["source_id"])
            learnt.append(row)
    events = [row for row in rows if row["fold"] == str(held_out_fold) and row["label"] not in AMBIENT]
    dataset = read_dataset(write_manifest(folder / "learnt", learnt, root))
    return train(dataset, config, name="esc10").model, write_manifest(folder / "events", events, root)


def listen(model: Model, config: Config, events: Path) -> Material:
    """All recordings, heard once."""
    paths = background_recordings([corpus("ambience")], Findings())
    scored = score_recordings(paths, model, config, lambda seconds: None)
    backgrounds = [one for one in scored if isinstance(one, ScoredRecording)]
    pairs = recordings_with_events(read_dataset(events, min_clips=1), model)
    heard = score_recordings([path for path, _ in pairs], model, config, lambda seconds: None)
    found = [(one, truths) for one, (_, truths) in zip(heard, pairs, strict=True) if isinstance(one, ScoredRecording)]
    return Material(backgrounds, found)


def halves(material: Material) -> tuple[Material, Material]:
    """The events dealt out clip by clip, each label's by turns."""
    ordered = sorted(material.events, key=lambda pair: (pair[1][0].label, str(pair[0].path)))
    return material._replace(events=ordered[::2]), material._replace(events=ordered[1::2])


def judge(curves: Sequence[Sequence[Curve]], levels: Levels, tuned: Model, i_rest: Sequence[int]) -> tuple[int, float]:
    """Alarms on recordings, and recall, of the decisions of `tuned`, read off curves of other material."""
    n_alarms, recalls = 0, []
    for own in curves:
        section = tuned.decision.get(own[0].label)
        i_level = levels.i_first
        if section is not None:
            i_level = levels.thresholds.index(present(section.onset_threshold))
        wanted = None if section is None else section.min_duration_s
        curve = next(curve for curve in own if curve.min_duration_s == wanted)
        n_alarms += int(curve.n_alarms[list(i_rest), i_level].sum())
        if curve.recalls is not None:
            recalls.append(float(curve.recalls[i_level]))
    return n_alarms, float(np.mean(recalls))


def try_splits(trial: Trial, config: Config, budget_per_hour: float, n_splits: int) -> list[Outcome]:
    """Tune on `N_TUNED_ON` recordings at random, judge on the rest; a budget that cannot be met is left out."""
    rng = np.random.default_rng(0)
    levels = make_levels(config)
    model, material = trial
    choosing, testing = halves(material)
    curves = measure_curves(testing, model, config, levels)
    outcomes = []
    for _ in range(n_splits):
        order = rng.permutation(len(trial.hours)).tolist()
        used = choosing._replace(backgrounds=[material.backgrounds[i] for i in order[:N_TUNED_ON]])
        try:
            tuned = tune(
                used, model, config, budget_per_hour=budget_per_hour, accepts_events=True, accepts_loss=True
            ).model
        except BudgetError:
            continue
        n_alarms, recall = judge(curves, levels, tuned, order[N_TUNED_ON:])
        outcomes.append(Outcome(n_alarms, recall, float(trial.hours[order[N_TUNED_ON:]].sum())))
    return outcomes


def not_tuned(trial: Trial, config: Config) -> Outcome:
    levels = make_levels(config)
    curves = measure_curves(halves(trial.material)[1], trial.model, config, levels)
    return Outcome(*judge(curves, levels, trial.model, range(len(trial.hours))), float(trial.hours.sum()))


def report(trials: Sequence[Trial], config: Config, n_splits: int) -> Table:
    n_recordings, total_hours = len(trials[0].hours), float(trials[0].hours.sum())
    title = f"{len(trials)} models tuned on {N_TUNED_ON} of {n_recordings} ambiences, alarms on the others"
    table = Table("tuned to /h", title=title)
    for heading in ("tunings", "refused", "with no alarm", "alarms", "hours", "alarms /h", "of each model", "recall"):
        table.add_column(heading, justify="right")
    table.add_row("not tuned", *cells([[not_tuned(trial, config)] for trial in trials], 1))
    for budget_per_hour in BUDGETS_PER_HOUR:
        outcomes = [try_splits(trial, config, budget_per_hour, n_splits) for trial in trials]
        table.add_row(f"{budget_per_hour:g}", *cells(outcomes, n_splits))
    limit = upper_rate_per_hour(0, total_hours)
    table.caption = f"always the same {total_hours:.2f} hours: none in all of them would prove {limit:.0f} per hour"
    return table


def cells(outcomes_of_models: Sequence[Sequence[Outcome]], n_splits: int) -> list[str]:
    outcomes = [outcome for of_one in outcomes_of_models for outcome in of_one]
    n_refused = n_splits * len(outcomes_of_models) - len(outcomes)
    if not outcomes:
        return ["0", str(n_refused)]
    counts = [len(outcomes), n_refused, sum(not o.n_alarms for o in outcomes), sum(o.n_alarms for o in outcomes)]
    each = " ".join(f"{rate_per_hour(of_one):.1f}" for of_one in outcomes_of_models if of_one)
    recall = np.mean([o.recall for o in outcomes])
    hours = sum(o.hours for o in outcomes)
    return [*map(str, counts), f"{hours:.2f}", f"{rate_per_hour(outcomes):.2f}", each, f"{recall:.0%}"]


def rate_per_hour(outcomes: Sequence[Outcome]) -> float:
    return sum(o.n_alarms for o in outcomes) / sum(o.hours for o in outcomes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.false_alarms", description=__doc__)
    parser.add_argument("--brief", action="store_true", help="few clips and splits: enough to see that nothing rots")
    args = parser.parse_args()
    n_copies = 0 if args.brief else TrainingSection().n_speed_copies
    config = Config(training=TrainingSection(n_speed_copies=n_copies))
    trials = []
    for fold in FOLDS[-1:] if args.brief else FOLDS:
        with tempfile.TemporaryDirectory() as folder:
            model, events = make_model(Path(folder), config, fold, n_sources=4 if args.brief else 1000)
            trials.append(Trial(model, listen(model, config, events)))
    Console(width=120).print(report(trials, config, n_splits=4 if args.brief else 40))


if __name__ == "__main__":
    main()
