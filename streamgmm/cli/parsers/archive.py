"""Arguments of `streamgmm archive`."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamgmm.cli.parser import handler_in, place

_SUMMARY = "Count the events of an archive by label, and by hour of day if times are known."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `archive` and its arguments."""
    parser.description = "Evaluate the events that `classify -o DIR` has written."
    actions = parser.add_subparsers(metavar="ACTION", title="actions", dest="action", required=True)

    summary = actions.add_parser("summary", help="count events by label and hour", description=_SUMMARY)
    summary.add_argument("folder", metavar="DIR", type=place, help="folder of the archive")
    summary.add_argument("--json", action="store_true", help="print one JSON object")
    summary.add_argument("--picture", metavar="FILE", type=Path, help="draw it, as PNG or SVG by the suffix")
    summary.set_defaults(handler=handler_in("streamgmm.cli.archive", "summarise_archive"))
