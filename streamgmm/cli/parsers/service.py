"""Arguments of `streamgmm service`."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamgmm.cli.parser import handler_in

_INSTALL = """\
Write a systemd unit that runs this installation, and start it now and at every
boot: as a system service (root; sound hardware), or with --user as a service of
yours, on your PulseAudio or PipeWire, from when you log in.
"""
_UNINSTALL = """\
Stop the service and remove what `install` wrote. Settings that were changed
since, and models, stay.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `service` and its arguments."""
    parser.description = "Install it as a systemd service, or remove it."
    actions = parser.add_subparsers(metavar="ACTION", title="actions", dest="action", required=True)

    install = actions.add_parser("install", help="start it now and at every boot", description=_INSTALL)
    config_help = "settings (default: $STREAMGMM_CONFIG, or written)"
    install.add_argument("-c", "--config", metavar="FILE", type=Path, help=config_help)
    install.add_argument("-m", "--model", metavar="MODEL", type=Path, help="default: that of the settings")
    _add_common_options(install)
    install.set_defaults(handler=handler_in("streamgmm.cli.service", "install_service"))

    uninstall = actions.add_parser("uninstall", help="stop and remove it", description=_UNINSTALL)
    _add_common_options(uninstall)
    uninstall.set_defaults(handler=handler_in("streamgmm.cli.service", "uninstall_service"))


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", action="store_true", help="a service of your own, not of the system")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
