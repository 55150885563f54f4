"""`streamgmm classify`: what is heard in recordings."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.cli.options import add_config_options, as_overrides
from streamgmm.errors import StreamgmmError, UsageError

if TYPE_CHECKING:
    from streamgmm.config import Config
    from streamgmm.model.model import Model

_DESCRIPTION = """\
Say what is heard in recordings: the same records as `run` would give for the
same samples, as fast as the machine can, or with --clip one answer a file.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `classify`."""
    parser = subparsers.add_parser("classify", help="say what is heard in recordings", description=_DESCRIPTION)
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="recordings of any format and rate")
    parser.add_argument("-m", "--model", metavar="MODEL", help="made by `train` (default: shipped, of ten sounds)")
    parser.add_argument(
        "-f",
        "--format",
        choices=["jsonl", "text", "label", "dcase", "audacity"],
        help="of the output (default: jsonl); dcase and audacity name the file if there are several",
    )
    parser.add_argument("--clip", action="store_true", help="one line a file: path, label, score, all scores")
    parser.add_argument("--windows", action="store_true", help="a record for every hop, not only for events")
    parser.add_argument("--start-time", metavar="TIME", help="when it was recorded (RFC 3339), to date the records")
    parser.add_argument("--strict", action="store_true", help="end at the first file that cannot be read")
    add_config_options(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from streamgmm.cli.console import make_progress, stderr_console
    from streamgmm.cli.run import load_chosen_or_shipped_model
    from streamgmm.config_loading import load_config

    if args.clip and (args.windows or args.start_time):
        raise UsageError("--clip prints one line a file, --windows and --start-time are for records")
    shorthands = {"model.path": args.model, "output.format": args.format, "output.windows": args.windows or None}
    loaded = load_config(args.config, [*as_overrides(shorthands), *args.overrides])
    model = load_chosen_or_shipped_model(loaded)
    origin = _parse_time(args.start_time)
    failures: list[StreamgmmError] = []
    # On a terminal the answers themselves tell how far it is, and would stand in the line of a bar.
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
    return failures[0].exit_code if failures else 0


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--start-time {text} is no time", hint="write it as 2026-01-31T12:00:00Z") from None
    if time.tzinfo is None:
        raise UsageError(f"--start-time {text} has no time zone", hint="add Z for UTC, or an offset such as +01:00")
    return time


def _print_records(path: Path, model: Model, config: Config, origin: datetime | None, *, has_several: bool) -> None:
    from streamgmm.listening.recordings import classify_recording
    from streamgmm.sinks.formats import make_formatter

    format_record = make_formatter(config.output.format, filename=str(path) if has_several else "")
    for record in classify_recording(path, model, config, origin=origin):
        line = format_record(record)
        if line is not None:
            _print_line(line)


def _print_clip(path: Path, model: Model, config: Config) -> None:
    import msgspec

    from streamgmm import units
    from streamgmm.listening.recordings import decide_recording
    from streamgmm.wording import escaped

    decision = decide_recording(path, model, config)
    score = units.round_score(decision.score)
    match config.output.format:
        case "label":
            line = decision.label
        case "jsonl":
            scores = {label: units.round_score(value) for label, value in decision.scores.items()}
            # A path that is not UTF-8 is shown with escapes: JSON cannot hold it as it is.
            answer = {
                "path": escaped(str(path)),
                "label": decision.label,
                "score": score,
                "known": units.round_score(decision.known),
                "scores": scores,
            }
            line = msgspec.json.encode(answer).decode()
        case _:
            line = f"{escaped(str(path))}\t{decision.label}\t{score:.4f}"
    _print_line(line.encode() + b"\n")


def _print_line(line: bytes) -> None:
    # Each line at once, so that a reader in a pipe need not wait for the next four thousand bytes.
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
