"""Tables, JSON and a picture of the results."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from tests.benchmarks.room.trial import AUDIBLE_DB, BUDGETS_PER_HOUR, OTHER_BUDGETS_PER_HOUR, Result
from tests.benchmarks.room.users import SNRS_DB


def _at_budget(per_hour: float) -> dict[str, Callable[[Result], float]]:
    return {
        f"recall_with_budget_{per_hour:g}": lambda result: result.others[per_hour].recall(*AUDIBLE_DB),
        f"alarms_with_budget_{per_hour:g}": lambda result: result.others[per_hour].n_alarms / result.hours,
    }


FIGURES: dict[str, Callable[[Result], float]] = {
    "recall": lambda result: result.recall,
    **{f"recall_{snr_db:g}_db": lambda result, snr_db=snr_db: result.default.recall(snr_db) for snr_db in SNRS_DB},  # type: ignore[misc]
    "alarms_per_hour": lambda result: result.alarms_per_hour,
    **{
        f"recall_within_{budget:g}_per_hour": lambda result, budget=budget: result.recall_within(budget)  # type: ignore[misc]
        for budget in BUDGETS_PER_HOUR
    },
    **_at_budget(OTHER_BUDGETS_PER_HOUR[0]),
    **_at_budget(OTHER_BUDGETS_PER_HOUR[1]),
    "alarms_per_hour_at_half_recall": lambda result: result.alarms_at_half_recall,
    "latency_s": lambda result: result.latency_s,
}
HEADINGS = (
    "recall\n≥ 6 dB",
    *(f"at\n{snr_db:g} dB" for snr_db in SNRS_DB),
    "false\n/h",
    *(f"recall\n{budget:g}/h" for budget in BUDGETS_PER_HOUR),
    *(f"{what}\nof {budget:g}" for budget in OTHER_BUDGETS_PER_HOUR for what in ("recall", "false")),
    "/h at\n50 %",
    "latency\ns",
)
RATES_PER_HOUR = np.geomspace(0.1, 1000.0, 200)
COLOURS = {"kinds": "#2a6f97", "own": "#c05f2c"}


def results_table(results: Sequence[Result], title: str) -> Table:
    """A row for each user, then means with standard errors over users."""
    table = Table(title=title)
    table.add_column("user", no_wrap=True)
    for heading in ("classes\nx clips", "targets", "hours", *HEADINGS):
        table.add_column(heading, justify="right")
    for result in results:
        user = result.lesson.user
        counts = (f"{len(user.labels)} x {user.n_clips}", len(result.default.hits))
        figures = [_cell(name, figure(result)) for name, figure in FIGURES.items()]
        table.add_row(f"{user.seed} ({user.kind})", *map(str, counts), f"{result.hours:.2f}", *figures)
    table.add_section()
    for kind, own in by_kind(results):
        table.add_row(f"{kind}: mean of {len(own)}", "", "", "", *(_cell(n, m) for n, (m, _) in means(own).items()))
        table.add_row("standard error", "", "", "", *(_cell(n, e) for n, (_, e) in means(own).items()))
    table.caption = (
        "false: with the model's decisions; of n: the same with a budget of n an hour; "
        "recall at n/h: in hindsight, with all thresholds moved together"
    )
    return table


def by_kind(results: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    for kind in ("kinds", "own"):
        own = [result for result in results if result.lesson.user.kind == kind]
        if own:
            yield kind, own
    yield "all", list(results)


def means(results: Sequence[Result]) -> dict[str, tuple[float, float]]:
    """Mean and standard error over the users for whom a figure exists; NaN where there are too few."""
    return {name: _mean([figure(result) for result in results]) for name, figure in FIGURES.items()}


def _mean(values: Sequence[float]) -> tuple[float, float]:
    known = [value for value in values if not math.isnan(value)]
    mean = float(np.mean(known)) if known else math.nan
    return mean, float(np.std(known, ddof=1) / math.sqrt(len(known))) if len(known) > 1 else math.nan


def _cell(name: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return (
        f"{100.0 * value:.0f} %"
        if name.startswith("recall")
        else f"{value:.2f}"
        if name == "latency_s"
        else f"{value:.1f}"
    )


def write_json(path: Path, results: Sequence[Result], settings: dict[str, Any]) -> None:
    """Write all figures, with null for those that do not exist."""
    users = [
        {
            "user": result.lesson.user.seed,
            "kind": result.lesson.user.kind,
            "labels": result.lesson.user.labels,
            "clips_per_class": result.lesson.user.n_clips,
            "hours": result.hours,
            "training_s": result.training_s,
            "scoring_s": result.scoring_s,
            "false_alarms": result.default.alarms,
            **{name: _or_none(figure(result)) for name, figure in FIGURES.items()},
            "targets": [{**hit.target._asdict(), "latency_s": hit.latency_s} for hit in result.default.hits],
            "curve": [{name: _or_none(value) for name, value in p._asdict().items()} for p in result.curve],
            "remarks": result.remarks,
        }
        for result in results
    ]
    pooled = {
        kind: {name: {"mean": _or_none(m), "standard_error": _or_none(e)} for name, (m, e) in means(own).items()}
        for kind, own in by_kind(results)
    }
    path.write_text(json.dumps({"settings": settings, "means": pooled, "users": users}, indent=1) + "\n")


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def write_picture(path: Path, results: Sequence[Result], title: str) -> None:
    """Draw recall over false alarms per hour: a thin line for each user, and the mean of each kind.

    Raises:
        ImportError: matplotlib is not installed (extra `plot`).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.subplots()
    for kind, own in by_kind(results):
        if kind in COLOURS:
            recalls = np.array([[result.recall_within(rate) for rate in RATES_PER_HOUR] for result in own])
            axes.plot(RATES_PER_HOUR, recalls.T, color=COLOURS[kind], linewidth=0.7, alpha=0.5)
            axes.plot(RATES_PER_HOUR, recalls.mean(axis=0), color=COLOURS[kind], linewidth=2.5, label=f"mean of {kind}")
            alarms, hits = [result.alarms_per_hour for result in own], [result.recall for result in own]
            axes.plot(alarms, hits, "o", color=COLOURS[kind], markersize=5)
    axes.set(
        xscale="log", xlabel="false alarms per hour", ylabel="recall at 6 dB and above", title=title, ylim=(0.0, 1.02)
    )
    axes.grid(visible=True, which="major", linewidth=0.4)
    axes.legend(loc="upper left")
    figure.savefig(path)
