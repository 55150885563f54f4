"""Arguments of `streamgmm record`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from streamgmm.audio.encoding import FileFormat
from streamgmm.cli.options import add_config_options
from streamgmm.cli.parser import handler_in

_DESCRIPTION = """\
Record training clips of a sound into DIR/LABEL/, with the microphone that will
listen. A take begins and ends with the sound, unless --seconds is given.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `record` and its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("label", metavar="LABEL", nargs="?", help="what the clips are of, e.g. doorbell")
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=Path("recordings"), help="folder (default: recordings)"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", metavar="N", type=float, help="record N seconds, from Enter on a terminal on")
    length.add_argument("--on-sound", action="store_true", help="wait for a sound, and record it (the default)")
    length.add_argument("--background", metavar="MINUTES", type=float, help="record the room, into DIR/background/")
    parser.add_argument("--takes", metavar="N", type=int, default=1, help="record N clips (default: 1)")
    parser.add_argument("--play", action="store_true", help="play the clips when all are recorded")
    parser.add_argument("--no-trim", action="store_true", help="keep the silence around the sound")
    parser.add_argument("--format", choices=get_args(FileFormat), default="wav", help="of the files (default: wav)")
    parser.add_argument("-s", "--source", metavar="SOURCE", help="as for `run`, or a name in the settings")
    add_config_options(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.record", "run_record"))
