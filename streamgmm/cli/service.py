"""`streamgmm service`: install and remove the systemd service."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import NamedTuple

from streamgmm.errors import CannotCreateError, ConfigError, PermissionDeniedError
from streamgmm.files import path_kind
from streamgmm.service.installation import (
    Plan,
    ask_unit_state,
    carry_out,
    check_installed,
    check_possible,
    check_reachable,
    plan_install,
    plan_uninstall,
    program_paths,
)
from streamgmm.service.place import SERVICE, SYSTEM, ServicePlace, user_place


class Inputs(NamedTuple):
    """Files that the service will read.

    Attributes:
        config_path: settings file that was named; None: that of the place.
        models: model files that the settings or the command line name.
    """

    config_path: Path | None
    models: list[Path]


def _place(args: argparse.Namespace) -> ServicePlace:
    return user_place() if args.user else SYSTEM


def install_service(args: argparse.Namespace) -> int:
    """Write and start the unit, and print its state."""
    place = _place(args)
    inputs = _check_inputs(args, place)
    if not args.user:
        # The system service runs as another user, who may not be able to read the files of this one.
        check_reachable([*program_paths(), *filter(None, [inputs.config_path]), *inputs.models])
    check_installed()
    plan = plan_install(place, inputs.config_path, args.model)
    try:
        _carry_out_or_show(args, place, plan)
    except CannotCreateError:
        # With all files in place, most likely a command failed, and the state of the unit may show why.
        if all(path_kind(path) == "file" for path in plan.writes):
            _print_state(place)
        raise
    if not args.dry_run:
        _print_state(place)
    return 0


def _print_state(place: ServicePlace) -> None:
    """Print the state of the unit, and how to follow it."""
    state = ask_unit_state(place)
    print(f"{SERVICE} is {state}")
    if state.active == "active":
        print(f"it starts {'when you log in' if place.is_user else 'at every boot'}; to check it: streamgmm status")
    print(f"its log and events: journalctl{' --user' if place.is_user else ''} -fu streamgmm")


def uninstall_service(args: argparse.Namespace) -> int:
    """Stop the service, and remove the files that `install` wrote."""
    place = _place(args)
    _carry_out_or_show(args, place, plan_uninstall(place))
    if not args.dry_run and path_kind(place.config_path) != "nothing":
        print(f"kept: {place.config_path}")
    return 0


def _check_inputs(args: argparse.Namespace, place: ServicePlace) -> Inputs:
    """Reject settings and models that the service would reject, before anything is written.

    Raises:
        ConfigError: settings are wrong, or name a path that depends on the directory in which the service starts.
        StreamgmmError: a file is missing or damaged.
    """
    # Imported here: the other uses of this command need no numpy, and little memory.
    from streamgmm.cli.options import as_overrides
    from streamgmm.cli.plans import check_addresses, plan_channels
    from streamgmm.model.file import load_model
    from streamgmm.settings.config import settings_by_source
    from streamgmm.settings.loading import CONFIG_VARIABLE, load_config
    from streamgmm.settings.places import relative_paths

    # First, as an option that was given: its path need not be absolute.
    model = None if args.model is None else args.model.absolute()
    if model is not None:
        load_model(args.model)
    # Not the settings of this user that no one has named: the service has its own, unless they are written.
    is_named = args.config is not None or os.environ.get(CONFIG_VARIABLE)
    if not is_named and path_kind(place.config_path) == "nothing":
        return Inputs(None, [] if model is None else [model])
    overrides = list(as_overrides({"model.path": None if model is None else str(model)}))
    loaded = load_config(args.config if is_named else place.config_path, overrides)
    if problems := relative_paths(loaded):
        raise ConfigError(problems)
    check_addresses(loaded)
    plan_channels(loaded, says_which=False)
    paths = {own.model.path for own in settings_by_source(loaded.config).values()} - {""}
    return Inputs(loaded.path if is_named else None, [Path(path) for path in sorted(paths)])


def _carry_out_or_show(args: argparse.Namespace, place: ServicePlace, plan: Plan) -> None:
    if args.dry_run:
        print("\n".join(_describe_plan(plan)))
        return
    check_possible(place)
    try:
        carry_out(plan)
    except PermissionError as error:
        raise PermissionDeniedError(f"cannot change: {error.strerror}", where=str(error.filename)) from error


def _describe_plan(plan: Plan) -> list[str]:
    return [
        *(f"would run: {shlex.join(command)}" for command in plan.before),
        *(f"would write {path}:\n{content}" for path, content in plan.writes.items()),
        *(f"would remove {path}" for path in plan.removals),
        *(f"would run: {shlex.join(command)}" for command in plan.after),
    ]
