"""The cost of the page: CPU of the daemon and of the page's process with viewers, and the time to its first paint."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from rich.table import Table

from tests.benchmarks.live import SETTLE_S, TICKS_PER_S
from tests.benchmarks.material import Material
from tests.browser_rig import Browser
from tests.ports import free_port
from tests.system.run_rig import wait_until
from tests.web_rig import ask, connect

N_VIEWERS = 10
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint').map((entry) => entry.startTime)[0]"


def viewers_table(material: Material, duration_s: float) -> Table:
    """CPU without viewers and with ten, as a share of one core; first paint where there is a Chromium."""
    table = Table("viewers", title=f"The page of a live stream of 16 kHz for {duration_s:.0f} s")
    for heading in ("daemon: % of a core", "page's process: % of a core", "first paint"):
        table.add_column(heading, justify="right")
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "streamgmm", "run", "--model", str(material.model_path), "--pace", "1"]
    command += ["--source", f"file:{material.scene_path}", "--sink", f"web://{address}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            wait_until(lambda: _is_ready(f"http://{address}"), "the page does not come")
            pids = [daemon.pid, _child_of(daemon.pid)]
            table.add_row("0", *_shares(pids, duration_s), _first_paint(f"http://{address}"))
            for _ in range(N_VIEWERS):
                threading.Thread(target=_view, args=[f"http://{address}"], daemon=True).start()
            table.add_row(str(N_VIEWERS), *_shares(pids, duration_s), "")
        finally:
            daemon.kill()
    return table


def _is_ready(address: str) -> bool:
    with suppress(OSError):
        return ask(address, "/readyz").code == 200
    return False


def _child_of(pid: int) -> int:
    # Listed with the thread that started it.
    (child,) = [int(pid) for path in Path(f"/proc/{pid}/task").glob("*/children") for pid in path.read_text().split()]
    return child


def _view(address: str) -> None:
    """Read all that comes, as a browser does."""
    with suppress(OSError), connect(address) as connection:
        connection.sendall(b"GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        while connection.recv(65536):
            pass


def _shares(pids: list[int], duration_s: float) -> list[str]:
    time.sleep(SETTLE_S)
    before_s, since_s = [_cpu_s(pid) for pid in pids], time.monotonic()
    time.sleep(duration_s)
    elapsed_s = time.monotonic() - since_s
    return [f"{100 * (_cpu_s(pid) - start_s) / elapsed_s:.2f}" for pid, start_s in zip(pids, before_s, strict=True)]


def _cpu_s(pid: int) -> float:
    """CPU time of one process alone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _first_paint(address: str) -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        return "-"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(program, Path(folder))
        try:
            browser.open(address, 1280)
            painted_ms = wait_until(lambda: browser.evaluate(FIRST_PAINT), "the browser paints nothing")
        finally:
            browser.close()
    return f"{painted_ms:.0f} ms"
