"""Arguments of `streamgmm demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamgmm.cli.parser import handler_in

_DESCRIPTION = """\
Try it without a microphone: synthesise recordings of ten sounds, train on them,
listen to a scene of one minute that contains them, and compare with the truth.
Everything except the microphone is real: the trainer, the daemon, its records.
"""

PICTURE_NAME = "streamgmm-demo.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `demo` and its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="other sounds and another scene (default: 0)")
    parser.add_argument("--picture", metavar="FILE", type=Path, help=f"default: {PICTURE_NAME}")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep recordings, model and scene in DIR")
    parser.set_defaults(handler=handler_in("streamgmm.cli.demo", "run_demo"))
