"""Read the records of a running daemon in another Python program; needs nothing but the standard library.

    from streamgmm.client import connect

    with connect("unix:///run/streamgmm/events.sock") as records:
        for record in records:
            print(record["type"], record["source"])

`docs/clients.md` describes it, and how programs in other languages read the same lines.
"""

from streamgmm.client.asynchronous import AsyncConnection, connect_async
from streamgmm.client.blocking import Connection, connect
from streamgmm.client.conversation import Record, TokenRefusedError
from streamgmm.client.retrying import OnLost

__all__ = ["AsyncConnection", "Connection", "OnLost", "Record", "TokenRefusedError", "connect", "connect_async"]
