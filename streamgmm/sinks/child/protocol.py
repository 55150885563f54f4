"""Protocol between the daemon and the child that serves a sink.

On stdin of the child: its task as one line of JSON, then lines of records, each after the answer to the one before. A
`Greeting` announces lines that describe the current state and have one answer together. The end of stdin ends the
child.

On stdout, a word a line, some with JSON after it:

| line | meaning |
|---|---|
| `alive` | the process runs; several times a second |
| `online` | the other side is there, e.g. the broker has accepted the connection; a greeting is wanted |
| `offline {...}` | the other side is not there: a `Failure` |
| `sent` | the record is on its way, and must not be sent again |
| `done` | the other side has the record, or the whole greeting |
| `refused` | as `done`, but something of it was not accepted; the record counts as failed |
| `refusal {...}` | the other side does not accept something: a `Failure`; repeated while it does so |
| `command "..."` | somebody there commands the daemon; only a child whose task says so may pass it on |
"""

from __future__ import annotations

import msgspec


class Greeting(msgspec.Struct, frozen=True):
    """Announcement of lines that describe the current state.

    Attributes:
        greeting: number of lines that follow.
        seq: the state is that after this record; older records that follow later are published, and change no state.
    """

    greeting: int
    seq: int


class Failure(msgspec.Struct, frozen=True):
    """Reason why there is no connection, or why something is not accepted over it.

    Attributes:
        error: reason, in one line.
        hint: what to do about it; may be empty.
        is_slow: whether the child retries slowly, because only other settings can help.
    """

    error: str
    hint: str = ""
    is_slow: bool = False
