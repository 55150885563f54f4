"""The result of a tuning as text and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamgmm.cli.room_table import shown_threshold
from streamgmm.shares import share_text
from streamgmm.training.selection.thresholds import DEAF_RECALL
from streamgmm.tuning.alarm_rates import hours_to_prove
from streamgmm.tuning.result import LabelTuning, Tuning
from streamgmm.wording import escaped

SELDOM_REACHED = 0.999
"""A logit of 7: even for true events, calibrated posteriors seldom reach this value."""


def print_tuning(tuning: Tuning, console: Console) -> None:
    """Print a row per label, the recall under other budgets, and the conclusions."""
    console.print(_decisions_table(tuning))
    console.print(_budgets_table(tuning))
    for line in conclusions(tuning):
        console.print(line, soft_wrap=True)


def conclusions(tuning: Tuning) -> Iterator[str]:
    """Yield the conclusions from the numbers, one line each."""
    yield (
        f"false alarms in {tuning.hours:.2f} hours of background: {tuning.n_alarms}, before {tuning.n_alarms_before}; "
        f"{_rate(tuning.expected_per_hour)} per hour are expected, of {tuning.budget_per_hour:g} allowed"
    )
    yield _proof(tuning)
    if tuning.held_out is not None:
        held_out = tuning.held_out
        yield (
            f"each recording judged by thresholds tuned on the others: {held_out.n_alarms} false alarms, "
            f"at most {_rate(held_out.upper_per_hour)} per hour ({tuning.confidence:.0%} sure)"
        )
    lost = [label for label, result in tuning.labels.items() if result.recall == 0.0 and result.recall_before]
    if lost:
        yield f"warning: no events are found any more of {_listed(lost)}; give more background, or allow more"
    deaf = [
        label
        for label, result in tuning.labels.items()
        if label not in lost and result.recall is not None and result.recall < DEAF_RECALL
    ]
    if deaf:
        yield f"warning: hardly a sound reaches the threshold of {_listed(deaf)}; allow more, or record more clips"
    if tuning.recall is not None:
        n_found = sum(_n_found(one.recall, one) for one in tuning.labels.values() if one.recall is not None)
        what = "copies of the training clips, 6 dB or more above other sound," if tuning.is_by_copies else "true events"
        yield f"{what} found, of all labels together: {share_text(n_found, tuning.n_events)}"
    if tuning.recall is None:
        yield "the cost in recall is not known: give labelled sounds with --events"
    # Where recall was measured, it shows itself what a high threshold costs.
    high = [
        label
        for label, result in tuning.labels.items()
        if result.recall is None and result.is_changed and result.onset_threshold > SELDOM_REACHED
    ]
    if high:
        yield (
            f"warning: few sounds score as high as the thresholds of {_listed(high)}; "
            "give more background, or allow more"
        )
    yield "sounds of these labels that occur in the background were counted as false alarms: tuning cannot detect them"


def _proof(tuning: Tuning) -> str:
    limit = f"at most {_rate(tuning.upper_per_hour)} per hour ({tuning.confidence:.0%} sure)"
    if tuning.is_proven:
        return f"these hours prove {limit}"
    hours = hours_to_prove(tuning.budget_per_hour)
    return (
        f"warning: these hours prove no more than {limit}; thresholds are extrapolated. "
        f"It takes {hours:.3g} hours without an alarm to prove {tuning.budget_per_hour:g} per hour"
    )


def _decisions_table(tuning: Tuning) -> Table:
    table = Table("label", title="Decisions, before > after", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("threshold", "min s", "alarms", "exp. /h", "recall", "latency s"):
        table.add_column(heading, justify="right")
    for label, result in tuning.labels.items():
        table.add_row(Text(escaped(label)), *_tuning_cells(result))
    recall = _change(tuning.recall_before, tuning.recall, ".0%")
    alarms = f"{tuning.n_alarms_before} > {tuning.n_alarms}"
    table.add_row("all", "", "", alarms, _rate(tuning.expected_per_hour), recall, "", style="bold")
    return table


def _tuning_cells(result: LabelTuning) -> Iterator[str]:
    yield shown_threshold(result.onset_threshold)
    yield "-" if result.min_duration_s is None else f"{result.min_duration_s:g}"
    yield f"{result.n_alarms_before} > {result.n_alarms}"
    yield _rate(result.expected_per_hour)
    yield _recall(result)
    yield _change(result.latency_before_s, result.latency_s, ".1f")


def _rate(per_hour: float) -> str:
    """Return a rate in two digits or more, and never as a power of ten."""
    return f"{per_hour:.0f}" if per_hour >= 100.0 else f"{per_hour:.2g}"


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(map(escaped, labels))


def _recall(result: LabelTuning) -> str:
    """Return the number of true events found before and after, with the interval of the latter share."""
    if result.recall_before is None or result.recall is None:
        return "-"
    return f"{_n_found(result.recall_before, result)} > {share_text(_n_found(result.recall, result), result.n_events)}"


def _n_found(recall: float, result: LabelTuning) -> int:
    # The recall is a quotient of counts: rounding restores the count.
    return round(recall * result.n_events)


def _change(before: float | None, after: float | None, form: str) -> str:
    if before is None and after is None:
        return "-"
    return " > ".join("-" if value is None else format(value, form) for value in (before, after))


def _budgets_table(tuning: Tuning) -> Table:
    """Return the recall by budget as bars, for a terminal."""
    table = Table("allowed /h", "expected /h", title="What other budgets cost", box=box.SIMPLE)
    table.add_column("recall, mean over labels")
    for step in tuning.sweep:
        bar = "not known" if step.recall is None else f"{'█' * round(30 * step.recall)} {step.recall:.0%}"
        table.add_row(f"{step.budget_per_hour:g}", _rate(step.expected_per_hour), bar)
    return table
