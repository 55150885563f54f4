"""Find the socket of a running daemon: the one named, that of the settings, or that of the service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from streamgmm.errors import StreamgmmError, UsageError
from streamgmm.service.place import installed_sockets
from streamgmm.settings.loading import load_config, salvage_output
from streamgmm.settings.output import OutputSection, sections_of_sinks
from streamgmm.sinks.selection import selection_of
from streamgmm.sinks.socket.token import Token, read_token

SOCKETS = ("unix://", "tcp://")


class DaemonAddress(NamedTuple):
    """Where a daemon can be asked.

    Attributes:
        uri: `unix://PATH` or `tcp://HOST:PORT`.
        token: token to send; None for none.
        problem: mistake in the settings, which does not affect a daemon that already runs; None if there is none.
    """

    uri: str
    token: Token | None
    problem: StreamgmmError | None


def find_daemon(
    named: str | None, config_path: str | None, overrides: Sequence[str], kinds: tuple[str, ...] = SOCKETS
) -> DaemonAddress:
    """Return the address `named`, or else the first socket of the settings or of an installed service.

    Args:
        named: address on the command line; None if there is none.
        config_path: settings file; None for the usual one.
        overrides: settings given with `--set`.
        kinds: beginnings of the addresses to choose from.

    Raises:
        StreamgmmError: the settings lead to no socket, a setting given with `--set` is wrong, or the token cannot be
            read.
    """
    output, problem = _read_output(config_path, overrides)
    askable = [section.uri for section in sections_of_sinks(output) if selection_of(section).admits_greeting]
    uri = named or _first_socket(askable, problem, kinds)
    # Only clients on TCP send a token.
    needs_token = output.token_file and not uri.startswith("unix://")
    return DaemonAddress(uri, read_token(Path(output.token_file)) if needs_token else None, problem)


def _read_output(config_path: str | None, overrides: Sequence[str]) -> tuple[OutputSection, StreamgmmError | None]:
    """Return the output settings, and the error of an invalid file.

    Raises:
        StreamgmmError: a setting given with `--set` is wrong.
    """
    try:
        return load_config(config_path, overrides).config.output, None
    except StreamgmmError as error:
        try:
            # Without the overrides: if the file alone is valid, the mistake is in `--set`.
            load_config(config_path)
        except StreamgmmError:
            return salvage_output(config_path, overrides), error
        raise


def _first_socket(sinks: Sequence[str], problem: StreamgmmError | None, kinds: tuple[str, ...]) -> str:
    for uri in (*sinks, *installed_sockets()):
        if uri.startswith(kinds):
            return uri
    if problem is not None:
        # Without a socket to ask, the mistake in the settings matters after all.
        raise problem
    hint = f"name that of the daemon: unix://PATH{' or tcp://HOST:PORT' if kinds == SOCKETS else ''}"
    raise UsageError("the settings name no socket to ask, and no service has one", hint=hint)
