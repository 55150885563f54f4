"""The first line for the child that holds the connection to the broker; the rest is `streamgmm.sinks.child.protocol`.

To a removal, the child answers with `removed n`, after which `n` topics are empty, or with `offline`.
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
        has_commands: whether to pass on what is published on the topic of commands.
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
    has_commands: bool = False
    is_removal: bool = False

    def __repr__(self) -> str:
        return "Request(...)"
