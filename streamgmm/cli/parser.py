"""The command line's grammar: argparse with our exit codes, one screen of help, and a guess at what was meant."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from streamgmm.errors import InputMissingError, UsageError
from streamgmm.files import expand_home
from streamgmm.wording import did_you_mean

_MAX_WIDTH = 80
_GIVEN = "_given"
"""In a namespace: the values of options that were given so far."""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help for a screen of 80 columns, the same under every version of Python."""

    def __init__(self, prog: str, **_: Any) -> None:
        width = min(_MAX_WIDTH, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=28, width=width)

    def start_section(self, heading: str | None) -> None:
        """Begin a section; that of the options needs no title, and a screen has few lines."""
        super().start_section(None if heading == "options" else heading)

    def _format_action(self, action: argparse.Action) -> str:
        # A line that says COMMAND, under a title that says commands, tells nothing.
        text = super()._format_action(action)
        return text.partition("\n")[2] if isinstance(action, argparse._SubParsersAction) else text

    def _format_action_invocation(self, action: argparse.Action) -> str:
        # Older versions of Python repeat the value's name after every spelling.
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, (action.dest or "").upper())
        return f"{', '.join(action.option_strings)} {value}"


class _Once(argparse._StoreAction):
    """An option with one value: given again, one of the two would be lost without a word."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        given = vars(namespace).setdefault(_GIVEN, {})
        if option is not None and self.dest in given:
            parser.error(f"{option} is given twice, as {given[self.dest]} and as {values}; it has one value")
        given[self.dest] = values
        super().__call__(parser, namespace, values, option)


def place(text: str) -> str:
    """Return a path or a URI as the shell would have expanded it: not after `=`, nor in quotes."""
    try:
        return expand_home(text)
    except InputMissingError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _path(text: str) -> Path:
    return Path(place(text))


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `UsageError` and takes no abbreviated options."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", Formatter)
        super().__init__(allow_abbrev=False, **settings)
        self.register("type", Path, _path)
        for name in (None, "store"):
            self.register("action", name, _Once)
        self.color = False

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` instead of leaving with code 2."""
        raise UsageError(message, hint=f"see `{self.prog} --help`")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The parsed command line.

        Raises:
            UsageError: it makes no sense; for a misspelt option, names the nearest one.
            SystemExit: help or the version was asked for and printed.
        """
        namespace, unknown = self.parse_known_args(arguments)
        if unknown:
            guess = did_you_mean(unknown[0].partition("=")[0], self._options(arguments))
            raise UsageError(f"unknown argument {unknown[0]}", hint=guess or f"see `{self.prog} --help`")
        return namespace

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse hides that the reader has left or the disk is full; `main` tells the shell.
        if file is not None:
            file.write(message)

    def _options(self, arguments: Sequence[str]) -> list[str]:
        """Every option of this command and of the subcommands on the command line."""
        names = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                chosen = [parser for name, parser in action.choices.items() if name in arguments]
                names += [name for parser in chosen for name in parser._options(arguments)]
        return names
