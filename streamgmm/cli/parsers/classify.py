"""Arguments of `streamgmm classify`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from streamgmm.cli.options import add_cluster_option, add_config_options
from streamgmm.cli.parser import handler_in
from streamgmm.settings.output import TextFormat

MAX_WORKERS = 256

_DESCRIPTION = """\
Classify recordings: emit the same records as `run` would for the same samples,
as fast as the machine can, or with --clip one answer per file.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `classify` and its arguments."""
    parser.description = _DESCRIPTION
    parser.usage = "%(prog)s [OPTION ...] FILE ..."
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="recordings of any format and rate")
    parser.add_argument("-m", "--model", metavar="MODEL", help="made by `train` (default: bundled, ten sounds)")
    parser.add_argument(
        "-f",
        "--format",
        choices=get_args(TextFormat),
        help="of the output (default: jsonl); dcase and audacity name the file if there are several",
    )
    parser.add_argument("--clip", action="store_true", help="one line per file: path, label, score, all scores")
    parser.add_argument("--windows", action="store_true", help="a record for every hop, not only for events")
    parser.add_argument("--start-time", metavar="TIME", help="when it was recorded (RFC 3339), to date the records")
    parser.add_argument("--strict", action="store_true", help="stop at the first file that cannot be read")
    parser.add_argument(
        "--jobs", metavar="N", type=int, default=0, help="files at once (default: on all cores, if large)"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="write events as Parquet; FILE may be a folder"
    )
    parser.add_argument("--workers", metavar="N", type=_n_workers, help="with -o: processes (default: one per core)")
    add_cluster_option(parser)
    add_config_options(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.classify", "run_classify"))


def _n_workers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_WORKERS):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to {MAX_WORKERS}")
    return int(text)
