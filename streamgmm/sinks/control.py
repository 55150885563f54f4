"""Commands to a running daemon: pause and resume listening, and switch labels off and on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamgmm.errors import StreamgmmError, UsageError

PREFIX = b"control "
"""Beginning of a line with a command to a UNIX socket; the command as JSON follows."""

MAX_PAUSE_S = 366 * 86400.0

Action = Literal["pause", "resume", "on", "off"]


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command to the daemon.

    Attributes:
        action: `pause` or `resume` listening, or switch labels `on` or `off`.
        labels: labels to switch; empty for the other actions.
        for_s: time after which a pause ends by itself (s); None: when it is resumed.
    """

    action: Action
    labels: Annotated[list[Annotated[str, Meta(max_length=256)]], Meta(max_length=256)] = []
    for_s: Annotated[float, Meta(gt=0.0, le=MAX_PAUSE_S)] | None = None

    def __post_init__(self) -> None:
        if bool(self.labels) != (self.action in ("on", "off")):
            raise ValueError("on and off take labels, pause and resume take none")
        if self.for_s is not None and self.action != "pause":
            raise ValueError("only a pause has a length")


Obey = Callable[[Command, str], None]
"""Obeys a command of a client, which the text describes for the log; raises UsageError if it cannot."""


class Reply(msgspec.Struct, frozen=True, tag_field="type", tag="control"):
    """Answer to a command, for the client that sent it alone; `refused` is the reason, or empty."""

    refused: str = ""


def encode_command(command: Command) -> bytes:
    """Return the line of a command, with its newline."""
    return PREFIX + msgspec.json.encode(command) + b"\n"


def encode_reply(reply: Reply) -> bytes:
    """Return the line of a reply, with its newline."""
    return msgspec.json.encode(reply) + b"\n"


def decode_reply(line: bytes) -> Reply | None:
    """Return the reply that a line holds; None if it is another record."""
    try:
        return msgspec.json.decode(line, type=Reply)
    except msgspec.DecodeError:
        return None


def obey_line(line: bytes, obey: Obey | None, peer: str) -> Reply:
    """Obey the command in a line, with or without `PREFIX`, and return the reply; never raises for a bad command."""
    if obey is None:
        return Reply("this daemon takes no commands")
    try:
        obey(msgspec.json.decode(line.removeprefix(PREFIX), type=Command), peer)
    except StreamgmmError as error:
        return Reply(str(error))
    except (msgspec.DecodeError, RecursionError) as error:
        return Reply(f"is not a command: {error}")
    return Reply()


def obey_text(text: str, obey: Obey | None, peer: str) -> Reply:
    """Obey a command in words, such as `pause` or `off doorbell`, or as JSON; never raises for a bad command."""
    action, _, label = text.strip().partition(" ")
    if not action.startswith("{"):
        text = msgspec.json.encode({"action": action, "labels": [label] if label else []}).decode()
    return obey_line(text.encode("utf-8", "replace"), obey, peer)


def refusal(reply: Reply) -> UsageError:
    """Return the error to report for a reply that refuses the command."""
    return UsageError(f"the daemon refuses: {reply.refused}")
