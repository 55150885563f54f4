"""`streamgmm classify`: the events of recordings, or one label per recording."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec

from streamgmm import units
from streamgmm.archive.times import is_plausible
from streamgmm.cli.console import make_progress, stderr_console
from streamgmm.cli.models import load_chosen_or_shipped_model
from streamgmm.cli.options import as_overrides
from streamgmm.cores import count_cores
from streamgmm.errors import StreamgmmError, UsageError
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.settings.loading import load_config
from streamgmm.sinks.formats import make_formatter
from streamgmm.wording import escaped, printable_json

MAX_JOBS = 256

MIN_BYTES_PER_PROCESS = 24 * 2**20
"""Least size of files for which another process is worth its start."""

_OWN_FILES = (Path("/dev"), Path("/proc"))
"""Folders of paths that mean something else in another process, such as its standard input."""


def run_classify(args: argparse.Namespace) -> int:
    """Classify recordings, and print their records or their labels."""
    _check_usage(args)
    # None means not given: False would override the settings file.
    shorthands = {"model.path": args.model, "output.format": args.format, "output.windows": args.windows or None}
    loaded = load_config(args.config, [*as_overrides(shorthands), *args.overrides])
    model = load_chosen_or_shipped_model(loaded)
    origin = _parse_time(args.start_time)
    if args.output is not None:
        from streamgmm.cli.archive import label_archive

        return label_archive(args, model, loaded.config, origin)
    work: Callable[[Path], Iterator[bytes]]
    if args.clip:
        work = partial(_clip_lines, model=model, config=loaded.config)
    else:
        has_several = len(args.files) > 1
        work = partial(_record_lines, model=model, config=loaded.config, origin=origin, has_several=has_several)
    return _print_all(work, args)


def _check_usage(args: argparse.Namespace) -> None:
    if args.output is None and (args.cluster is not None or args.workers):
        raise UsageError("--cluster and --workers are for an archive", hint="name its folder with -o DIR")
    if args.clip and (args.windows or args.start_time):
        raise UsageError("--clip prints one line per file, --windows and --start-time are for records")
    if args.clip and args.format in ("dcase", "audacity"):
        raise UsageError(f"--clip prints a label per file, {args.format} is a list of events", hint="drop one of them")
    if not 0 <= args.jobs <= MAX_JOBS:
        raise UsageError(f"--jobs is {args.jobs}, must be 0 to {MAX_JOBS}")


def _print_all(work: Callable[[Path], Iterator[bytes]], args: argparse.Namespace) -> int:
    """Print what `work` yields for each file, then what was skipped; return the exit code."""
    failures: list[StreamgmmError] = []
    n_lines = 0
    # On a terminal the results show the progress, and a bar would mix with them.
    with (
        make_progress(stderr_console(), is_wanted=not sys.stdout.isatty()) as progress,
        _streams(work, args.files, args.jobs) as streams,
    ):
        for lines in progress.track(streams, total=len(args.files), description="classifying"):
            try:
                for line in lines:
                    _print_line(line)
                    n_lines += 1
            except StreamgmmError as error:
                if args.strict or len(args.files) == 1:
                    raise
                failures.append(error)
    # For people only: programs know what an empty output means.
    if not n_lines and not failures and sys.stderr.isatty():
        advice = "--clip tells the likeliest label of each, and `streamgmm explain` the scores"
        print(f"streamgmm: no events; {advice}", file=sys.stderr)
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
    if not is_plausible(time):
        raise UsageError(f"--start-time {text} is not between the years 1900 and 2199")
    return time


def _streams(
    work: Callable[[Path], Iterator[bytes]], files: Sequence[Path], n_wanted: int
) -> AbstractContextManager[Iterator[Iterator[bytes]]]:
    """Provide the output for each file, in order."""
    if len(files) == 1 or (n_jobs := _n_jobs(files, n_wanted)) == 1:
        return nullcontext(map(work, files))
    # Imported only now: most commands need no processes, and start sooner.
    from streamgmm.training.worker_streams import streaming

    return streaming(work, files, n_jobs)


def _n_jobs(files: Sequence[Path], n_wanted: int) -> int:
    """Return the number of processes, by default as many as cores, if there is enough to do."""
    # This process alone for files that others would not find.
    if any(file.is_relative_to(own) for file in files for own in _OWN_FILES):
        return 1
    return n_wanted or min(count_cores(), 1 + sum(map(_n_bytes, files)) // MIN_BYTES_PER_PROCESS)


def _n_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except (OSError, ValueError):  # reported when its turn comes
        return 0


def _record_lines(
    path: Path, model: Model, config: Config, origin: datetime | None, *, has_several: bool
) -> Iterator[bytes]:
    from streamgmm.listening.recordings import classify_recording

    format_record = make_formatter(config.output.format, filename=str(path) if has_several else "")
    for record in classify_recording(path, model, config, origin=origin):
        line = format_record(record)
        if line is not None:
            yield line


def _clip_lines(path: Path, model: Model, config: Config) -> Iterator[bytes]:

    from streamgmm.listening.recordings import decide_recording

    decision = decide_recording(path, model, config)
    score = units.round_score(decision.score)
    match config.output.format:
        case "label":
            line = decision.label
        case "jsonl":
            scores = {label: units.round_score(value) for label, value in decision.scores.items()}
            # JSON cannot represent a path that is not UTF-8, so such bytes are escaped.
            answer = {
                "path": os.fsencode(path).decode("utf-8", "backslashreplace"),
                "label": decision.label,
                "score": score,
                "known": units.round_score(decision.in_domain_probability),
                "scores": scores,
            }
            line = printable_json(msgspec.json.encode(answer).decode())
        case _:
            line = f"{escaped(str(path))}\t{decision.label}\t{score:.4f}"
    yield line.encode() + b"\n"


def _print_line(line: bytes) -> None:
    # Flush each line: a reader in a pipe must not wait until 4096 bytes are buffered.
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
