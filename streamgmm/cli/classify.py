"""`streamgmm classify`: the events of recordings, or one label per recording."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path

import msgspec

from streamgmm import units
from streamgmm.cli.console import make_progress, stderr_console
from streamgmm.cli.models import load_chosen_or_shipped_model
from streamgmm.cli.options import as_overrides
from streamgmm.errors import StreamgmmError, UsageError
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.settings.loading import load_config
from streamgmm.sinks.formats import make_formatter
from streamgmm.wording import escaped


def run_classify(args: argparse.Namespace) -> int:
    """Classify recordings, and print their records or their labels."""
    if args.output is None and (args.cluster or args.workers):
        raise UsageError("--cluster and --workers are for an archive", hint="name its folder with -o DIR")
    if args.clip and (args.windows or args.start_time):
        raise UsageError("--clip prints one line per file, --windows and --start-time are for records")
    # None means not given: False would override the settings file.
    shorthands = {"model.path": args.model, "output.format": args.format, "output.windows": args.windows or None}
    loaded = load_config(args.config, [*as_overrides(shorthands), *args.overrides])
    model = load_chosen_or_shipped_model(loaded)
    origin = _parse_time(args.start_time)
    if args.output is not None:
        from streamgmm.cli.archive import label_archive

        return label_archive(args, model, loaded.config, origin)
    failures: list[StreamgmmError] = []
    # On a terminal the results show the progress, and a bar would mix with them.
    with make_progress(stderr_console(), is_wanted=not sys.stdout.isatty()) as progress:
        for path in progress.track(args.files, description="classifying"):
            try:
                if args.clip:
                    _print_clip(path, model, loaded.config)
                else:
                    _print_records(path, model, loaded.config, origin, has_several=len(args.files) > 1)
            except StreamgmmError as error:
                if args.strict or len(args.files) == 1:
                    raise
                failures.append(error)
    for failure in failures:
        print(f"streamgmm: skipped: {failure}", file=sys.stderr)
    if failures:
        print(f"streamgmm: {len(failures)} of {len(args.files)} files skipped", file=sys.stderr)
    # One code for several failures: that of the first, as if its file had been the only one.
    return failures[0].exit_code if failures else 0


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--start-time {text} is not a time", hint="write it as 2026-01-31T12:00:00Z") from None
    if time.tzinfo is None:
        raise UsageError(f"--start-time {text} has no time zone", hint="add Z for UTC, or an offset such as +01:00")
    return time


def _print_records(path: Path, model: Model, config: Config, origin: datetime | None, *, has_several: bool) -> None:
    from streamgmm.listening.recordings import classify_recording

    format_record = make_formatter(config.output.format, filename=str(path) if has_several else "")
    for record in classify_recording(path, model, config, origin=origin):
        line = format_record(record)
        if line is not None:
            _print_line(line)


def _print_clip(path: Path, model: Model, config: Config) -> None:

    from streamgmm.listening.recordings import decide_recording

    decision = decide_recording(path, model, config)
    score = units.round_score(decision.score)
    match config.output.format:
        case "label":
            line = decision.label
        case "jsonl":
            scores = {label: units.round_score(value) for label, value in decision.scores.items()}
            # JSON cannot represent a path that is not UTF-8, so its bytes are escaped.
            answer = {
                "path": escaped(str(path)),
                "label": decision.label,
                "score": score,
                "known": units.round_score(decision.in_domain_probability),
                "scores": scores,
            }
            line = msgspec.json.encode(answer).decode()
        case _:
            line = f"{escaped(str(path))}\t{decision.label}\t{score:.4f}"
    _print_line(line.encode() + b"\n")


def _print_line(line: bytes) -> None:
    # Flush each line: a reader in a pipe must not wait until 4096 bytes are buffered.
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
