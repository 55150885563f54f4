"""`streamgmm monitor` in a terminal and in a pipe, on real daemons that come and go, and on peers that are none."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.client.conversation import MAX_LINE_BYTES
from streamgmm.records import Error, encode_json
from streamgmm.sinks.socket.token import Token
from tests.cli.cli_rig import run_cli, spawn_cli
from tests.client.client_rig import Socket, peer
from tests.monitor.terminal_rig import LEFT_SCREEN, TIMEOUT_S, watching
from tests.narrowing import of_type, present
from tests.pulse_rig import PulseServer, missing_parts
from tests.required import require_or_skip
from tests.sinks.sink_rig import HELLO, end, start, status
from tests.system.run_rig import Daemon, frames_of, running, subscribe

SECRET = "0123456789abcdef" * 4


@contextlib.contextmanager
def daemon_of(model: Path, uri: str, *options: object) -> Iterator[Daemon]:
    """A daemon that reads what is written to it, and listens."""
    with running("-m", model, "-s", "pcm:-", "-k", uri, *options, stdin=subprocess.PIPE) as daemon:
        subscribe(uri).close()
        yield daemon


def play(daemon: Daemon, scene: Path, until_s: float) -> None:
    daemon.stdin.write(frames_of(scene, 0.0, until_s))
    daemon.stdin.flush()


def test_it_shows_a_daemon_and_survives_its_death(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    uri = f"unix://{tmp_path}/s"
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(daemon_of(demo_model, uri, "--windows"))
        terminal = stack.enter_context(watching(uri, columns=120))
        terminal.wait_for("connected", uri)
        play(daemon, demo_scene, 12.0)
        shown = terminal.wait_for("level", "demo", "█", "┃", "answer")
        assert "siren" in shown
        daemon.process.kill()
        terminal.wait_for("reconnecting")
        daemon.close()
        again = stack.enter_context(daemon_of(demo_model, uri))
        terminal.wait_for("connected", "starting")
        play(again, demo_scene, 12.0)
        terminal.wait_for("no window records: run the daemon with --windows")
        terminal.press(b"x")  # nothing
        terminal.press(b"q")
        assert terminal.wait() == 0
        terminal.check_left()


def test_ctrl_c_quits_as_shells_expect_and_ctrl_z_does_nothing(tmp_path: Path) -> None:
    daemon = Socket("unix", tmp_path)
    daemon.start(status(1))
    with watching(daemon.address) as terminal:
        terminal.wait_for("mic  ok")
        terminal.press(b"\x1a")
        daemon.publish(start(2))
        terminal.wait_for("sounding door")
        terminal.press(b"\x03")
        assert terminal.wait() == -signal.SIGINT
        terminal.check_left()
    daemon.stop()


def test_sigterm_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    daemon = Socket("unix", tmp_path)
    daemon.start()
    with watching(daemon.address) as terminal:
        terminal.wait_for("connected")
        terminal.process.terminate()
        assert terminal.wait() == -signal.SIGTERM
        terminal.check_left()
    daemon.stop()


def test_it_follows_the_size_of_the_terminal(tmp_path: Path) -> None:
    daemon = Socket("tcp", tmp_path)
    daemon.start(status(1), start(2))
    with watching(daemon.address, columns=100, lines=30) as terminal:
        terminal.wait_for("connected", "mic  ok", "sounding door")
        daemon.publish(end(3))
        terminal.wait_for("door  1.8 s", "q quits")
        for columns, lines in ((20, 6), (20, 24), (1, 1), (120, 40)):
            terminal.resize(columns, lines)
            daemon.publish(start(4))
            terminal.wait_for("…" if columns == 1 else "connected")
        shown = terminal.wait_for("sounding door", "q quits", daemon.address)
        assert shown.splitlines()[39] == "q quits"
        terminal.press(b"Q")
        assert terminal.wait() == 0
        terminal.check_left()
    daemon.stop()


def test_a_terminal_without_utf8_gets_bars_of_ascii(demo_model: Path, demo_scene: Path) -> None:
    options = ("--source", f"file:{demo_scene}", "--model", demo_model, "--pace", "5")
    with watching(*options, PYTHONUTF8="0", PYTHONIOENCODING="ascii") as terminal:
        terminal.wait_for("##", "|", "level")
        terminal.press(b"q")
        assert terminal.wait() == 0
        assert terminal.received.isascii()


def test_a_source_is_watched_without_a_daemon_and_its_end_stays(demo_model: Path, demo_scene: Path) -> None:
    with watching("--source", f"file:{demo_scene}", "--model", demo_model, "--pace", "60") as terminal:
        terminal.wait_for("ended", "end of input", "siren  ")
        terminal.press(b"q")
        assert terminal.wait() == 0
        terminal.check_left()


@pytest.fixture(scope="module")
def sound_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulseServer]:
    if missing := missing_parts():
        require_or_skip("pulse", f"missing {', '.join(missing)}")
    with contextlib.closing(PulseServer(tmp_path_factory.mktemp("pulse"))) as server:
        server.start()
        yield server


def test_a_microphone_is_watched_without_a_daemon(
    demo_model: Path, demo_scene: Path, sound_server: PulseServer
) -> None:
    with watching("--source", "mic", "--model", demo_model, **sound_server.changes) as terminal:
        terminal.wait_for("listening", "mic  ok", "level", "rejected as silence")
        sound_server.play(demo_scene)
        terminal.wait_for("sounding", "answer", "█")
        terminal.press(b"q")
        assert terminal.wait() == 0
        terminal.check_left()


def test_a_microphone_that_is_missing_is_waited_for(demo_model: Path, tmp_path: Path) -> None:
    nowhere = {"PULSE_SERVER": f"unix:{tmp_path}/none", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    with watching("--source", "mic:nothing", "--model", demo_model, **nowhere) as terminal:
        terminal.wait_for("mic:nothing  degraded")
        terminal.press(b"q")
        assert terminal.wait() == 0
        terminal.check_left()


def test_a_recording_is_played_at_its_own_pace(demo_model: Path, demo_scene: Path) -> None:
    with watching("--source", f"file:{demo_scene}", "--model", demo_model) as terminal:
        terminal.wait_for("listening", "level", "answer")
        assert "ended" not in terminal.text
        terminal.press(b"q")
        assert terminal.wait() == 0


def test_samples_on_stdin_leave_the_keys_to_the_terminal(demo_model: Path, demo_scene: Path) -> None:
    with watching("--source", "pcm:-", "--model", demo_model, has_pipe=True) as terminal:
        stdin = present(terminal.process.stdin)
        stdin.write(frames_of(demo_scene, 0.0, 5.0))
        stdin.flush()
        terminal.wait_for("pcm:-  running", "level", "answer")
        terminal.press(b"q")
        assert terminal.wait() == 0
        terminal.check_left()


def test_ctrl_c_ends_a_source_in_a_pipe_gracefully(demo_model: Path, demo_scene: Path) -> None:
    monitor = spawn_cli("monitor", "--source", f"file:{demo_scene}", "--model", demo_model)
    with contextlib.ExitStack() as stack:
        stack.callback(end_process, monitor)
        read_line_with(of_type(monitor.stdout, io.TextIOWrapper), "level")
        monitor.send_signal(signal.SIGINT)
        out, err = monitor.communicate(timeout=TIMEOUT_S)
        assert (monitor.returncode, err) == (-signal.SIGINT, "")
        assert "ended: " in out


def test_a_missing_recording_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome = run_cli(capsys, "monitor", "--source", f"file:{tmp_path}/none.wav")
    assert (outcome.code, outcome.err.count("\n")) == (66, 1)


def test_a_failure_after_the_start_is_reported_below_the_screen(tmp_path: Path) -> None:
    refusal = encode_json(Error(t=0.0, message="too many subscribers"))
    with peer(tmp_path, refusal, hangs_up=False) as uri, watching(uri) as terminal:
        assert terminal.wait() == 75
        assert b"too many subscribers" in terminal.received[terminal.received.rindex(LEFT_SCREEN) :]
        terminal.check_left()


def test_a_peer_that_is_silent_is_shown_as_such(tmp_path: Path) -> None:
    with peer(tmp_path, hangs_up=False) as uri, watching(uri) as terminal:
        terminal.wait_for("connected, no record yet")


def test_garbage_after_records_is_a_loss_on_the_screen(tmp_path: Path) -> None:
    with peer(tmp_path, encode_json(HELLO), b"garbage\n") as uri, watching(uri) as terminal:
        terminal.wait_for("reconnecting", "not a daemon of this kind")
        terminal.press(b"q")
        assert terminal.wait() == 0


def test_in_a_pipe_it_prints_lines_over_restarts(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    uri = f"unix://{tmp_path}/s"
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(daemon_of(demo_model, uri, "--windows"))
        monitor = spawn_cli("monitor", uri)
        stack.callback(end_process, monitor)
        lines = of_type(monitor.stdout, io.TextIOWrapper)
        assert "hello  demo: " in read_line_with(lines, "hello")
        play(daemon, demo_scene, 15.0)
        assert " dBFS  " in read_line_with(lines, "level")
        assert "threshold 0.70" in read_line_with(lines, "start")
        daemon.process.kill()
        read_line_with(lines, "reconnecting in")
        daemon.close()
        stack.enter_context(daemon_of(demo_model, uri))
        read_line_with(lines, "hello  demo: ")
        monitor.send_signal(signal.SIGINT)
        assert monitor.wait(TIMEOUT_S) == -signal.SIGINT
        assert present(monitor.stderr).read() == ""


def read_line_with(lines: io.TextIOWrapper, words: str) -> str:
    for line in lines:
        assert line.isprintable() or line.endswith("\n")
        if words in line:
            return line
    raise AssertionError(f"no line has {words}")


def end_process(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_plain_lines_are_wanted_on_a_terminal_too(tmp_path: Path) -> None:
    daemon = Socket("unix", tmp_path)
    daemon.start(status(1))
    with watching("--plain", daemon.address) as terminal:
        terminal.wait_for("hello", "ok")
        assert LEFT_SCREEN not in terminal.received
        terminal.press(b"\x03")
        assert terminal.wait() == -signal.SIGINT
    daemon.stop()


def test_a_terminal_that_cannot_be_drawn_on_gets_plain_lines(tmp_path: Path) -> None:
    daemon = Socket("unix", tmp_path)
    daemon.start(status(1))
    with watching(daemon.address, TERM="dumb") as terminal:
        terminal.wait_for("hello", "ok")
        assert b"\x1b" not in terminal.received
    daemon.stop()


def test_a_source_in_a_pipe_ends_with_its_recording(
    capsys: pytest.CaptureFixture[str], demo_model: Path, demo_scene: Path
) -> None:
    outcome = run_cli(
        capsys, "monitor", "--source", f"file:{demo_scene}", "--model", demo_model, "--set", "source.pace=0"
    )
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert "hello" in lines[0]
    assert "ended: end of input" in lines[-1]
    assert sum("  start  " in line for line in lines) == sum("  end  " in line for line in lines) > 3


def test_nobody_there_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome = run_cli(capsys, "monitor", f"unix://{tmp_path}/none")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (69, "", 1)
    assert "no daemon answers" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["stdout:"],
        ["unix:///s", "--source", "mic"],
        ["unix:///s", "--model", "my.sgm"],
        ["unix:///s", "--pace", "2"],
        ["--source", "mic", "--pace", "2"],
        [],
    ],
)
def test_arguments_that_do_not_go_together_are_64(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    outcome = run_cli(capsys, "monitor", *arguments)
    assert (outcome.code, outcome.err.count("\n")) == (64, 1)


def test_the_socket_and_the_token_of_the_settings_are_used(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    daemon = Socket("tcp", tmp_path, Token(SECRET.encode()))
    daemon.start()
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "token").chmod(0o600)
    settings = [f"output.sinks=[{daemon.address!r}]", f"output.token_file={tmp_path}/token", "output.allow_remote=true"]
    with watching(*(f"--set={setting}" for setting in settings)) as terminal:
        terminal.wait_for("connected", "mic")
    outcome = run_cli(capsys, "monitor", daemon.address, "--set", f"output.token_file={wrong_token(tmp_path)}")
    assert (outcome.code, outcome.err.count("\n")) == (77, 1)
    assert "refuses the token" in outcome.err
    daemon.stop()


def wrong_token(folder: Path) -> Path:
    (folder / "wrong").write_text("fedcba9876543210" * 4)
    (folder / "wrong").chmod(0o600)
    return folder / "wrong"


@pytest.mark.parametrize(
    "said",
    [b"220 mail.example.org ESMTP\n", b"\xff" * 100 + b"\n", b"x" * (MAX_LINE_BYTES + 70_000), b""],
    ids=["mail", "no UTF-8", "endless line", "nothing"],
)
def test_a_peer_that_is_no_daemon_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, said: bytes) -> None:
    with peer(tmp_path, said) as uri:
        outcome = run_cli(capsys, "monitor", uri)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (69, "", 1)
