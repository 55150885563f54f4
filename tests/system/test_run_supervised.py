"""`streamgmm run` under whoever started it: what it tells a service manager, SIGHUP, inherited sockets, bare places."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streamgmm.model.file import load_model, save_model
from tests.other_user import shared_folder
from tests.required import require_or_skip
from tests.service.notify_rig import Manager
from tests.system.run_rig import (
    STOP_LIMIT_S,
    TIMEOUT_S,
    Daemon,
    Json,
    check_bye,
    check_stream,
    frames_of,
    parse,
    run,
    running,
    subscribe,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, UNIX sockets and /proc")
RATE_HZ = 16000
PIECE_BYTES = 2 * 1600  # a tenth of a second


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    yield made
    made.close()


class Speaker:
    """Feeds a pipe with a recording, piece by piece, and counts what it wrote."""

    def __init__(self, daemon: Daemon, wav: Path) -> None:
        self._pipe = daemon.stdin
        self._pcm = frames_of(wav)
        self.n_samples = 0

    def say(self, n_pieces: int = 10) -> None:
        for _ in range(n_pieces):
            start = 2 * self.n_samples % (len(self._pcm) - PIECE_BYTES)
            self._pipe.write(self._pcm[start : start + PIECE_BYTES])
            self._pipe.flush()
            self.n_samples += PIECE_BYTES // 2


def read_until(daemon: Daemon, kind: str) -> list[Json]:
    records: list[Json] = []
    for line in daemon.stdout:
        records.append(json.loads(line))
        if records[-1]["type"] == kind:
            return records
    raise AssertionError(f"no {kind} in {records}\n{daemon.log}")


def supervised_by(manager: Manager, **changes: str) -> dict[str, str]:
    return {**os.environ, "NOTIFY_SOCKET": manager.address, **changes}


# What the manager is told


def test_A21_F1_ready_when_audio_flows_and_not_before(demo_model: Path, demo_scene: Path, manager: Manager) -> None:
    env = supervised_by(manager)
    with running("-m", demo_model, "-s", "pcm:-", stdin=subprocess.PIPE, env=env) as daemon:
        read_until(daemon, "hello")
        assert manager.waiting() == []
        Speaker(daemon, demo_scene).say()
        assert manager.next() == "READY=1"
        assert manager.next() == "STATUS=ok: audio flows from pcm:-"
        daemon.terminate()
    assert manager.waiting() == ["STOPPING=1", "STATUS=stopping: SIGTERM"]


def test_A1_ready_when_the_microphone_is_missing_and_says_so(demo_model: Path, manager: Manager) -> None:
    env = supervised_by(manager, PULSE_SERVER="unix:/nonexistent")
    with running("-m", demo_model, "-s", "mic:nothing of that name", env=env) as daemon:
        assert manager.next() == "READY=1"
        assert manager.next().startswith("STATUS=degraded: mic:nothing of that name: ")
        daemon.terminate()


def test_F9_the_watchdog_is_fed_while_a_loss_is_healed_and_not_while_the_process_stands_still(
    demo_model: Path, manager: Manager
) -> None:
    env = supervised_by(manager, PULSE_SERVER="unix:/nonexistent", WATCHDOG_USEC="300000")
    with running("-m", demo_model, "-s", "mic:nothing of that name", env=env) as daemon:
        manager.until("READY=1")
        manager.until("WATCHDOG=1")
        assert manager.until("WATCHDOG=1") == ["WATCHDOG=1"]
        os.kill(daemon.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, daemon.process.pid, os.WSTOPPED | os.WNOWAIT)
        manager.waiting()
        time.sleep(0.5)  # longer than the manager would wait
        assert manager.waiting() == []
        # What systemd does then; the journal shows where it hung.
        os.kill(daemon.process.pid, signal.SIGABRT)
        os.kill(daemon.process.pid, signal.SIGCONT)
        assert daemon.wait() == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in daemon.log


# SIGHUP


@pytest.fixture
def config(tmp_path: Path, demo_model: Path) -> Path:
    path = tmp_path / "config.yaml"
    write_config(path, demo_model)
    return path


def write_config(path: Path, model: Path, hangover_s: float = 0.5, more: str = "") -> None:
    path.write_text(f"model:\n  path: {model}\ndecision:\n  hangover_s: {hangover_s}\n{more}")


def renamed(model_path: Path, folder: Path) -> Path:
    """The same model under other names of its labels."""
    model = load_model(model_path)
    labels = tuple("background" if label == "background" else f"my_{label}" for label in model.labels)
    return_path = folder / "renamed.sgm"
    save_model(replace(model, classifier=replace(model.classifier, labels=labels)), return_path)
    return return_path


def outcome(manager: Manager) -> str:
    """How a reload ended: the status that it left."""
    messages = manager.until("READY=1")
    assert messages[0].startswith("RELOADING=1\nMONOTONIC_USEC=")
    return messages[-2]


OK = "STATUS=ok: audio flows from pcm:-"


def test_F3_D13_another_model_without_losing_a_sample(
    config: Path, demo_model: Path, demo_scene: Path, tmp_path: Path, manager: Manager
) -> None:
    options = ["-c", config, "-s", "pcm:-", "--windows", "-k", f"unix://{tmp_path}/s", "-k", "stdout:"]
    with running(*options, stdin=subprocess.PIPE, env=supervised_by(manager)) as daemon:
        speaker = Speaker(daemon, demo_scene)
        speaker.say(15)
        manager.until(OK)
        write_config(config, renamed(demo_model, tmp_path))
        daemon.signal(signal.SIGHUP)
        assert outcome(manager) == OK
        speaker.say(15)
        with subscribe(f"unix://{tmp_path}/s") as late:
            greeting = [json.loads(line) for line in late.read_lines(3)]
        daemon.stdin.close()
        records = parse(daemon.stdout.read())
        assert daemon.wait() == 0
    check_stream(records)
    assert records[-1]["captured_samples"] == records[-1]["analysed_samples"] == speaker.n_samples
    (model,) = [record for record in records if record["type"] == "model"]
    assert set(model["labels"]) & set(records[0]["labels"]) <= {"background"}
    assert greeting[0] == records[0]
    assert model in greeting
    for record in records:
        if record["type"] == "window":
            assert list(record["scores"]) == (records[0] if record["seq"] < model["seq"] else model)["labels"]


def test_C12_C13_C14_D12_hangups_while_files_are_written_and_bad(
    config: Path, demo_model: Path, demo_scene: Path, tmp_path: Path, manager: Manager
) -> None:
    options = ["-c", config, "-s", "pcm:-", "--windows"]
    with running(*options, stdin=subprocess.PIPE, env=supervised_by(manager)) as daemon:
        speaker = Speaker(daemon, demo_scene)
        speaker.say()
        manager.until(OK)
        for i in range(100):
            # In place and in two steps, as an editor does that knows no better.
            with config.open("w") as file:
                file.write(f"model:\n  path: {demo_model}\ndeci")
                file.flush()
                daemon.signal(signal.SIGHUP)
                speaker.say(1)
                file.write(f"sion:\n  hangover_s: {1 + i / 100}\n")
            time.sleep(0.008)  # a hundred within a second
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("config.reload_ok model=demo changed=decision.hangover_s")
        damaged = tmp_path / "damaged.sgm"
        damaged.write_bytes(demo_model.read_bytes()[:-1])
        bad = {
            "decison": lambda: write_config(config, demo_model, more="decison: {}\n"),
            "source.channel: needs restart": lambda: write_config(config, demo_model, more="source: {channel: 0}\n"),
            "damaged.sgm": lambda: write_config(config, damaged),
            "config.yaml: no such file": config.unlink,
        }
        time.sleep(0.3)  # the last of the hundred is answered
        assert len([m for m in manager.waiting() if m.startswith("RELOADING=1")]) <= 20
        for said, spoil in bad.items():
            spoil()
            daemon.signal(signal.SIGHUP)
            speaker.say()
            told = outcome(manager)
            assert told.startswith(f"{OK}; reload refused, the old settings go on: ")
            assert said in told
        write_config(config, demo_model)
        daemon.signal(signal.SIGHUP)
        assert outcome(manager) == OK
        daemon.stdin.close()
        records = parse(daemon.stdout.read())
        assert daemon.wait() == 0
    check_stream(records)
    assert not [record for record in records if record["type"] in ("gap", "model")]
    assert records[-1]["captured_samples"] == records[-1]["analysed_samples"] == speaker.n_samples
    # Three lines in a row at most, then one in ten seconds, however often it is asked.
    assert 1 <= daemon.log.count("config.reload_failed") <= 4
    assert "Traceback" not in daemon.log


AS_ORDINARY_USER = """
import codecs, importlib, os, pkgutil, resource, streamgmm
codecs.lookup("utf-8-sig")
# All of the program, which may lie, like the interpreter, where others cannot read it.
for module in pkgutil.walk_packages(streamgmm.__path__, "streamgmm."):
    # The kernel is a library without an interface to Python.
    if not module.name.endswith(("__main__", "._kernel")):
        importlib.import_module(module.name)
streamgmm.features.kernel.loader.find_kernel()
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
"""


def test_C18_reloads_that_cannot_reach_the_model_or_the_settings_are_refused(
    demo_model: Path, demo_scene: Path
) -> None:
    with shared_folder() as folder, contextlib.closing(Manager(folder)) as manager:
        (folder / "models").mkdir()
        model, settings = folder / "models" / "demo.sgm", folder / "config.yaml"
        shutil.copy(demo_model, model)
        write_config(settings, model)
        (folder / "round").symlink_to(folder / "round")
        (folder / "file").touch()
        Path(manager.address).chmod(0o777)
        bad: dict[str, Callable[[], object]] = {
            "permission denied": lambda: (folder / "models").chmod(0),
            "File name too long": lambda: write_config(settings, folder / ("n" * 300 + ".sgm")),
            "symbolic links": lambda: write_config(settings, folder / "round" / "demo.sgm"),
            "Not a directory": lambda: write_config(settings, folder / "file" / "demo.sgm"),
            "is a directory": lambda: write_config(settings, folder / "models"),
            "a symbolic link": lambda: write_config(settings, folder / "round"),
            f"{settings}: permission denied": lambda: settings.chmod(0),
        }
        options = {"preparation": AS_ORDINARY_USER, "stdin": subprocess.PIPE, "env": supervised_by(manager)}
        with running("-c", settings, "-s", "pcm:-", **options) as daemon:
            records = read_until(daemon, "hello")
            speaker = Speaker(daemon, demo_scene)
            speaker.say()
            manager.until(OK)
            for said, spoil in bad.items():
                spoil()
                daemon.signal(signal.SIGHUP)
                told = outcome(manager)
                assert told.startswith(f"{OK}; reload refused, the old settings go on: ")
                assert said in told
                settings.chmod(0o644)
                (folder / "models").chmod(0o755)
            write_config(settings, model, hangover_s=1.0)
            daemon.signal(signal.SIGHUP)
            assert outcome(manager) == OK
            speaker.say()
            daemon.stdin.close()
            records += parse(daemon.stdout.read())
            assert daemon.wait() == 0
    check_stream(records)
    assert records[-1]["captured_samples"] == records[-1]["analysed_samples"] == speaker.n_samples
    assert "Traceback" not in daemon.log


def test_settings_that_were_found_at_the_start_do_not_give_way_to_the_defaults(
    demo_model: Path, tmp_path: Path, manager: Manager
) -> None:
    settings = tmp_path / "home" / "streamgmm" / "config.yaml"
    settings.parent.mkdir(parents=True)
    write_config(settings, demo_model)
    env = supervised_by(manager, XDG_CONFIG_HOME=str(tmp_path / "home"))
    with running("-s", "pcm:-", stdin=subprocess.PIPE, env=env) as daemon:
        daemon.stdin.write(bytes(PIECE_BYTES))
        daemon.stdin.flush()
        manager.until(OK)
        settings.unlink()
        daemon.signal(signal.SIGHUP)
        assert outcome(manager) == f"{OK}; reload refused, the old settings go on: {settings}: no such file"
        daemon.terminate()


def test_F3_with_no_settings_and_no_terminal_it_goes_on(manager: Manager) -> None:
    env = {**supervised_by(manager), "HOME": "/nonexistent", "XDG_CONFIG_HOME": ""}
    with running("-s", "pcm:-", stdin=subprocess.PIPE, start_new_session=True, env=env) as daemon:
        read_until(daemon, "hello")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("config.reload_ok")
        assert manager.next() == "STATUS=starting"
        daemon.stdin.write(bytes(PIECE_BYTES))
        daemon.stdin.flush()
        manager.until(OK)
        for _ in range(2):
            daemon.signal(signal.SIGHUP)
            assert outcome(manager) == OK
        daemon.terminate()
    assert "changed=nothing" in daemon.log


def test_F1_sigterm_during_a_reload(config: Path, demo_model: Path, demo_scene: Path, manager: Manager) -> None:
    with running("-c", config, "-s", "pcm:-", stdin=subprocess.PIPE, env=supervised_by(manager)) as daemon:
        Speaker(daemon, demo_scene).say()
        manager.until(OK)
        write_config(config, demo_model, hangover_s=1.0)
        daemon.signal(signal.SIGHUP)
        manager.until("RELOADING=1")
        daemon.terminate()
        check_bye(parse(daemon.stdout.read())[-1], "SIGTERM")


# Inherited sockets


def test_E1_a_socket_that_was_there_before_serves_and_stays(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        require_or_skip("systemd", "systemd-socket-activate is not installed")
    path = tmp_path / "s"
    command: list[str | Path] = [activate, "-l", path, "-E", "PYTHONPATH"]
    command += [sys.executable, "-m", "streamgmm", "run", "-m", demo_model]
    command += ["-s", f"file:{demo_scene}", "--pace", "1", "-k", f"unix://{path}"]
    activator = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        # It is this connection that starts the program.
        with subscribe(f"unix://{path}") as client:
            assert json.loads(client.read_lines(1)[0])["type"] == "hello"
            started_s = time.monotonic()
            activator.terminate()
            assert json.loads(client.read_to_end().splitlines()[-1])["reason"] == "SIGTERM"
        _, errors = activator.communicate(timeout=TIMEOUT_S)
        assert time.monotonic() - started_s < STOP_LIMIT_S
    finally:
        activator.kill()
        activator.wait()
    assert activator.returncode == 0
    assert "Traceback" not in errors
    assert [found.name for found in tmp_path.iterdir() if found.name.startswith("s")] == ["s"]


# Bare places


def test_F20_one_warning_for_root_and_none_for_others(demo_model: Path, demo_scene: Path) -> None:
    errors = run("-m", demo_model, "-s", f"file:{demo_scene}").err
    assert errors.count("process.root") == (1 if os.geteuid() == 0 else 0)


BARE = """\
mkdir "$1/gone" && cd "$1/gone" && rmdir "$1/gone" || exit 99
while read -r _ place _; do mount -o remount,ro,bind "$place" 2>/dev/null; done < /proc/self/mounts
for place in / /tmp /var/tmp /dev/shm "$1" .; do
  if touch "$place/streamgmm-test" 2>/dev/null; then echo "$place can be written" >&2; exit 99; fi
done
shift
exec env -i "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_F19_nothing_writable_no_home_no_environment_no_working_directory(
    demo_model: Path, demo_scene: Path, tmp_path: Path
) -> None:
    program = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n{MAIN}"]
    arguments = ["run", "-m", demo_model, "-s", f"file:{demo_scene}", "--windows"]
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", BARE, "bare", tmp_path, *program, *map(str, arguments)],
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    records = parse(done.stdout)
    check_stream(records)
    assert records == run(*arguments[1:]).records
    assert "Traceback" not in done.stderr.decode()


MAIN = "from streamgmm.cli.main import main; sys.exit(main(sys.argv[1:]))"
