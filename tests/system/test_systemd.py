"""The units under a real systemd: installed by the program itself, in a machine that is booted for it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamgmm.service.installation import MARK
from tests import pulse_rig
from tests.required import require_or_skip
from tests.sinks.sink_rig import Client
from tests.system.run_rig import Json, frames_of, wait_until
from tests.system.systemd_rig import PROJECT, PULSE_ENV, PYTHON, SHARED, Machine, missing_parts

UNITS = PROJECT / "systemd"
RATE_HZ = 16000
PLAYED_S = (23.8, 25.3)  # of the demo scene: a doorbell
UNIT = "streamgmm.service"
EVENTS = "/run/streamgmm/events.sock"
SHARED_SOCKET = "/run/streamgmm.sock"
CONFIG = "/etc/streamgmm/config.yaml"
WATCHDOG_S = 2
FLOWING = ("ok", "quiet", "silent")
"""States of a service that hears: here nobody speaks for most of the time."""

# Beside the unit as it is shipped: where this machine has its microphone, and less patience.
DROP_IN = f"""\
[Service]
Environment={" ".join(f"{key}={value}" for key, value in PULSE_ENV.items())}
WatchdogSec={WATCHDOG_S}
RestartSec=0.1
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, demo_model: Path, demo_scene: Path) -> Iterator[Machine]:
    """A booted system with a sound server and this program, which was told to install itself as a service."""
    if missing := [*missing_parts(), *pulse_rig.missing_parts()]:
        require_or_skip("systemd", f"missing {', '.join(missing)}")
    made = Machine(tmp_path_factory.mktemp("machine"))
    shutil.copy(demo_model, made.shared / "demo.sgm")
    sounds = np.frombuffer(frames_of(demo_scene, *PLAYED_S), "<i2")
    pulse_rig.write_wav(made.shared / "played.wav", sounds, RATE_HZ)
    with contextlib.closing(made):
        try:
            made.boot()
        except RuntimeError as error:
            require_or_skip("systemd", f"it does not boot here: {error}")
        for name in (UNIT, f"user/{UNIT}"):
            made.write(f"/etc/systemd/{name.removesuffix(UNIT) or 'system/'}{UNIT}.d/rig.conf", DROP_IN)
        made.run("systemctl", "start", "pulse")
        made.installed = made.streamgmm("service", "install", "--model", SHARED / "demo.sgm").stdout
        yield made


@pytest.fixture
def service(machine: Machine) -> Machine:
    """The machine with its service running and hearing."""
    machine.run("systemctl", "start", "pulse", UNIT)
    wait_for_status(machine, *FLOWING)
    return machine


def wait_for_status(machine: Machine, *states: str) -> None:
    wait_until(lambda: machine.show(UNIT, "StatusText").split(":")[0] in states, f"never {states}")


def connect(machine: Machine, path: str = EVENTS) -> Client:
    return Client(f"unix://{machine.outside(path)}")


def read_until(client: Client, kind: str) -> Json:
    record: Json = {"type": None}
    while record["type"] != kind:
        record = json.loads(client.read_lines(1)[0])
    return record


def play(machine: Machine) -> None:
    machine.run("paplay", "--latency-msec=200", SHARED / "played.wav", env=PULSE_ENV)


def hears(machine: Machine, path: str = EVENTS) -> str:
    """What somebody who connects is told of a sound that is played now."""
    with connect(machine, path) as client:
        assert json.loads(client.read_lines(1)[0])["type"] == "hello"
        play(machine)
        return str(read_until(client, "end")["label"])


def main_pid(machine: Machine) -> str:
    return machine.show(UNIT, "MainPID")


def test_ready_and_what_is_played_is_in_the_journal_and_at_the_socket(service: Machine) -> None:
    assert service.show(UNIT, "ActiveState") == "active"
    assert "capture.state state=ok" in service.journal()
    label = hears(service)
    assert any(f"\tend\t{label}\t" in line for line in service.journal().splitlines())


def test_the_installation_says_what_state_the_unit_is_in(service: Machine) -> None:
    state, how, log = service.installed.splitlines()
    assert state.startswith("streamgmm.service is active (running): ")
    assert how == "it starts at every boot; to check it: streamgmm status"
    assert log == "its log and events: journalctl -fu streamgmm"


def test_settings_that_the_service_would_refuse_are_not_installed(service: Machine) -> None:
    before = service.outside(CONFIG).read_text()
    service.write(CONFIG, "decison: {}\n")
    done = service.streamgmm("service", "install", "--model", SHARED / "demo.sgm", is_checked=False)
    service.write(CONFIG, before)
    assert done.returncode == 78
    assert f"{CONFIG}:1:1" in done.stderr
    assert service.run("systemctl", "is-active", UNIT).stdout.strip() == "active"


def test_an_installation_that_does_not_start_says_why(service: Machine) -> None:
    before = service.outside(CONFIG).read_text()
    # Whether a file can be written is known only to the user of the service.
    service.write(CONFIG, "output: {sinks: ['file:///proc/heard.jsonl']}\n")
    done = service.streamgmm("service", "install", "--model", SHARED / "demo.sgm", is_checked=False)
    service.write(CONFIG, before)
    assert done.returncode == 73
    # It is started again after a while, as the reason may pass.
    assert done.stdout.splitlines()[0] == "streamgmm.service is activating (auto-restart), exit-code 73"
    service.run("systemctl", "restart", UNIT)


def test_the_status_as_root_as_a_stranger_and_as_a_member_of_the_group(service: Machine) -> None:
    command = [PYTHON, "-m", "streamgmm", "status"]
    root = service.streamgmm("status", is_checked=False)
    assert root.returncode in (0, 75), root.stderr
    nobody = ["setpriv", "--reuid=65534", "--regid=65534"]
    stranger = service.run(*nobody, "--clear-groups", *command, is_checked=False)
    assert (stranger.returncode, stranger.stderr.count("\n")) == (77, 1)
    assert "this user may not open the socket" in stranger.stderr
    member = service.run(*nobody, "--groups=audio", *command, is_checked=False)
    assert (member.returncode, member.stdout.split()[:1]) == (root.returncode, ["state"])
    service.run("systemctl", "stop", UNIT)
    assert service.streamgmm("status", is_checked=False).returncode == 69


# A worker that does not come back from its third stretch, in the process of the service alone.
HANGING_WORKER = """
import sys
if "run" in sys.argv or "run" in getattr(sys, "orig_argv", []):
    import importlib.abc, threading

    class Hang(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name != "streamgmm.service.daemon":
                return None
            sys.meta_path.remove(self)
            from streamgmm.service.worker import Worker
            records_of, seen = Worker._analyse, []

            def hang(worker, stretch, *hop):
                seen.append(stretch)
                if len(seen) == 3:
                    threading.Event().wait()
                return records_of(worker, stretch, *hop)

            Worker._analyse = hang
            return None

    sys.meta_path.insert(0, Hang())
"""


def test_F9_a_worker_that_hangs_is_noticed_and_the_service_started_again(service: Machine) -> None:
    (service.shared / "hanging").mkdir(exist_ok=True)
    (service.shared / "hanging" / "sitecustomize.py").write_text(HANGING_WORKER)
    drop_in = f"/etc/systemd/system/{UNIT}.d/hanging.conf"
    service.write(drop_in, f"[Service]\nEnvironment=PYTHONPATH={SHARED}/hanging\n")
    service.run("systemctl", "daemon-reload")
    service.run("systemctl", "restart", UNIT)
    pid, n_restarts = main_pid(service), int(service.show(UNIT, "NRestarts"))
    service.outside(drop_in).unlink()  # the next one is well
    service.run("systemctl", "daemon-reload")
    # The capture and the main thread go on all the time: only the worker has stopped.
    wait_until(lambda: int(service.show(UNIT, "NRestarts")) > n_restarts, "never restarted", timeout_s=60.0)
    wait_for_status(service, *FLOWING)
    assert main_pid(service) != pid
    said = service.journal()
    assert "watchdog.starved" in said
    assert "in hang" in said  # where it hung
    hears(service)


def test_F18_F24_nobody_without_rights_limits_or_a_core_dump(service: Machine) -> None:
    proc = service.outside(f"/proc/{main_pid(service)}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    assert int(status["Uid"].split()[0]) >= 61184  # systemd's range for users that come and go
    assert set(status["CapBnd"] + status["CapPrm"] + status["CapAmb"]) == {"0"}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    limits = (proc / "limits").read_text()
    assert limits.split("Max core file size")[1].split()[:2] == ["0", "0"]
    assert limits.split("Max open files")[1].split()[:2] == ["1024", "1024"]
    group = service.outside(f"/sys/fs/cgroup{service.show(UNIT, 'ControlGroup')}/cgroup.threads")
    assert len(group.read_text().split()) < int(service.show(UNIT, "TasksMax")) == 32
    # What ProtectSystem, ProtectHome and PrivateTmp leave of the disk.
    view = service.outside(f"/proc/{main_pid(service)}/root")
    assert list((view / "root").iterdir()) == list((view / "tmp").iterdir()) == []
    with pytest.raises(OSError, match="Read-only"):
        (view / "etc/x").touch()


def test_owner_and_group_of_the_socket(service: Machine) -> None:
    socket, directory = service.outside(EVENTS).stat(), service.outside(EVENTS).parent.stat()
    assert (stat.S_IMODE(socket.st_mode), stat.S_IMODE(directory.st_mode)) == (0o660, 0o750)
    audio = int(service.run("getent", "group", "audio").stdout.split(":")[2])
    assert socket.st_gid == directory.st_gid == audio
    assert socket.st_uid == directory.st_uid > 0


def test_F9_a_service_that_hangs_is_killed_and_started_anew(service: Machine) -> None:
    pid, n_restarts = main_pid(service), int(service.show(UNIT, "NRestarts"))
    stopped_s = time.monotonic()
    service.run("systemctl", "kill", "-s", "STOP", "--kill-whom=main", UNIT)
    wait_until(lambda: int(service.show(UNIT, "NRestarts")) > n_restarts, "never restarted")
    assert time.monotonic() - stopped_s > WATCHDOG_S / 2
    wait_for_status(service, *FLOWING)
    assert main_pid(service) != pid
    said = service.journal()
    assert "Watchdog timeout" in said
    assert "Fatal Python error: Aborted" in said
    hears(service)


def test_F9_A1_A2_A23_a_killed_sound_server_starves_no_watchdog_and_is_heard_when_it_is_back(service: Machine) -> None:
    pid = main_pid(service)
    with connect(service) as client:
        service.run("systemctl", "kill", "-s", "KILL", "pulse")
        lost_s = time.monotonic()
        assert read_until(client, "gap")["reason"] == "device_lost"
        assert time.monotonic() - lost_s < 3.0
        wait_for_status(service, "recovering", "lost", "stalled")
        time.sleep(2.0 * WATCHDOG_S)  # twice as long as a silent service is left alive
        assert main_pid(service) == pid
        service.run("systemctl", "start", "pulse")
        while read_until(client, "status")["state"] not in FLOWING:
            pass
    wait_for_status(service, *FLOWING)
    assert main_pid(service) == pid
    hears(service)


def test_A1_without_a_sound_server_it_is_ready_and_says_degraded(service: Machine) -> None:
    service.run("systemctl", "stop", "pulse")
    service.run("systemctl", "restart", UNIT)
    assert service.show(UNIT, "ActiveState") == "active"
    wait_for_status(service, "degraded")


def test_F3_C12_C14_reload(service: Machine) -> None:
    pid, before = main_pid(service), service.outside(CONFIG).read_text()
    changes = {
        "decision: {hangover_s: 1.0}\n": "config.reload_ok model=demo changed=decision.hangover_s",
        "decison: {}\n": "config.reload_failed reason=",
        "source: {channel: 0}\n": "; reload refused, the old settings go on: source.channel: needs restart",
    }
    with connect(service) as client:
        for change, said in changes.items():
            service.write(CONFIG, before + change)
            service.run("systemctl", "reload", UNIT)
            told = lambda said=said: said in service.journal() + service.show(UNIT, "StatusText")  # noqa: E731
            wait_until(told, f"never {said}")
        service.write(CONFIG, before)
        service.run("systemctl", "reload", UNIT)
        wait_until(lambda: "refused" not in service.show(UNIT, "StatusText"), "the refusal stays")
        wait_until(lambda: service.show(UNIT, "ActiveState") == "active", "never done with reloading")
        assert main_pid(service) == pid
        play(service)
        while (record := json.loads(client.read_lines(1)[0]))["type"] != "end":
            assert record["type"] not in ("gap", "bye", "model")


def test_settings_that_are_wrong_are_not_tried_again(service: Machine) -> None:
    before = service.outside(CONFIG).read_text()
    service.write(CONFIG, "decison: {}\n")
    n_restarts = service.show(UNIT, "NRestarts")
    service.run("systemctl", "restart", UNIT, is_checked=False)
    service.write(CONFIG, before)
    assert service.show(UNIT, "ActiveState") == "failed"
    assert (service.show(UNIT, "ExecMainStatus"), service.show(UNIT, "NRestarts")) == ("78", n_restarts)
    mistake = f"streamgmm: error: {CONFIG}:1:1: decison: unknown key"
    assert mistake in service.journal()
    assert mistake in service.run("journalctl", "-b", "-o", "cat", "-u", UNIT, "-p", "3..3").stdout


def test_F1_F6_stopped_killed_and_started(service: Machine) -> None:
    with connect(service) as client:
        started_s = time.monotonic()
        service.run("systemctl", "stop", UNIT)
        assert time.monotonic() - started_s < 2.5
        assert read_until(client, "bye")["reason"] == "SIGTERM"
    assert service.show(UNIT, "Result") == "success"
    assert not service.outside(EVENTS).parent.exists()
    service.run("systemctl", "start", UNIT)
    pid = main_pid(service)
    service.run("systemctl", "kill", "-s", "KILL", UNIT)
    wait_until(lambda: main_pid(service) not in (pid, "0"), "never restarted")
    wait_for_status(service, *FLOWING)
    hears(service)


def test_E1_a_socket_that_is_there_before_and_after_the_service(service: Machine) -> None:
    service.run("systemctl", "stop", UNIT)
    service.run("systemctl", "start", "streamgmm.socket")
    status = service.outside(SHARED_SOCKET).stat()
    assert stat.S_IMODE(status.st_mode) == 0o660
    # It is this connection that starts the service.
    with connect(service, SHARED_SOCKET) as client:
        assert json.loads(client.read_lines(1)[0])["type"] == "hello"
        # One that the settings name is served beside it.
        assert hears(service) == hears(service, SHARED_SOCKET)
        service.run("systemctl", "restart", UNIT)
        assert read_until(client, "bye")["reason"] == "SIGTERM"
    assert service.outside(SHARED_SOCKET).stat().st_ino == status.st_ino
    with connect(service, SHARED_SOCKET) as client:
        assert json.loads(client.read_lines(1)[0])["type"] == "hello"
    service.run("systemctl", "stop", "streamgmm.socket", UNIT)
    assert not service.outside(SHARED_SOCKET).exists()


def test_started_at_boot_without_anybodys_doing(service: Machine) -> None:
    service.reboot()
    assert service.show(UNIT, "ActiveState") == "active"
    # The sound server is not started at boot here: it waits for it.
    wait_for_status(service, "degraded")
    service.run("systemctl", "start", "pulse")
    wait_for_status(service, *FLOWING)
    assert service.show(UNIT, "NRestarts") == "0"


def test_a_service_of_a_user(machine: Machine) -> None:
    machine.run("systemctl", "start", "pulse", "user@0")
    env = {"XDG_RUNTIME_DIR": "/run/user/0", "HOME": "/root"}
    systemctl = ("systemctl", "--user")
    command = [PYTHON, "-m", "streamgmm", "service"]
    machine.run(*command, "install", "--user", "--model", SHARED / "demo.sgm", env=env)
    try:
        text = lambda: machine.run(*systemctl, "show", "--value", "-p", "StatusText", UNIT, env=env).stdout  # noqa: E731
        wait_until(lambda: text().split(":")[0] in FLOWING, f"never ok, but {text()}")
        assert hears(machine, "/run/user/0/streamgmm/events.sock")
        machine.run(*systemctl, "reload", UNIT, env=env)
        config = machine.outside(str(Path("~root/.config/streamgmm/config.yaml").expanduser()))
        assert config.exists()
    finally:
        machine.run(*command, "uninstall", "--user", env=env)
    assert not config.exists()
    assert machine.run(*systemctl, "is-active", UNIT, is_checked=False, env=env).stdout.strip() == "inactive"


def test_uninstall_removes_what_install_wrote_and_nothing_else(service: Machine) -> None:
    units, config = service.outside("/etc/systemd/system"), service.outside(CONFIG)
    service.write("/etc/streamgmm/mine.txt", "mine")
    config.write_text(before := config.read_text() + "# mine too\n")
    service.streamgmm("service", "uninstall")
    assert sorted(str(path.relative_to(units)) for path in units.rglob("*streamgmm*")) == [f"{UNIT}.d"]
    assert config.read_text() == before
    assert service.outside("/etc/streamgmm/mine.txt").exists()
    assert service.show(UNIT, "ActiveState") == "inactive"
    again = service.streamgmm("service", "uninstall", is_checked=False)
    assert (again.returncode, again.stderr.count("\n")) == (66, 1)
    config.unlink()
    service.streamgmm("service", "install", "--model", SHARED / "demo.sgm")
    service.streamgmm("service", "uninstall")
    assert not config.exists()


# Without a machine


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        require_or_skip("systemd", f"{name} is not installed")
    return found


def runnable(unit: Path, folder: Path) -> Path:
    """A copy of a unit whose program is there."""
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace("ExecStart=/opt/streamgmm/bin/streamgmm", "ExecStart=/bin/true"))
    return copy


@pytest.mark.parametrize("name", ["streamgmm.service", "streamgmm.socket", "user/streamgmm.service"])
def test_the_units_have_no_mistakes(name: str, tmp_path: Path) -> None:
    runnable(UNITS / "streamgmm.service", tmp_path)  # which the socket starts
    command = [tool("systemd-analyze"), "verify", "--man=no", *(["--user"] if "user" in name else [])]
    done = subprocess.run(
        [*command, runnable(UNITS / name, tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# As systemd/README.md tells to, for subscribers by TCP.
TCP = """\
PrivateNetwork=no
RestrictAddressFamilies=AF_INET AF_INET6
IPAddressAllow=localhost
[Install]"""


@pytest.mark.parametrize(("more", "max_exposure"), [("[Install]", 0.5), (TCP, 1.2)], ids=["unix", "tcp"])
def test_F24_the_exposure_is_small(more: str, max_exposure: float, tmp_path: Path) -> None:
    unit = runnable(UNITS / "streamgmm.service", tmp_path)
    unit.write_text(unit.read_text().replace("[Install]", more))
    command = [tool("systemd-analyze"), "security", "--offline=true", f"--threshold={round(10 * max_exposure)}"]
    done = subprocess.run([*command, unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_F18_F24_both_services_have_their_limits() -> None:
    for path in (UNITS / "streamgmm.service", UNITS / "user" / "streamgmm.service"):
        lines = path.read_text().splitlines()
        for line in ("LimitCORE=0", "TasksMax=32", "LimitNOFILE=1024", "WatchdogSec=30", "Type=notify"):
            assert lines.count(line) == 1, (path, line)
        assert not path.read_text().startswith(MARK)
