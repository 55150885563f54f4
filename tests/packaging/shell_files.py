"""Files that a shell reads about the command line: its completion, and its page of the manual."""

from __future__ import annotations

import argparse
import re

import shtab

from streamgmm.cli.main import COMMANDS, make_parser
from tests.packaging.packaging_rig import PROJECT

FILES = {"CLIP", "DATA", "FILE", "MODEL", "PATH", "PLACE"}
"""Names of values that are files, or folders as well."""

FOLDERS = {"DIR"}

BEGIN = r""".TH STREAMGMM 1 "" streamgmm "User Commands"
.SH NAME
streamgmm \- detects the sounds that you trained it on
.SH SYNOPSIS
.B streamgmm
[\-V | \-\-version] [\-v | \-\-verbose] \fICOMMAND\fR ...
.SH DESCRIPTION
A daemon that listens to a microphone around the clock and reports the sounds that it was trained on, from a handful
of recordings, to other programs; and the commands that train, measure and supervise it.
"""

END = r""".SH ENVIRONMENT
.TP
.B STREAMGMM_CONFIG
settings file, where \-\-config names none
.TP
.B STREAMGMM_KERNEL
what computes features: numpy, or a level of instructions that \-\-version names
.TP
.B XDG_CACHE_HOME
folder of the cache of measured clips (default: ~/.cache)
.SH FILES
.TP
.I ~/.config/streamgmm/config.yaml
settings of the user
.TP
.I /etc/streamgmm/config.yaml
settings of the system, where the user has none
.SH EXIT STATUS
0 success, 64 usage, 65 unusable data, 66 a missing input, 69 no microphone or no daemon, 70 a bug, 71 an exhausted
system, 73 an output that cannot be created, 74 an output that cannot be written, 75 a temporary failure, 77 missing
permission, 78 invalid settings (sysexits.h).
.SH SEE ALSO
.BR journalctl (1),
.BR systemctl (1)
"""


def completion(shell: str) -> str:
    """Return the completion of the command line for `shell`: bash or zsh."""
    parser = make_parser(COMMANDS)
    for command in _with_subcommands(parser):
        for action in command._actions:
            kind = shtab.FILE if action.metavar in FILES else shtab.DIRECTORY if action.metavar in FOLDERS else None
            if kind:
                action.complete = kind  # type: ignore[attr-defined]  # where shtab looks for it
    return shtab.complete(parser, shell=shell)


def manual() -> str:
    """Return the page of the manual: the help of every command as it is printed, which fits 80 columns."""
    parser = make_parser(COMMANDS)
    pages = [f".SH {command.prog.upper()}\n.nf\n.in 0\n{_verbatim(command)}.fi\n" for command in _leaves(parser)]
    return "".join([BEGIN, *pages, END])


def _verbatim(command: argparse.ArgumentParser) -> str:
    text = command.format_help().replace("\\", "\\e").replace("-", "\\-")
    # A line that begins with one of these would be a request to troff.
    return "".join(f"\\&{line}" if line[0] in ".'" else line for line in text.splitlines(keepends=True))


def _subparsers_of(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser] | None:
    return next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)


def _with_subcommands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return a parser and those of its subcommands, whose descriptions become the lines of the help."""
    subparsers = _subparsers_of(parser)
    found = [parser]
    if subparsers is not None:
        _show_unlisted(subparsers)
        for line in subparsers._choices_actions:
            subparsers.choices[line.dest].description = line.help
            found += _with_subcommands(subparsers.choices[line.dest])
    return found


def _show_unlisted(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Give a line to the commands that have none in the help, as shtab leaves out what it takes for hidden."""
    listed = {line.dest for line in subparsers._choices_actions}
    for name in [name for name in subparsers.choices if name not in listed]:
        description = " ".join((subparsers.choices[name].description or "").split())
        line = re.split(r"[.,:;] ", description[:1].lower() + description[1:])[0]
        subparsers._choices_actions.append(subparsers._ChoicesPseudoAction(name, (), line))


def _leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of the commands that have no subcommands."""
    subparsers = _subparsers_of(parser)
    if subparsers is None:
        return [parser]
    return [leaf for below in subparsers.choices.values() for leaf in _leaves(below)]


WRITTEN = {
    PROJECT / "docs" / "completions" / "streamgmm": lambda: completion("bash"),
    PROJECT / "docs" / "completions" / "_streamgmm": lambda: completion("zsh"),
    PROJECT / "docs" / "streamgmm.1": manual,
}
"""The files, with the functions that make them."""
