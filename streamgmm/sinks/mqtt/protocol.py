"""Protocol between the daemon and the child that holds the connection to the broker.

On stdin of the child: a `Request` as one line of JSON, then lines of records, each after the answer to the one before.
A `Greeting` announces lines that describe the current state and have one answer together. The end of stdin ends the
child.

On stdout, a word a line, some with JSON after it:

| line | meaning |
|---|---|
| `alive` | the process runs; several times a second |
| `online` | the broker has accepted the connection; a greeting is wanted |
| `offline {...}` | there is no connection: a `Failure` |
| `sent` | the record is on its way, and must not be sent again |
| `done` | the broker has the record, or the whole greeting |
| `removed n` | a removal has ended, after which `n` topics are empty |
"""

from __future__ import annotations

import msgspec

from streamgmm.sinks.mqtt.topics import Topics


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Task of the child. It contains the password, and so is passed on through a pipe only.

    Attributes:
        host: host name or address of the broker.
        port: port of the broker.
        topics: names of the topics.
        version: version of streamgmm.
        is_tls: whether the connection is encrypted.
        ca_file: certificate authorities to trust, PEM; empty: those of the system.
        cert_file: certificate of this client, PEM; empty: none.
        key_file: key of that certificate; empty: in the same file.
        user: user name; empty: none.
        password: password of the user.
        types: types of the records that are published as events.
        labels: labels to announce; empty: all.
        sources: sources to announce; empty: all.
        is_removal: whether to remove all retained messages of the topics, and nothing else.
    """

    host: str
    port: int
    topics: Topics
    version: str
    is_tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    user: str = ""
    password: str = ""
    types: tuple[str, ...] = ("start", "end")
    labels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    is_removal: bool = False

    def __repr__(self) -> str:
        return "Request(...)"


class Greeting(msgspec.Struct, frozen=True):
    """Announcement of lines that describe the current state.

    Attributes:
        greeting: number of lines that follow.
        seq: the state is that after this record; older records that follow later are published, and change no state.
    """

    greeting: int
    seq: int


class Failure(msgspec.Struct, frozen=True):
    """Reason why there is no connection.

    Attributes:
        error: reason, in one line.
        hint: what to do about it; may be empty.
        is_slow: whether the child retries slowly, because only other settings can help.
    """

    error: str
    hint: str = ""
    is_slow: bool = False
