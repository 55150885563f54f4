"""`streamgmm evaluate --events`: scores of the events of a model on labelled recordings."""

from __future__ import annotations

import argparse
import math

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamgmm.cli.console import RichTrack, make_progress, stderr_console, stdout_console
from streamgmm.cli.findings import print_findings
from streamgmm.cli.output_file import write_json
from streamgmm.dataset.listing import Findings
from streamgmm.dataset.reasons import explanation
from streamgmm.errors import UsageError
from streamgmm.evaluation.event_evaluation import EventEvaluation, EventScores, Spread, evaluate_events
from streamgmm.evaluation.event_scoring import Criteria
from streamgmm.evaluation.scenes import read_scenes
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.shares import share_text

MIN_SEGMENT_S = 0.001
MAX_TIME_S = 3600.0


def check_event_options(args: argparse.Namespace) -> None:
    """Reject options that contradict each other, before any work is done.

    Raises:
        UsageError: options contradict each other, or a time is out of range.
    """
    if args.events and args.model is None:
        raise UsageError("--events needs --model", hint="train one on other recordings first")
    if args.events and (args.room or args.noise or args.band or args.gain or args.seconds or args.report):
        raise UsageError("--room, --noise, --band, --gain, --seconds and --report are for clips, not for --events")
    if not args.events and (args.collar is not None or args.segment is not None):
        raise UsageError("--collar and --segment are for --events")
    # Parsed only to reject malformed times early; the result is made again for the evaluation.
    _criteria(args)


def run_events(args: argparse.Namespace, model: Model, config: Config) -> int:
    """Detect events in all scenes, print their scores, and write them as JSON if requested."""
    findings = Findings()
    console = stderr_console()
    scenes = read_scenes(args.data, findings, args.folds)
    with make_progress(console) as progress:
        evaluation = evaluate_events(
            scenes, model, config, _criteria(args), findings=findings, where=args.data, track=RichTrack(progress)
        )
    print_findings(findings)
    if args.json:
        write_json(evaluation, args.json)
    print_events(evaluation, stdout_console())
    return 0


def _criteria(args: argparse.Namespace) -> Criteria:
    times_s: dict[str, float | None] = {}
    if args.collar is not None:
        onset, comma, offset = args.collar.partition(",")
        times_s["onset_collar_s"] = _parse_time_option("--collar", onset, 0.001)
        times_s["offset_collar_s"] = _parse_time_option("--collar", offset, 0.0) if comma else None
    if args.segment is not None:
        times_s["segment_s"] = _parse_time_option("--segment", args.segment, MIN_SEGMENT_S)
    # Times that were not given keep the defaults.
    return Criteria(**times_s)  # type: ignore[arg-type]


def _parse_time_option(option: str, text: str, at_least_s: float) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not at_least_s <= seconds <= MAX_TIME_S:
        raise UsageError(f"{option} {text!r} is not a time", hint=f"seconds from {at_least_s:g} to {MAX_TIME_S:g}")
    return seconds


def print_events(evaluation: EventEvaluation, console: Console) -> None:
    """Print the scores of events: per label, and in total."""
    console.print(_events_table(evaluation))
    for name, count in evaluation.skipped.items():
        console.print(f"left out: {count}: {explanation(name)}", soft_wrap=True)
    events, segments = evaluation.event_based, evaluation.segment_based
    latency = evaluation.onset_latency_s
    lines = [
        f"events: F1 {_percent(events.f1)}, error rate {_two_decimals(events.error_rate)} (substitutions "
        f"{_two_decimals(events.substitution_rate)}, deletions {_two_decimals(events.deletion_rate)}, insertions "
        f"{_two_decimals(events.insertion_rate)})",
        f"true events found: {share_text(events.n_right, events.n_true)}, found events that are right: "
        f"{share_text(events.n_right, events.n_found)}",
        f"segments of {evaluation.criteria.segment_s:g} s: F1 {_percent(segments.f1)}, "
        f"error rate {_two_decimals(segments.error_rate)}",
        f"onsets: reported after {_spread_text(latency)}, dated within {_spread_text(evaluation.onset_error_s)}",
        f"false alarms {evaluation.false_alarms_per_hour:.1f} an hour, PSDS {_two_decimals(evaluation.psds)}, "
        f"{evaluation.n_recordings} recordings, {evaluation.duration_s / 60:.1f} minutes",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)


def _events_table(evaluation: EventEvaluation) -> Table:
    table = Table(title="Events", box=box.SIMPLE, padding=(0, 0, 0, 1))
    table.add_column("label", overflow="fold")
    for heading in ("true", "found", "right", "F1", "segment F1", "false/h", "latency", "PSDS"):
        table.add_column(heading, justify="right")
    for label, scores in evaluation.per_class.items():
        table.add_row(Text(label), *_score_cells(scores))
    table.add_row("all", *_score_cells(evaluation), style="bold")
    return table


def _score_cells(scores: EventScores) -> list[str]:
    events, latency = scores.event_based, scores.onset_latency_s
    return [
        *(str(count) for count in (events.n_true, events.n_found, events.n_right)),
        _percent(scores.event_f1),
        _percent(scores.segment_f1),
        f"{scores.false_alarms_per_hour:.1f}",
        "-" if latency is None else f"{latency.median:.2f} s",
        _two_decimals(scores.psds),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _two_decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _spread_text(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:.2f} s (nine of ten: {spread.p90:.2f} s)"
