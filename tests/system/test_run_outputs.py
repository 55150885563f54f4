"""`streamgmm run` as a real process, and what others may do to its outputs: sockets, files, stderr, signals."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.required import require_or_skip
from tests.system.run_rig import (
    check_stream,
    frames_of,
    parse,
    run,
    running,
    subscribe,
    wait_until,
    without_names,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and UNIX sockets")


def test_F5_signals_that_mean_nothing_here_change_nothing(demo_model: Path, demo_scene: Path) -> None:
    pcm = frames_of(demo_scene, 0.0, 10.0)
    expected = run("-m", demo_model, "-s", "pcm:-", "--windows", input=pcm)
    with running("-m", demo_model, "-s", "pcm:-", "--windows", stdin=subprocess.PIPE) as daemon:
        daemon.stdin.write(pcm[: len(pcm) // 2])
        daemon.stdin.flush()
        first = daemon.stdout.readline()
        for number in ("PIPE", "CHLD", "ALRM", "VTALRM", "PROF", "WINCH", "URG", "TSTP", "CONT", "TTIN", "CONT"):
            daemon.signal(signal.Signals[f"SIG{number}"])
        daemon.stdin.write(pcm[len(pcm) // 2 :])
        daemon.stdin.close()
        out = first + daemon.stdout.read()
        assert daemon.wait() == 0
    assert without_names(parse(out)) == without_names(expected.records)


def test_F6_E1_after_a_kill_the_next_start_works_at_once(demo_model: Path, tmp_path: Path) -> None:
    uri = f"unix://{tmp_path}/run/s"
    for _ in range(2):
        with running("-m", demo_model, "-s", "pcm:-", "-k", uri, stdin=subprocess.PIPE) as daemon:
            with subscribe(uri) as client:
                assert json.loads(client.read_lines(1)[0])["type"] == "hello"
            daemon.process.kill()
            assert daemon.wait() == -signal.SIGKILL
        assert (tmp_path / "run" / "s").exists()
    with running("-m", demo_model, "-s", "pcm:-", "-k", uri, stdin=subprocess.PIPE) as daemon, subscribe(uri):
        daemon.terminate()
    assert not (tmp_path / "run" / "s").exists()


def test_F7_E2_a_second_start_is_refused_with_the_pid_of_the_first(demo_model: Path, tmp_path: Path) -> None:
    uri = f"unix://{tmp_path}/s"
    arguments = ["-m", demo_model, "-s", "pcm:-", "-k", uri]
    with running(*arguments, stdin=subprocess.PIPE) as first, subscribe(uri) as client:
        second = run(*arguments)
        assert second.code == 73
        assert f"in use by process {first.process.pid}" in second.err.splitlines()[-1]
        client.read_lines(1)
        first.stdin.close()
        assert parse(client.read_to_end())[-1]["type"] == "bye"
        assert first.wait() == 0


def test_E6_a_socket_that_was_deleted_comes_back(demo_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with running("-m", demo_model, "-s", "pcm:-", "-k", f"unix://{path}", stdin=subprocess.PIPE) as daemon:
        with subscribe(f"unix://{path}") as early:
            early.read_lines(1)
            path.unlink()
            daemon.wait_for_log("sink.recovered")
            with subscribe(f"unix://{path}") as late:
                late.read_lines(1)
                daemon.stdin.close()
                assert parse(early.read_to_end())[-1]["type"] == "bye"
                assert parse(late.read_to_end())[-1]["type"] == "bye"
        assert daemon.wait() == 0


@pytest.mark.parametrize("settings", [[], ["output.allow_remote=true"], ["output.token_file=TOKEN"]])
def test_E17_an_open_door_is_refused(demo_model: Path, tmp_path: Path, settings: list[str]) -> None:
    (tmp_path / "token").write_text(secrets.token_hex(16))
    options = [word for setting in settings for word in ("--set", setting.replace("TOKEN", f"{tmp_path}/token"))]
    ended = run("-m", demo_model, "-s", "pcm:-", "-k", "tcp://0.0.0.0:0", *options)
    assert ended.code == 78
    assert ended.out == b""


def test_E17_C15_a_client_with_the_token_is_served_and_the_token_never_shown(
    demo_model: Path, demo_scene: Path, tmp_path: Path
) -> None:
    token = secrets.token_hex(16)
    (token_file := tmp_path / "token").write_text(token)
    token_file.chmod(0o644)
    port = free_port()
    settings = ["--set", "output.allow_remote=true", "--set", f"output.token_file={token_file}"]
    options = ["-v", "-k", f"tcp://0.0.0.0:{port}", *settings]
    with running("-m", demo_model, "-s", "pcm:-", *options, stdin=subprocess.PIPE) as daemon:
        with subscribe(f"tcp://127.0.0.1:{port}") as stranger:
            stranger.connection.sendall(b"let me in\n")
            (refusal,) = parse(stranger.read_to_end())
            assert refusal["type"] == "error"
        with subscribe(f"tcp://127.0.0.1:{port}") as client:
            client.connection.sendall(f"{token}\n".encode())
            hello = json.loads(client.read_lines(1)[0])
            daemon.stdin.write(frames_of(demo_scene, 0.0, 2.0))
            daemon.stdin.close()
            rest = parse(client.read_to_end())
        assert daemon.wait() == 0
        assert "token.exposed" in daemon.log
        assert "client.rejected" in daemon.log
        assert token not in daemon.log
    assert rest[0]["type"] == "status"  # how it stands at this moment, for this client alone
    check_stream([hello, *rest[1:]])
    for style in ("--effective", "--annotated"):
        shown = run("show", style, *settings, command="config")
        assert shown.code == 0
        assert str(token_file) in shown.out.decode()
        assert token not in shown.out.decode() + shown.err


def test_C15_a_token_in_the_settings_is_refused_and_not_repeated(tmp_path: Path) -> None:
    token = secrets.token_hex(16)
    (path := tmp_path / "c.yaml").write_text(f"output:\n  token: {token}\n")
    refused = run("check", path, command="config")
    assert refused.code == 78
    assert token not in refused.err


def test_E22_rotated_by_rename_while_it_runs(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    pcm = frames_of(demo_scene, 0.0, 20.0)
    path = tmp_path / "heard.jsonl"
    with running("-m", demo_model, "-s", "pcm:-", "--windows", "-k", f"file://{path}", stdin=subprocess.PIPE) as daemon:
        daemon.stdin.write(pcm[: len(pcm) // 2])
        daemon.stdin.flush()
        wait_until(lambda: path.exists() and path.stat().st_size > 10_000, "nothing was written")
        rotated = path.rename(tmp_path / "heard.1")
        daemon.stdin.write(pcm[len(pcm) // 2 :])
        daemon.stdin.close()
        assert daemon.wait() == 0
    assert path.stat().st_size > 0
    check_stream(parse(rotated.read_bytes() + path.read_bytes()))


def test_E22_F3_rotated_with_a_hangup_though_nothing_is_heard(
    demo_model: Path, demo_scene: Path, tmp_path: Path
) -> None:
    path = tmp_path / "heard.jsonl"
    with running("-m", demo_model, "-s", "pcm:-", "--windows", "-k", f"file://{path}", stdin=subprocess.PIPE) as daemon:
        daemon.stdin.write(frames_of(demo_scene, 0.0, 10.0))
        daemon.stdin.flush()
        wait_until(lambda: path.exists() and path.stat().st_size > 5_000, "nothing was written")
        rotated = path.rename(tmp_path / "heard.1")
        daemon.signal(signal.SIGHUP)
        wait_until(path.exists, "no new file was opened")
        daemon.stdin.close()
        assert daemon.wait() == 0
    check_stream(parse(rotated.read_bytes() + path.read_bytes()))


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="no SIGCHLD")
def test_E35_a_command_runs_though_the_parent_of_the_daemon_ignores_sigchld(demo_model: Path, tmp_path: Path) -> None:
    script = shlex.quote(f"cat > {tmp_path}/record; exit 3")
    (settings := tmp_path / "config.yaml").write_text(
        f"output: {{sinks: ['stdout:', {{uri: {json.dumps(f'exec:sh -c {script}')}, records: [hello]}}]}}"
    )
    ignore = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    arguments = ["-m", demo_model, "-s", "pcm:-", "--config", settings]
    with running(*arguments, preparation=ignore, stdin=subprocess.PIPE) as daemon:
        daemon.wait_for_log("exit code 3")
        daemon.stdin.close()
        assert daemon.wait() == 0
    assert json.loads((tmp_path / "record").read_bytes())["type"] == "hello"


@contextmanager
def small_disk(tmp_path: Path) -> Iterator[list[str]]:
    """A command prefix under which `tmp_path/disk` is a file system of 64 KiB."""
    (disk := tmp_path / "disk").mkdir()
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        require_or_skip("mounts", "this user may not mount file systems")
    script = 'mount -t tmpfs -o size=64k none "$0" && exec "$@"'
    yield ["unshare", "-m", "sh", "-c", script, str(disk)]


def test_E23_a_really_full_disk_holds_up_no_subscriber(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path) as prefix:
        # As live as a microphone, only faster. What the file holds is seen from within its file system.
        script = (
            f'"$1" -m streamgmm run -m "$2" -s "file:$3" --pace=10 --windows -k "file://{tmp_path}/disk/f" -k stdout:'
            f" --set output.queue_records=32; code=$?; tail -c1 {tmp_path}/disk/f | od -An -c >&2; exit $code"
        )
        command = [*prefix, "bash", "-c", script, "bash", sys.executable, str(demo_model), str(demo_scene)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    log = done.stderr.decode()
    assert done.returncode == 0, log
    check_stream(parse(done.stdout))
    assert parse(done.stdout)[-1]["lost_samples"] == 0
    assert log.count("No space left") == 1
    *_, closed = (line for line in log.splitlines() if "sink.closed sink=file" in line)
    counts = dict(word.split("=") for word in closed.split() if "=" in word)
    assert int(counts["dropped"]) > 100
    assert sum(int(counts[key]) for key in ("sent", "dropped", "left")) == len(parse(done.stdout))
    assert log.rstrip().endswith("\\n"), "the last line is not whole"


@pytest.mark.parametrize("reader", ["gone", "stuck"])
def test_F22_nobody_reads_stderr(demo_model: Path, demo_scene: Path, reader: str) -> None:
    reading, writing = os.pipe()
    if reader == "gone":
        os.close(reading)
    else:
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
    try:
        ended = run("-v", "-m", demo_model, "-s", f"file:{demo_scene}", stderr=writing)
    finally:
        os.close(writing)
        if reader == "stuck":
            os.close(reading)
    assert ended.code == 0
    check_stream(ended.records)
