"""The first line for the child that serves the page; the rest is `streamgmm.sinks.child.protocol`."""

from __future__ import annotations

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Task of the child. It contains the token, and so is passed on through a pipe only.

    Attributes:
        fd: descriptor of the socket that listens.
        version: version of streamgmm.
        hosts: host names, in lower case, by which browsers may address the server, besides addresses and `localhost`.
        token: token that every request must bring; empty: none.
        max_viewers: most streams of records that are served at once.
        clips_directory: folder of the clips that are served and judged, as the system encodes it; empty: none.
    """

    fd: int = -1
    version: str
    hosts: tuple[str, ...] = ()
    token: str = ""
    max_viewers: int = 64
    clips_directory: bytes = b""

    def __repr__(self) -> str:
        return "Request(...)"
