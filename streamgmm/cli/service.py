"""`streamgmm service`: have systemd run it from now on, or no longer."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.errors import CannotCreateError
from streamgmm.files import path_kind

if TYPE_CHECKING:
    from streamgmm.service.installation import Plan
    from streamgmm.service.place import Place

_INSTALL = """\
Write a systemd unit that runs this installation, and start it now and at every
boot: as a service of the machine (root; sound hardware), or with --user as one
of yours, on your PulseAudio or PipeWire, from when you log in.
"""
_UNINSTALL = """\
Stop the service and remove what `install` wrote. Settings that were changed
since, and models, stay.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `service` with its actions `install` and `uninstall`."""
    parser = subparsers.add_parser(
        "service", help="have systemd run it from now on", description="Have systemd run it, or no longer."
    )
    actions = parser.add_subparsers(metavar="ACTION", title="actions", dest="action", required=True)

    install = actions.add_parser("install", help="start it now and at every boot", description=_INSTALL)
    install.add_argument("-c", "--config", metavar="FILE", type=Path, help="settings (default: written for you)")
    install.add_argument("-m", "--model", metavar="MODEL", type=Path, help="default: that of the settings")
    _add_common_options(install)
    install.set_defaults(handler=_install)

    uninstall = actions.add_parser("uninstall", help="stop it for good", description=_UNINSTALL)
    _add_common_options(uninstall)
    uninstall.set_defaults(handler=_uninstall)


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", action="store_true", help="of your own, not of the machine")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done, and do nothing")


def _place(args: argparse.Namespace) -> Place:
    from streamgmm.service.place import SYSTEM, user_place

    return user_place() if args.user else SYSTEM


def _install(args: argparse.Namespace) -> int:
    from streamgmm.service.installation import check_installed, check_reachable, plan_install, program_paths

    place = _place(args)
    _check_inputs(args)
    if not args.user:
        check_reachable([*program_paths(), *filter(None, (args.config, args.model))])
    check_installed()
    plan = plan_install(place, args.config, args.model)
    try:
        _settle(args, place, plan)
    except CannotCreateError:
        if all(path_kind(path) == "file" for path in plan.writes):
            _print_state(place)
        raise
    if not args.dry_run:
        _print_state(place)
    return 0


def _print_state(place: Place) -> None:
    """Print what became of the unit, and where to look on."""
    from streamgmm.service.installation import ask_unit_state
    from streamgmm.service.place import SERVICE

    state = ask_unit_state(place)
    print(f"{SERVICE} is {state}")
    if state.active == "active":
        print(f"it starts {'when you log in' if place.is_user else 'at every boot'}; how it is: streamgmm status")
    print(f"its log, and what it hears: journalctl{' --user' if place.is_user else ''} -fu streamgmm")


def _uninstall(args: argparse.Namespace) -> int:
    from streamgmm.service.installation import plan_uninstall

    place = _place(args)
    _settle(args, place, plan_uninstall(place))
    if not args.dry_run and path_kind(place.config_path) != "nothing":
        print(f"kept: {place.config_path}")
    return 0


def _check_inputs(args: argparse.Namespace) -> None:
    """Refuse settings and a model that the service would refuse."""
    from streamgmm.config_loading import load_config
    from streamgmm.model.file import load_model

    if args.config is not None:
        load_config(args.config)
    if args.model is not None:
        load_model(args.model)


def _settle(args: argparse.Namespace, place: Place, plan: Plan) -> None:
    from streamgmm.errors import PermissionDeniedError
    from streamgmm.service.installation import carry_out, check_possible

    if args.dry_run:
        print("\n".join(_describe(plan)))
        return
    check_possible(place)
    try:
        carry_out(plan)
    except PermissionError as error:
        raise PermissionDeniedError(f"cannot change: {error.strerror}", where=str(error.filename)) from error


def _describe(plan: Plan) -> list[str]:
    return [
        *(f"would run: {shlex.join(command)}" for command in plan.before),
        *(f"would write {path}:\n{content}" for path, content in plan.writes.items()),
        *(f"would remove {path}" for path in plan.removals),
        *(f"would run: {shlex.join(command)}" for command in plan.after),
    ]
