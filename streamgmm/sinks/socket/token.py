"""Access tokens for TCP clients, and the handshake that checks them."""

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
"""Least entropy of a token (bits), too much to guess."""

ANSWER_S = 5.0
"""Time after which a client that has not sent the token is rejected (s)."""

MAX_TOKEN_LINE_BYTES = 1024
"""Most bytes of a token and its newline; a client that sends more without a newline is rejected."""

_MIN_CHARACTERS = 8
"""Least number of distinct characters in a token; fewer suggest that it was typed, not generated."""

_HINT = "make one with: openssl rand -hex 32"

Answer = Literal["waiting", "granted", "denied"]


class Token:
    """A secret that neither `repr` nor a log line reveals.

    Args:
        secret: bytes that a client must send.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Token(...)"

    def to_line(self) -> bytes:
        """Return the line that a client must send to be admitted."""
        return self._secret + b"\n"

    def matches(self, said: bytes) -> bool:
        """Return whether `said` is the secret, in a time that does not depend on how much of it is correct."""
        return hmac.compare_digest(self._secret, said)


def read_token(path: Path) -> Token:
    """Read the token from a file with a single line.

    Raises:
        ConfigError: the token is too easy to guess, or not a single printable word.
        StreamgmmError: the file cannot be read (see `read_regular_file`).
    """
    secret, *rest = read_regular_file(path, MAX_TOKEN_LINE_BYTES).rstrip().split(b"\n")
    problem = "" if not rest else "holds more than one line"
    # latin-1 turns every byte into one character; those that are not ASCII are then rejected.
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
    # An upper bound: the entropy if each character was drawn at random from the alphabet.
    n_bits = int(len(secret) * math.log2(_n_letters(secret)))
    if n_bits < MIN_BITS or len(set(secret)) < _MIN_CHARACTERS:
        return f"the token is worth at most {n_bits} bits or repeats itself; at least {MIN_BITS} random ones are needed"
    return ""


def _n_letters(secret: str) -> int:
    """Return the size of the alphabet of `secret`: decimal, hexadecimal, letters of one case and digits, or base64."""
    if secret.isdigit():
        return 10
    if set(secret) <= set(string.hexdigits):
        return 16
    return 36 if secret in (secret.lower(), secret.upper()) else 64


class Handshake:
    """A client that has not sent the token yet.

    Args:
        connection: socket of the client; made non-blocking.
        peer: description of the client, for the log.
        token: token that the client must send.
        now_s: monotonic time (s).

    Attributes:
        deadline_s: monotonic time when the client is rejected (s).
        rest: bytes received after the line with the token.
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
        """Read and check what the client sent; end of input also ends the line (`printf %s TOKEN | nc -N`)."""
        try:
            received = self.connection.recv(MAX_TOKEN_LINE_BYTES - len(self._said))
        except BlockingIOError:
            return "waiting"
        except OSError:
            return "denied"
        self._said += received
        line, newline, self.rest = self._said.partition(b"\n")
        if newline or not received:
            # Some clients end a line with CR LF, e.g. telnet.
            return "granted" if self._token.matches(line.removesuffix(b"\r")) else "denied"
        return "denied" if len(self._said) >= MAX_TOKEN_LINE_BYTES else "waiting"
