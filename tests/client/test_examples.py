"""The programs in docs/clients.md are run as they stand: each reads a record, and another one after a restart."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.client_rig import Socket
from tests.narrowing import present
from tests.required import require_or_skip
from tests.sinks.sink_rig import TIMEOUT_S, start

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = (ROOT / "docs" / "clients.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
COMMANDS = {"python": [sys.executable, "-c"], "sh": ["bash", "-c"], "js": ["node", "-e"]}
PROGRAMS = ("nc", "socat", "jq", "node")
SOCKET = "/tmp/streamgmm.sock"


@contextlib.contextmanager
def example(language: str, text: str, socket: Path) -> Iterator[int]:
    """Run an example; yields the descriptor of its output."""
    needed = [name for name in PROGRAMS if re.search(rf"\b{name}\b", " ".join(COMMANDS[language]) + text)]
    for name in needed:
        if shutil.which(name) is None:
            require_or_skip("programs", f"{name} is not installed")
    command = [*COMMANDS[language], text.replace(SOCKET, str(socket))]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, env=env)
    stdout = present(process.stdout)
    try:
        yield stdout.fileno()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        stdout.close()


def read_line(fd: int) -> str:
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([fd], [], [], TIMEOUT_S)[0], f"no line came, only {line!r}"
        byte = os.read(fd, 1)
        assert byte, f"it has ended after {line!r}"
        line += byte
    return line.decode().strip()


@pytest.mark.parametrize(
    ("language", "text"), BLOCKS, ids=[f"{i}-{language}" for i, (language, _) in enumerate(BLOCKS)]
)
def test_an_example_reads_records_and_connects_again(language: str, text: str, tmp_path: Path) -> None:
    daemon = Socket("unix", tmp_path)
    assert SOCKET in text
    daemon.start(start(1))
    with contextlib.ExitStack() as stack:
        stack.callback(daemon.stop)
        fd = stack.enter_context(example(language, text, tmp_path / "s"))
        assert read_line(fd) == "mic door 0.75"
        daemon.publish(start(2, "e2", "kettle"))
        assert read_line(fd) == "mic kettle 0.75"
        daemon.stop()
        daemon.start(start(1, "e1", "phone"))
        assert read_line(fd) == "mic phone 0.75"


def test_there_is_an_example_for_each_language() -> None:
    assert [language for language, _ in BLOCKS] == ["python", "python", "sh", "sh", "js"]
