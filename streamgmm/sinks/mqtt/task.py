"""Tasks of a child that holds the connection to a broker."""

from __future__ import annotations

from contextlib import closing

import msgspec
from msgspec import structs

from streamgmm.audio.child import Child
from streamgmm.errors import TemporaryError
from streamgmm.sinks.child.link import START_TIMEOUT_S
from streamgmm.sinks.child.protocol import Failure
from streamgmm.sinks.child.task import Task, command_of
from streamgmm.sinks.mqtt.protocol import Request

COMMAND = command_of("streamgmm.sinks.mqtt.child")


def publishing(request: Request) -> Task:
    """Return the task of publishing all records; level and health once a minute."""
    return Task("mqtt", COMMAND, request, greeting_s=60.0, takes_commands=request.has_commands)


def remove_retained(request: Request, name: str) -> int:
    """Empty all topics of a daemon that no longer runs, and return their number.

    Args:
        request: broker and topics.
        name: URI of the sink, for messages.

    Raises:
        TemporaryError: the broker cannot be reached, or a daemon still publishes there.
        SystemResourceError: the child cannot be started.
    """
    child = Child(COMMAND)
    with closing(child):
        child.write(msgspec.json.encode(structs.replace(request, is_removal=True)) + b"\n")
        try:
            while (line := child.read_line(START_TIMEOUT_S)) is not None:
                word, _, details = line.decode("utf-8", "replace").strip().partition(" ")
                if word == "removed":
                    return int(details)
                if word == "offline":
                    failure = msgspec.json.decode(details, type=Failure)
                    raise TemporaryError(failure.error, where=name, hint=failure.hint)
        except (TimeoutError, EOFError):
            pass
        raise TemporaryError(f"the mqtt process ended: {child.describe_end()}", where=name)
