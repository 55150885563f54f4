"""Child process that holds the connection to the broker; see `protocol`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import NoReturn

import msgspec

from streamgmm.sinks.mqtt.protocol import Request

ALIVE_S = 0.3
"""Interval of the signs of life (s)."""

LAST_S = 1.0
"""Time for a farewell after the daemon has died (s), even if a name look-up hangs."""


_reports_fd = os.dup(1)
# Whatever a library prints must not mix with the reports.
os.dup2(2, 1)


def report(line: str) -> None:
    """Write a line to the daemon, in one piece."""
    os.write(_reports_fd, line.encode("utf-8", "backslashreplace") + b"\n")


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


def read_request() -> Request:
    """Return the request in the first line of stdin.

    Raises:
        EOFError: stdin has ended.
    """
    line = b""
    while not line.endswith(b"\n"):
        # Byte by byte: what follows belongs to the bridge.
        if not (byte := os.read(0, 1)):
            raise EOFError
        line += byte
    return msgspec.json.decode(line, type=Request)


def main() -> NoReturn:
    """Serve one request; exit with 0 after the end of stdin, else with 1."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole process group; the daemon handles it
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as does systemd's SIGTERM
    threading.Thread(target=show_life, daemon=True).start()
    try:
        request = read_request()
        # Only now, with signs of life: slow machines take seconds to import TLS.
        from streamgmm.sinks.mqtt.bridge import Bridge
        from streamgmm.sinks.mqtt.removal import Removal

        serve = Removal(request, report).run if request.is_removal else Bridge(request, _read_stdin, report).run
        serve()
    except (EOFError, BrokenPipeError):
        pass
    except Exception as error:
        # No traceback: the daemon quotes the last line of stderr.
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    # Not sys.exit: nothing is left to finish, and a library might block.
    os._exit(0)


def _read_stdin() -> bytes:
    return os.read(0, 65536)
