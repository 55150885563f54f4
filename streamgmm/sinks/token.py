"""The word that lets a client in from outside, and the moment in which it has to say it."""

from __future__ import annotations

import hmac
import logging
import math
import os
import socket
import string
from pathlib import Path
from typing import Literal

from streamgmm.errors import ConfigError
from streamgmm.files import path_status, read_regular_file

logger = logging.getLogger("streamgmm.sinks")

MIN_BITS = 128
"""Of a token: more than anybody can try."""

ANSWER_S = 5.0
"""A client that has not said the token after so long is cut (seconds)."""

MAX_LINE_BYTES = 1024
"""Of a token and its newline; a client that sends more without a newline is cut."""

_MIN_CHARACTERS = 8
"""Different ones in a token; fewer were typed, not drawn."""

_HINT = "make one with: openssl rand -hex 32"

Answer = Literal["waiting", "granted", "denied"]


class Token:
    """A secret that shows itself to nobody: neither `repr` nor a log line holds it.

    Args:
        secret: the bytes that a client has to send.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Token(...)"

    def to_line(self) -> bytes:
        """What a client has to send to be let in."""
        return self._secret + b"\n"

    def matches(self, said: bytes) -> bool:
        """Whether that is it; the time it takes does not tell how much of it was right."""
        return hmac.compare_digest(self._secret, said)


def read_token(path: Path) -> Token:
    """The token in the first line of a file.

    Raises:
        ConfigError: it is too easy to guess, or is no single printable word.
        StreamgmmError: the file cannot be read (see `read_regular_file`).
    """
    secret, *rest = read_regular_file(path, MAX_LINE_BYTES).rstrip().split(b"\n")
    problem = "" if not rest else "holds more than one line"
    problem = problem or _find_weakness(secret.decode("latin-1"))
    if problem:
        raise ConfigError([f"output.token_file: {problem}; {_HINT}"], where=str(path))
    status = path_status(path)
    if os.name == "posix" and status is not None and status.st_mode & 0o004:
        logger.warning("token.exposed file=%s: anybody on this machine can read it; chmod 640 or less", path)
    return Token(secret)


def _find_weakness(secret: str) -> str:
    if not all("!" <= character <= "~" for character in secret):
        return "the token has other characters than printable ASCII"
    n_bits = int(len(secret) * math.log2(_n_letters(secret)))
    if n_bits < MIN_BITS or len(set(secret)) < _MIN_CHARACTERS:
        return f"the token is worth at most {n_bits} bits or repeats itself; at least {MIN_BITS} random ones are needed"
    return ""


def _n_letters(secret: str) -> int:
    """Size of the alphabet that it seems to be drawn from: decimal, hexadecimal, letters of one case, or base64."""
    if secret.isdigit():
        return 10
    if set(secret) <= set(string.hexdigits):
        return 16
    return 36 if secret in (secret.lower(), secret.upper()) else 64


class Handshake:
    """A client that has not said the token yet.

    Args:
        connection: its socket; made non-blocking.
        peer: who it is, for the log.
        token: what it has to say.
        now_s: monotonic time.

    Attributes:
        deadline_s: when it is cut.
        rest: what it sent after the token in the same breath.
    """

    def __init__(self, connection: socket.socket, peer: str, token: Token, now_s: float) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.peer = peer
        self.deadline_s = now_s + ANSWER_S
        self.rest = b""
        self._token = token
        self._said = b""

    def receive(self) -> Answer:
        """Read what it says; the end of its input ends the line too (`printf %s TOKEN | nc -N`)."""
        try:
            received = self.connection.recv(MAX_LINE_BYTES - len(self._said))
        except BlockingIOError:
            return "waiting"
        except OSError:
            return "denied"
        self._said += received
        line, newline, self.rest = self._said.partition(b"\n")
        if newline or not received:
            return "granted" if self._token.matches(line.removesuffix(b"\r")) else "denied"
        return "denied" if len(self._said) >= MAX_LINE_BYTES else "waiting"
