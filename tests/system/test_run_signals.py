"""Signals that people and machines send to `streamgmm run`, from its first moment on, and closed terminals."""

from __future__ import annotations

import contextlib
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.audio.child import Child
from streamgmm.signals import unused_signals
from tests.required import require_or_skip
from tests.system.run_rig import TIMEOUT_S, Daemon, check_stream, parse, running, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux, /proc and terminals")

PIECE_BYTES = 2 * 1600
EARLY = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
MEANINGLESS = [*EARLY[1:], *unused_signals()]
IN_TIME = 0.5
"""Of the time until it speaks, at most so much has passed when the signals are set aside."""


def signals_in(daemon: Daemon, field: str) -> int:
    """The set of signals that the kernel keeps under `field` (proc(5)); none once the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1], 16)
    return 0


def wait_until_set_aside(daemon: Daemon) -> None:
    wait_until(lambda: signals_in(daemon, "SigIgn") >> (signal.SIGUSR2 - 1) & 1, "signals are never set aside")
    wait_until(lambda: signals_in(daemon, "SigCgt") >> (signal.SIGTERM - 1) & 1, "SIGTERM is never taken over")


@contextlib.contextmanager
def listening(model: Path) -> Iterator[Daemon]:
    with running("-m", model, "-s", "pcm:-", stdin=subprocess.PIPE) as daemon:
        yield daemon


@pytest.mark.parametrize("number", [*EARLY, signal.SIGIO, signal.SIGPWR, signal.SIGPROF, signal.SIGRTMIN + 3])
def test_F26_a_signal_while_it_starts_is_ignored(demo_model: Path, number: signal.Signals) -> None:
    with listening(demo_model) as daemon:
        wait_until_set_aside(daemon)
        set_aside_s = time.monotonic() - daemon.started_s
        daemon.process.send_signal(number)
        first = daemon.stdout.readline()
        assert set_aside_s < IN_TIME * (time.monotonic() - daemon.started_s)
        daemon.stdin.write(bytes(PIECE_BYTES))
        daemon.stdin.close()
        assert daemon.wait() == 0
        check_stream(parse(first + daemon.stdout.read()))


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.1, 0.2, 0.4, 0.8])
def test_F26_sigterm_while_it_starts_ends_it_with_0(demo_model: Path, delay_s: float) -> None:
    with listening(demo_model) as daemon:
        wait_until_set_aside(daemon)
        time.sleep(delay_s)
        daemon.terminate()


def test_F5_signals_that_mean_nothing_do_nothing(demo_model: Path) -> None:
    with listening(demo_model) as daemon:
        first = daemon.stdout.readline()
        for number in MEANINGLESS:
            daemon.process.send_signal(number)
            daemon.stdin.write(bytes(PIECE_BYTES))
            daemon.stdin.flush()
        daemon.stdin.close()
        records = parse(first + daemon.stdout.read())
        assert daemon.wait() == 0
    check_stream(records)
    assert records[-1]["captured_samples"] == records[-1]["analysed_samples"] == len(MEANINGLESS) * PIECE_BYTES // 2


def test_F4_a_flood_of_questions_for_the_status_keeps_to_the_log_limit(demo_model: Path) -> None:
    with listening(demo_model) as daemon:
        daemon.stdout.readline()
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for_log("process.status")
        started_s = time.monotonic()
        for i in range(1000):
            daemon.process.send_signal(EARLY[1 + i % 2])
        daemon.terminate()
        took_s = time.monotonic() - started_s
    assert daemon.log.count("process.status") <= 1 + took_s / 3.0


@pytest.mark.parametrize("number", [*EARLY, *unused_signals()[::8]])
def test_a_capture_process_never_gets_them(number: signal.Signals) -> None:
    with contextlib.closing(Child([sys.executable, "-c", "input('ready\\n')"])) as child:
        os.kill(child.pid, number)
        assert child.read_line(TIMEOUT_S) == b"ready\n"
        os.kill(child.pid, number)
        with pytest.raises(TimeoutError):
            child.read_line(0.1)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


# Terminals


class Window:
    """A terminal with a program in it, until it is closed."""

    def __init__(self, *command: object) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(tempfile.gettempdir())  # where `nohup` leaves its output
            os.execvp(str(command[0]), list(map(str, command)))
        self._is_open = True

    def type(self, line: str) -> None:
        os.write(self._fd, f"{line}\n".encode())

    def close(self) -> None:
        if self._is_open:
            os.close(self._fd)
            self._is_open = False

    def read_until(self, words: bytes) -> None:
        seen = b""
        while words not in seen:
            seen += os.read(self._fd, 65536)


@pytest.fixture
def command(demo_model: Path, demo_scene: Path) -> list[str]:
    """One that goes on for a minute."""
    run = [sys.executable, "-m", "streamgmm", "run", "-m", str(demo_model), "-s", f"file:{demo_scene}", "--pace", "1"]
    return ["env", f"PYTHONPATH={Path.cwd()}", *run]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def shell_line(command: list[str], out: Path, before: str = "", after: str = "") -> str:
    """What a user types; the shell is told to note the process, which `exec` makes that of the program."""
    program = shlex.join(["sh", "-c", f"echo $$ > {out}.pid; exec {shlex.join(command)} > {out} 2> {out}.err"])
    return f"{before} {program} {after}"


def wait_for_start(out: Path) -> int:
    wait_until(lambda: out.exists() and "hello" in out.read_text(), "it never started")
    return int(Path(f"{out}.pid").read_text())


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


ENDING = {
    "in the foreground": ("", ""),
    "in the background": ("", "&"),
    "into a pipe": ("", "| cat"),
    "in a subshell": ("(", ")"),
    "with its input closed": ("", "< /dev/null"),
}


@pytest.mark.parametrize(("before", "after"), ENDING.values(), ids=ENDING)
def test_F25_a_closed_terminal_ends_what_was_started_on_it(
    command: list[str], out: Path, before: str, after: str
) -> None:
    window = Window("bash", "--norc", "-i")
    window.type(shell_line(command, out, before, after))
    pid = wait_for_start(out)
    window.close()
    wait_until(lambda: not is_running(pid), "it goes on")
    assert '"reason":"its terminal was closed"' in out.read_text().splitlines()[-1]
    assert "Traceback" not in Path(f"{out}.err").read_text()
    os.waitpid(window.pid, 0)


def test_a_terminal_of_its_own_that_is_closed_ends_it(command: list[str]) -> None:
    """As with `xterm -e` and `ssh -t`: it leads the session, and prints into the terminal."""
    window = Window(*command)
    window.read_until(b"hello")
    window.close()
    _, status = os.waitpid(window.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_the_end_of_a_session_of_tmux_ends_it(command: list[str], out: Path, tmp_path: Path) -> None:
    if shutil.which("tmux") is None:
        require_or_skip("programs", "tmux is not installed")
    tmux = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
    subprocess.run([*tmux, "new-session", "-d", shell_line(command, out)], check=True)
    try:
        pid = wait_for_start(out)
        subprocess.run([*tmux, "kill-session"], check=True)
        wait_until(lambda: not is_running(pid), "it goes on")
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, stderr=subprocess.DEVNULL)


GOING_ON = {
    "nohup": ("nohup", "&"),
    "nohup in the foreground": ("nohup", ""),
    "setsid": ("setsid", ""),
    "setsid in the background": ("setsid -f", ""),
    "disown": ("", "& disown"),
    "a subshell that ignores it": ("(trap '' HUP;", ")"),
}


@pytest.mark.parametrize(("before", "after"), GOING_ON.values(), ids=GOING_ON)
def test_F25_what_was_told_to_survive_its_terminal_goes_on(
    command: list[str], out: Path, before: str, after: str
) -> None:
    window = Window("bash", "--norc", "-i")
    window.type(shell_line(command, out, before, after))
    pid = wait_for_start(out)
    try:
        window.close()
        os.waitpid(window.pid, 0)
        n_bytes = out.stat().st_size
        wait_until(lambda: out.stat().st_size > n_bytes or not is_running(pid), "nothing more is said")
        assert is_running(pid)
        if "disown" not in after:  # which the terminal leaves without a word, so that the next SIGHUP tells of it
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda: signals_answered(out), "never reloaded")
            assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_sighup_on_a_living_terminal_reloads(command: list[str], out: Path) -> None:
    window = Window("bash", "--norc", "-i")
    window.type(shell_line(command, out))
    pid = wait_for_start(out)
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: signals_answered(out), "never reloaded")
    # The log has one line of this kind in ten seconds: that further signals are no end is all that shows at once.
    for _ in range(2):
        os.kill(pid, signal.SIGHUP)
    assert is_running(pid)
    window.close()
    wait_until(lambda: not is_running(pid), "it goes on")
    os.waitpid(window.pid, 0)


def signals_answered(out: Path) -> int:
    return Path(f"{out}.err").read_text().count("config.reload_ok")
