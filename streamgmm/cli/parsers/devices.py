"""Arguments of `streamgmm devices`."""

from __future__ import annotations

import argparse

from streamgmm.cli.parser import handler_in

_DESCRIPTION = "List the input devices, or watch the level of one with --test."
_EPILOG = """\
Choose a source of the sound server, or a device, by its name or a part of it
(run --source mic:USB) rather than by its number, which changes when devices
come and go.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `devices` and its arguments."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.add_argument("--json", action="store_true", help="print JSON, one object for each device")
    parser.add_argument("--test", action="store_true", help="show the level of a device")
    parser.add_argument("--device", metavar="NAME", help="(part of) the name, or the number, of the device to test")
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="N",
        help="how long to test (default: until Ctrl-C on a terminal, 10 elsewhere)",
    )
    parser.set_defaults(handler=handler_in("streamgmm.cli.devices", "run_devices"))
