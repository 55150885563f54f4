"""Argument parsing: argparse with our exit codes, help that fits one screen, and suggestions for misspelt options."""

from __future__ import annotations

import argparse
import importlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from streamgmm.errors import InputMissingError, UsageError
from streamgmm.files import expand_home
from streamgmm.wording import did_you_mean

_MAX_WIDTH = 80
_COMMAND_COLUMNS = 15
"""Indentation and longest name of a command, and the space after it."""

_GIVEN = "_given"
"""Attribute of a namespace: the options given so far, with their values."""


Handler = Callable[[argparse.Namespace], int]
"""Runs a command with its parsed arguments, and returns the exit code."""


def handler_in(module: str, function: str) -> Handler:
    """Return a handler that imports `module` only when the command runs.

    The libraries of a command take up to seconds to import, which `--help` and mistakes in options need not wait for.
    """

    def handle(args: argparse.Namespace) -> int:
        code: int = getattr(importlib.import_module(module), function)(args)
        return code

    return handle


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help for a screen of 80 columns, the same under every version of Python."""

    def __init__(self, prog: str, **_: Any) -> None:
        width = min(_MAX_WIDTH, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=28, width=width)

    def start_section(self, heading: str | None) -> None:
        """Begin a section; those of options and commands have no title, which saves lines of the screen."""
        super().start_section(None if heading in ("options", "commands") else heading)

    def _format_action(self, action: argparse.Action) -> str:
        # The line COMMAND below the title "commands" is redundant.
        text = super()._format_action(action)
        return text.partition("\n")[2] if isinstance(action, argparse._SubParsersAction) else text

    def _format_action_invocation(self, action: argparse.Action) -> str:
        # Python before 3.13 repeats the metavar after every spelling of an option.
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, (action.dest or "").upper())
        return f"{', '.join(action.option_strings)} {value}"


class OverviewFormatter(HelpFormatter):
    """Help that lists commands and no options: the names of commands alone set the width of their column."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **settings)
        self._action_max_length = _COMMAND_COLUMNS


class _Once(argparse._StoreAction):
    """Store the value of an option, and reject the option if it is given twice: one value would silently win."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        given = vars(namespace).setdefault(_GIVEN, {})
        if option is not None and self.dest in given:
            parser.error(f"{option} is given twice, as {given[self.dest]} and as {values}; it has one value")
        given[self.dest] = values
        super().__call__(parser, namespace, values, option)


def place(text: str) -> str:
    """Return a path or a URI with `~` expanded, which the shell does neither after `=` nor in quotes."""
    try:
        return expand_home(text)
    except InputMissingError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _path(text: str) -> Path:
    return Path(place(text))


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `UsageError` and rejects abbreviated options."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", HelpFormatter)
        super().__init__(allow_abbrev=False, **settings)
        # In place of `Path` itself: `~` is expanded in every argument of this type.
        self.register("type", Path, _path)
        # `None` is the action of options that name none.
        for name in (None, "store"):
            self.register("action", name, _Once)
        # Python 3.14 and later would colour the help.
        self.color = False

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` instead of exiting with code 2."""
        raise UsageError(message, hint=f"see `{self.prog} --help`")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the command line.

        Raises:
            UsageError: an argument is invalid; for a misspelt option, the message suggests the nearest one.
            SystemExit: help or the version was requested, and has been printed.
        """
        # `parse_args` would report unknown arguments itself, without a suggestion.
        namespace, unknown = self.parse_known_args(arguments)
        if unknown:
            raise UsageError(f"unknown argument {unknown[0]}", hint=self._advice(unknown[0], arguments))
        return namespace

    def _advice(self, unknown: str, arguments: Sequence[str]) -> str:
        """Return what to do about an unknown argument."""
        name, options = unknown.partition("=")[0], self._options(arguments)
        if name not in options:
            return did_you_mean(name, options) or f"see `{self.prog} --help`"
        if "--" in arguments[: arguments.index(unknown)]:
            return "options stand before --"
        return "the options of a command stand after its name"

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse ignores a closed pipe or a full disk; `main` turns them into exit codes.
        if file is not None:
            file.write(message)

    def _options(self, arguments: Sequence[str]) -> list[str]:
        """Return every option of this command and of the subcommands on the command line."""
        names = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                chosen = [parser for name, parser in action.choices.items() if name in arguments]
                names += [name for parser in chosen for name in parser._options(arguments)]
        return names
