"""`streamgmm classify -o` and `streamgmm archive`: events of many recordings as Parquet, and their counts."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamgmm.archive.folder import ArchiveFolder, make_manifest
from streamgmm.archive.labelling import Labelling, recordings_of
from streamgmm.archive.summary import Summary, summarise
from streamgmm.cli.console import RichTrack, make_progress, stderr_console, stdout_console
from streamgmm.cli.findings import print_findings
from streamgmm.cli.output_file import check_picture
from streamgmm.cores import count_cores
from streamgmm.dataset.listing import Findings
from streamgmm.errors import InputMissingError, UsageError
from streamgmm.model.model import Model
from streamgmm.report.archive_picture import draw_archive
from streamgmm.settings.config import Config
from streamgmm.training.cluster import ClusterExecutor, check_address, local_cluster
from streamgmm.wording import escaped

JOBS_PER_THREAD = 32
"""Recordings in flight for each thread: while a long one is awaited, other workers go on with those after it."""


def label_archive(args: argparse.Namespace, model: Model, config: Config, origin: datetime | None) -> int:
    """Label recordings into the folder `args.output`, as far as they are not finished there; return the exit code."""
    if args.clip or args.windows or args.format:
        raise UsageError("--clip, --windows and --format are for what is printed, which -o replaces")
    if args.cluster is not None and args.workers:
        raise UsageError("--workers is for this machine, which --cluster replaces")
    if args.cluster is not None:
        check_address(args.cluster)
    folder = ArchiveFolder(args.output)
    findings = Findings()
    paths = recordings_of(args.files, findings, without=args.output.absolute())
    print_findings(findings)
    if not paths:
        raise InputMissingError("no recordings", where=", ".join(map(str, args.files)))
    folder.prepare(make_manifest(model, config, origin))
    work = Labelling(folder, paths, origin)
    _run(work, args, model, config)
    for error in work.errors:
        print(f"streamgmm: skipped: {error}", file=sys.stderr)
    if work.errors:
        print(f"streamgmm: {len(work.errors)} of {len(paths)} files skipped", file=sys.stderr)
    n_found = len(paths) - len(work.errors)
    found = "1 recording is" if n_found == 1 else f"{n_found} recordings are"
    stderr_console().print(f"{found} in {escaped(str(args.output))}, {work.n_kept} of them from before", soft_wrap=True)
    # As without -o: the code of the first failure.
    return work.errors[0].exit_code if work.errors else 0


def _run(work: Labelling, args: argparse.Namespace, model: Model, config: Config) -> None:
    if args.strict and work.errors:
        raise work.errors[0]
    if not work.n_todo:
        return
    console = stderr_console()
    with _executor(args, work.n_todo) as executor, make_progress(console) as progress:
        work.run(executor, model, config, RichTrack(progress), is_strict=args.strict)


@contextlib.contextmanager
def _executor(args: argparse.Namespace, n_jobs: int) -> Iterator[ClusterExecutor]:
    with contextlib.ExitStack() as stack:
        n_workers = min(args.workers or count_cores(), n_jobs)
        address = args.cluster or stack.enter_context(local_cluster(n_workers))
        yield stack.enter_context(ClusterExecutor(address, n_jobs_per_thread=JOBS_PER_THREAD))


def summarise_archive(args: argparse.Namespace) -> int:
    """Print and draw how many events of each label an archive has, and at which hours."""
    check_picture(args.picture)
    summary = summarise(ArchiveFolder(Path(args.folder)))
    if args.picture:
        draw_archive(args.picture, summary)
    if args.json:
        print(msgspec.json.encode(summary).decode())
    else:
        _print_summary(summary, stdout_console())
    return 0


def _print_summary(summary: Summary, console: Console) -> None:
    console.print(f"{summary.n_recordings} recordings, {summary.n_events} events, model {summary.model}")
    table = Table("label")
    for heading in ("events", "recordings", "seconds"):
        table.add_column(heading, justify="right")
    for label, own in summary.labels.items():
        table.add_row(Text(label), str(own.n_events), str(own.n_recordings), f"{own.total_s:.1f}")
    console.print(table)
    if not summary.n_timed:
        console.print("no hours of day: neither the names of the recordings nor --start-time tell when they began")
        return
    hours = Table("hour (UTC)")
    for label in summary.labels:
        hours.add_column(Text(label), justify="right")
    for hour in range(24):
        hours.add_row(f"{hour:02}", *(str(own.n_by_hour[hour] or "") for own in summary.labels.values()))
    console.print(hours)
