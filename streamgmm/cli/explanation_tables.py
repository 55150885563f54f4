"""The explanation of one decision as text and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamgmm.explanation.result import Explanation, Gate, LabelState, MixtureComparison, by_kind_and_band
from streamgmm.features.bank import band_limits_hz
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.statistics import group_edges
from streamgmm.labels import is_reserved
from streamgmm.wording import escaped

N_LABELS_SHOWN = 5
"""Number of best labels in the table; the label that the best is compared with is added."""

_QUESTIONS = {
    "silence": "loud enough?",
    "nonfinite": "numbers finite?",
    "background": "more likely than background?",
    "unknown": "likely enough for the label?",
}
_ANSWERS = {
    "silence": "the level is below the silence gate, so nothing else was checked",
    "nonfinite": "a sample is NaN, infinite or far above full scale, so nothing was scored",
    "background": "{best} is the best label, but the window is not enough more likely than under the background",
    "unknown": "{best} is the best label, but this window is unlike those it was trained on",
}
_OUTCOMES = {True: "passed", False: "rejected", None: "not checked"}


def print_explanation(explanation: Explanation, spec: FeatureSpec, console: Console) -> None:
    """Print the decision, the gates, the labels, and what favoured the best label over another."""
    for line in summary(explanation):
        console.print(line, soft_wrap=True)
    console.print(_gates_table(explanation))
    if explanation.best is not None:
        console.print(_candidates_table(explanation))
    if explanation.comparison is not None:
        console.print(comparison_line(explanation.comparison), soft_wrap=True)
        console.print(_parts_table(explanation.comparison, spec))


def summary(explanation: Explanation) -> Iterator[str]:
    """Yield the window, the label that it was given, and the open events, one line each."""
    share = "" if explanation.window_share == 1.0 else f", {explanation.window_share:.0%} of a whole one"
    yield (
        f"window {explanation.start_t:.3f} to {explanation.t:.3f} s{share}; "
        f"its last hop has {explanation.level_dbfs:.1f} dBFS"
    )
    answer = escaped(explanation.label)
    if explanation.reject is not None:
        answer += ": " + _ANSWERS[explanation.reject].format(best=escaped(explanation.best or ""))
    yield f"answer: {answer}"
    yield from _events(explanation)


def _events(explanation: Explanation) -> Iterator[str]:
    open_events = [
        f"{escaped(label)} since {stand.event_start_t:.3f} s"
        for label, stand in explanation.labels.items()
        if stand.event_start_t is not None
    ]
    yield f"open events: {', '.join(open_events) or 'none'}"


def comparison_line(comparison: MixtureComparison) -> str:
    """The ratio in one line, and what it means for the posteriors."""
    priors = f" {comparison.log_prior_ratio:+.2f} (priors)" if comparison.log_prior_ratio else ""
    scale, log_odds = comparison.likelihood_scale, comparison.log_odds
    return (
        f"{escaped(comparison.label)} rather than {escaped(comparison.against)}: {comparison.llr:+.2f} nat; "
        f"x {scale:.3g} (calibration){priors} = log odds {log_odds:+.2f} of this window"
    )


def _gates_table(explanation: Explanation) -> Table:
    table = Table("gate", title="Gates, in their order", title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("value", "at least", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for gate in explanation.gates:
        table.add_row(_QUESTIONS[gate.refusal], *_gate_cells(gate))
    if explanation.best is not None:
        table.add_row(*_threshold_cells(explanation, explanation.best))
    return table


def _gate_cells(gate: Gate) -> Iterator[str]:
    for number in (gate.value, gate.limit):
        yield "" if number is None else f"{number:.2f} {gate.unit}"
    yield _OUTCOMES[gate.is_passed]


def _threshold_cells(explanation: Explanation, best: str) -> Iterator[str]:
    stand = explanation.labels[best]
    smoothed = stand.smoothed_posterior or 0.0
    yield "smoothed posterior above onset?"
    yield f"{smoothed:.4f}"
    yield f"{stand.onset_threshold:.4g}"
    if explanation.reject is not None:
        yield "not checked"
    elif is_reserved(best):
        # A reserved label may win, but the judge gives it no score.
        yield "never an event"
    else:
        yield "reached" if smoothed >= stand.onset_threshold else "not reached"


def _candidates_table(explanation: Explanation) -> Table:
    table = Table("label", title="Labels, best first", title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("this window", "smoothed", "onset at", "over background"):
        table.add_column(heading, justify="right")
    table.add_column("event")
    compared = explanation.comparison.against if explanation.comparison else None
    for place, (label, stand) in enumerate(explanation.labels.items()):
        if place < N_LABELS_SHOWN or label == compared:
            table.add_row(Text(escaped(label)), *_stand_cells(stand), "-" if is_reserved(label) else stand.state)
    return table


def _stand_cells(stand: LabelState) -> Iterator[str]:
    for number, form in (
        (stand.posterior, ".4f"),
        (stand.smoothed_posterior, ".4f"),
        (stand.onset_threshold, ".4g"),
        (stand.llr, "+.2f"),
    ):
        yield "-" if number is None else format(number, form)


def _parts_table(comparison: MixtureComparison, spec: FeatureSpec) -> Table:
    """Kinds of features down, groups of bands across; all cells together are the ratio."""
    from rich import box
    from rich.table import Table

    kinds, nats = by_kind_and_band(comparison.parts, spec.n_bands)
    edges = group_edges(spec.n_bands)
    # Bands are summed by group; the last column holds features of all bands together.
    columns = np.column_stack([np.add.reduceat(nats[:, :-1], edges, axis=1), nats[:, -1]])
    table = Table(title="In nat, by kind and by band (Hz)", title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.show_edge = False  # for 80 columns
    table.add_column("", no_wrap=True)
    for heading in (*_group_names(spec), "all", "sum"):
        table.add_column(heading, justify="right")
    for kind, row in zip(kinds, columns, strict=True):
        table.add_row(kind, *_nats(row, digits=1), *_nats([row.sum()]))
    blank = [""] * columns.shape[1]
    if comparison.frames is not None:
        table.add_row("cepstral frames", *blank, *_nats([comparison.frames]))
    # The rest is the error of the integration, too small for a row of its own.
    table.add_row("at training mean", *blank, *_nats([comparison.baseline + comparison.rest]))
    sums = columns.sum(axis=0)
    table.add_row("sum", *_nats(sums, digits=1), *_nats([comparison.llr]), style="bold")
    return table


def _nats(values: Iterable[float], digits: int = 2) -> Iterator[str]:
    """Yield numbers as text; a contribution of exactly 0, where nothing was measured, is empty."""
    return (f"{value:+.{digits}f}" if value else "" for value in values)


def _group_names(spec: FeatureSpec) -> Iterator[str]:
    limits_hz = band_limits_hz(spec)
    edges = [*group_edges(spec.n_bands), spec.n_bands]
    for first, end in pairwise(edges):
        yield f"{limits_hz[first]:.0f}\n-{limits_hz[end]:.0f}"
