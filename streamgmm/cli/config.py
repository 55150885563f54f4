"""`streamgmm config`: show the settings of a run, or check a file without running."""

from __future__ import annotations

import argparse

from streamgmm.cli.options import add_config_options

_SHOW = """\
Print the settings as a file that can be used again: those of --config FILE,
else of ~/.config/streamgmm/config.yaml or /etc/streamgmm/config.yaml,
else the defaults.
"""
_CHECK = "Read a file as `run` would, and report all that is wrong, each with its line."


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `config` with its actions `show` and `check`."""
    parser = subparsers.add_parser("config", help="show or check the settings", description="Show or check settings.")
    actions = parser.add_subparsers(metavar="ACTION", title="actions", dest="action", required=True)

    show = actions.add_parser("show", help="print the settings of a run", description=_SHOW)
    add_config_options(show)
    style = show.add_mutually_exclusive_group()
    style.add_argument("--annotated", action="store_true", help="with reason, unit and range of each (default)")
    style.add_argument("--effective", action="store_true", help="the bare values, without comments")
    show.set_defaults(handler=_show)

    check = actions.add_parser("check", help="check a file", description=_CHECK)
    check.add_argument("file", metavar="FILE", help="YAML file with settings")
    check.set_defaults(handler=_check)


def _show(args: argparse.Namespace) -> int:
    from streamgmm.config_loading import load_config
    from streamgmm.config_text import annotated_yaml, plain_yaml

    config = load_config(args.config, args.overrides).config
    print(plain_yaml(config) if args.effective else annotated_yaml(config), end="")
    return 0


def _check(args: argparse.Namespace) -> int:
    from streamgmm.config_loading import load_config

    n_set = len(load_config(args.file).explicit_keys)
    print(f"{args.file}: ok, {n_set} {'setting' if n_set == 1 else 'settings'}")
    return 0
