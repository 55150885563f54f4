"""Arguments of `streamgmm mqtt`."""

from __future__ import annotations

import argparse

from streamgmm.cli.options import add_config_options
from streamgmm.cli.parser import handler_in

_REMOVE = """\
Remove all that a daemon, which no longer runs, has left on a broker: its
topics, and its device in Home Assistant. The sink's settings apply if given.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `mqtt` and its arguments."""
    parser.description = "Clean up after the sinks mqtt://HOST/PREFIX and mqtts://HOST/PREFIX of `run`."
    actions = parser.add_subparsers(metavar="ACTION", title="actions", dest="action", required=True)
    remove = actions.add_parser("remove", help="empty the topics of a daemon", description=_REMOVE)
    remove.add_argument("address", metavar="ADDRESS", help="mqtt://HOST/PREFIX or mqtts://HOST/PREFIX")
    add_config_options(remove)
    remove.set_defaults(handler=handler_in("streamgmm.cli.mqtt", "remove_topics"))
