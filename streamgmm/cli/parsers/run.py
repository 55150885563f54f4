"""Arguments of `streamgmm run`."""

from __future__ import annotations

import argparse
from typing import get_args

from streamgmm.cli.log_lines import LEVELS
from streamgmm.cli.options import add_config_options
from streamgmm.cli.parser import handler_in
from streamgmm.settings.output import TextFormat

_DESCRIPTION = """\
Listen until stopped, and report what is detected. SIGHUP reads the settings
again.
sources  mic, mic:NAME, mic:INDEX, file:PATH, ffmpeg:URL, pcm:- (stdin: raw PCM
         or WAV), pcm+tcp://127.0.0.1:PORT, pcm+unix://PATH; several as NAME=...
sinks    stdout:, file://PATH, unix://PATH, tcp://HOST:PORT, exec:COMMAND,
         mqtt://HOST/PREFIX, mqtts://HOST/PREFIX, http://HOST/PATH,
         https://HOST/PATH, web://HOST:PORT; several at once
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `run` and its arguments."""
    # The list of options fills the screen, so that the usage does not repeat it.
    parser.usage = "streamgmm run [OPTION ...]"
    parser.description = _DESCRIPTION
    parser.add_argument("-m", "--model", metavar="MODEL", help="made by `train` (default: bundled, of ten sounds)")
    parser.add_argument("-s", "--source", metavar="[NAME=]URI", action="append", help="where to listen (default: mic)")
    parser.add_argument("-k", "--sink", metavar="URI", action="append", help="where to report (default: stdout:)")
    parser.add_argument("-f", "--format", choices=get_args(TextFormat), help="of stdout: and file://PATH")
    parser.add_argument("--pace", metavar="X", help="play file:PATH at X times real time; 0: as fast as possible")
    parser.add_argument("--windows", action="store_true", help="a record for every hop, not only for events")
    parser.add_argument("--require-device", action="store_true", help="end if there is no microphone at the start")
    parser.add_argument(
        "--log-level",
        choices=tuple(LEVELS),
        default=argparse.SUPPRESS,
        metavar="LEVEL",
        help=f"least of what is logged: {', '.join(LEVELS)}",
    )
    add_config_options(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.run", "run_daemon"))
