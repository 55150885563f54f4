"""Arguments of `streamgmm bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamgmm.cli.parser import handler_in

_DESCRIPTION = """\
Measure how fast streamgmm is on this machine, on sounds that come with it: the
features, the whole pipeline, and other libraries beside them in the same run.
Takes a minute or two. Libraries that are not installed are named.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `bench` and its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("--brief", action="store_true", help="shorter sounds, less exact")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures as JSON; - for stdout")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="draw the ratios, as PNG or SVG by the suffix")
    parser.set_defaults(handler=handler_in("streamgmm.cli.bench", "run_bench_command"))
