"""Child process that holds the connection to the broker; see `streamgmm.sinks.child.protocol`."""

from __future__ import annotations

import os
import threading
import time
from typing import NoReturn

from streamgmm.sinks.child.process import ALIVE_S, read_request, read_stdin, report, run_to_end
from streamgmm.sinks.mqtt.protocol import Request

LAST_S = 1.0
"""Time for a farewell after the daemon has died (s), even if a name look-up hangs."""


def show_life() -> NoReturn:
    """Report that the process runs, and end it once the daemon has died."""
    try:
        while True:
            report("alive")
            time.sleep(ALIVE_S)
    except OSError:
        # The main thread may be blocked in the network, where nothing can wake it.
        time.sleep(LAST_S)
        os._exit(0)


def serve() -> None:
    """Serve one request, until the end of stdin."""
    request = read_request(Request)
    # Only now, with signs of life: slow machines take seconds to import TLS.
    from streamgmm.sinks.mqtt.bridge import Bridge
    from streamgmm.sinks.mqtt.removal import Removal

    run = Removal(request, report).run if request.is_removal else Bridge(request, read_stdin, report).run
    run()


def main() -> NoReturn:
    """Serve one request; exit with 0 after the end of stdin, else with 1."""
    threading.Thread(target=show_life, daemon=True).start()
    run_to_end(serve)
