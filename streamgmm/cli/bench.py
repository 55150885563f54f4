"""`streamgmm bench`: the speed of streamgmm on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from streamgmm.bench.suite import BRIEF, BenchPlan, run_bench
from streamgmm.cli.bench_tables import print_bench
from streamgmm.cli.console import RichTrack, make_progress, stderr_console, stdout_console
from streamgmm.cli.output_file import check_picture, check_writable, write_json
from streamgmm.report.bench_picture import draw_bench
from streamgmm.wording import escaped

STDOUT = Path("-")


def run_bench_command(args: argparse.Namespace) -> int:
    """Measure, and print the figures; on stderr if stdout takes the JSON."""
    to_stdout = args.json == STDOUT
    check_writable(None if to_stdout else args.json)
    check_picture(args.picture)
    with make_progress(stderr_console()) as progress:
        result = run_bench(BRIEF if args.brief else BenchPlan(), RichTrack(progress))
    console = stderr_console() if to_stdout else stdout_console()
    if args.json and not to_stdout:
        write_json(result, args.json)
    if args.picture:
        draw_bench(args.picture, result)
    print_bench(result, console)
    if args.picture:
        console.print(f"picture: {escaped(str(args.picture))}", soft_wrap=True)
    if to_stdout:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n")
    return 0
