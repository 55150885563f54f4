"""Arguments of `streamgmm config`."""

from __future__ import annotations

import argparse

from streamgmm.cli.options import add_config_options
from streamgmm.cli.parser import handler_in

_SHOW_CONFIG = """\
Print the settings as a file that can be used again: those of --config FILE,
else of the file that STREAMGMM_CONFIG in the environment names,
else of ~/.config/streamgmm/config.yaml or /etc/streamgmm/config.yaml,
else the defaults.
"""
_SCHEMA = """\
Print the JSON Schema of settings files, or of the records that `run` emits. An
editor that is given the first completes and checks settings as they are typed;
from the second, programs that read records can be generated or checked.
"""
_UPGRADE = "Rename, within a settings file, the settings that an earlier version called otherwise."
_CHECK_CONFIG = "Read a file as `run` would, and report every mistake with its line."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `config` and its arguments."""
    parser.description = "Show or check settings."
    actions = parser.add_subparsers(metavar="ACTION", title="actions", dest="action", required=True)

    show = actions.add_parser("show", help="print the settings of a run", description=_SHOW_CONFIG)
    add_config_options(show)
    style = show.add_mutually_exclusive_group()
    style.add_argument("--annotated", action="store_true", help="with reason, unit and range of each (default)")
    style.add_argument("--effective", action="store_true", help="the bare values, without comments")
    show.set_defaults(handler=handler_in("streamgmm.cli.config", "show_config"))

    schema = actions.add_parser("schema", help="print the JSON Schema of settings or records", description=_SCHEMA)
    schema.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        choices=("settings", "records"),
        default="settings",
        help="settings (default) or records",
    )
    schema.set_defaults(handler=handler_in("streamgmm.cli.config", "print_schema"))

    upgrade = actions.add_parser("upgrade", help="rename settings of an earlier version", description=_UPGRADE)
    upgrade.add_argument("file", metavar="FILE", help="YAML file with settings")
    upgrade.set_defaults(handler=handler_in("streamgmm.cli.config", "upgrade_file"))

    check = actions.add_parser("check", help="check a file", description=_CHECK_CONFIG)
    check.add_argument("file", metavar="FILE", help="YAML file with settings")
    check.set_defaults(handler=handler_in("streamgmm.cli.config", "check_config"))
