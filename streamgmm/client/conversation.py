"""What a subscriber and a daemon say to each other over one connection, without the connection itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from streamgmm.client.address import Address
from streamgmm.errors import NotRunningError, PermissionDeniedError, TemporaryError, UsageError
from streamgmm.wording import TOKEN_WANTED

Record = dict[str, Any]
"""A record with its keys as they are written; `type` is always there (`streamgmm config schema records`)."""

MAX_LINE_BYTES = 1024 * 1024
"""Longest line of a daemon; a peer that sends more without a newline is something else."""


class TokenRefusedError(PermissionDeniedError):
    """The daemon wants a token, and this was not it; trying again does not help."""


class Conversation:
    """One connection of a subscriber.

    Args:
        address: where it is connected to.
        token: token to send; empty for none. A UNIX socket is protected by its permissions, and gets none.

    Attributes:
        opening: bytes to send first.
        has_begun: whether a record has come: a daemon greets at once, and may be silent for long after that.
    """

    def __init__(self, address: Address, token: bytes = b"") -> None:
        self.opening = token + b"\n" if token and not address.path else b""
        self._uri = address.uri
        self._received = b""
        self.has_begun = False

    def receive(self, data: bytes) -> Iterator[Record]:
        """Yield the records that `data` completes; those before an invalid line are yielded before its error.

        Raises:
            TokenRefusedError: the daemon wants another token.
            TemporaryError: the daemon refuses for now, e.g. because of too many subscribers.
            NotRunningError: the peer is not a daemon of this kind.
        """
        *lines, self._received = (self._received + data).split(b"\n")
        yield from map(self._record_of, lines)
        if len(self._received) > MAX_LINE_BYTES:
            raise self._stranger()

    def _record_of(self, line: bytes) -> Record:
        try:
            record = json.loads(line.decode())
        except (ValueError, RecursionError):
            raise self._stranger() from None
        if not isinstance(record, dict) or not isinstance(record.get("type"), str):
            raise self._stranger()
        # Only the first record can be a refusal, after which the daemon hangs up.
        if record["type"] == "error" and not self.has_begun:
            raise self._refusal(str(record.get("message")))
        self.has_begun = True
        return record

    def _refusal(self, message: str) -> TemporaryError | PermissionDeniedError:
        if message != TOKEN_WANTED:
            return TemporaryError(message, where=self._uri)
        what = "the daemon refuses the token" if self.opening else "the daemon wants a token"
        return TokenRefusedError(what, where=self._uri, hint="it is in its output.token_file")

    def unanswered(self) -> NotRunningError:
        """Return the error for a peer that has not greeted in time."""
        hint = "the address of a daemon is in its output.sinks"
        return NotRunningError("what listens there does not greet as a daemon does", where=self._uri, hint=hint)

    def _stranger(self) -> NotRunningError:
        return NotRunningError("what answers is not a daemon of this kind", where=self._uri)


def token_bytes(token: str | bytes | None) -> bytes:
    """Return a token as it is sent, without the newline that ends the file it was read from.

    Raises:
        UsageError: it has more than one line, or characters beyond ASCII.
    """
    text = (token.decode("latin-1") if isinstance(token, bytes) else token or "").strip()
    if not text.isascii() or len(text.splitlines()) > 1:
        raise UsageError("a token is one line of printable ASCII")
    return text.encode()
