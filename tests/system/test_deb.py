"""The Debian package on a real systemd: installed, started, heard, removed and purged, in this order."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamgmm import __version__
from tests import pulse_rig
from tests.required import require_or_skip
from tests.sinks.sink_rig import Client
from tests.system.deb_rig import build_package, files_on
from tests.system.run_rig import frames_of, wait_until
from tests.system.systemd_rig import PROJECT, PULSE_ENV, SHARED, Machine, missing_parts

UNIT = "streamgmm.service"
CONFIG = "/etc/streamgmm/config.yaml"
PROGRAM = "/usr/bin/streamgmm"
RATE_HZ = 16000
PLAYED_S = (23.8, 25.3)  # of the demo scene: a doorbell
DROP_IN = f"""\
[Service]
Environment={" ".join(f"{key}={value}" for key, value in PULSE_ENV.items())}
"""

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_package(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def bare(
    package: Path, tmp_path_factory: pytest.TempPathFactory, demo_model: Path, demo_scene: Path
) -> Iterator[Machine]:
    """A booted system with a sound server, which sees the package but has not installed it."""
    if missing := [*missing_parts(), *pulse_rig.missing_parts()]:
        require_or_skip("systemd", f"missing {', '.join(missing)}")
    made = Machine(tmp_path_factory.mktemp("machine"))
    shutil.copy(package, made.shared / "streamgmm.deb")
    shutil.copy(demo_model, made.shared / "demo.sgm")
    pulse_rig.write_wav(made.shared / "played.wav", np.frombuffer(frames_of(demo_scene, *PLAYED_S), "<i2"), RATE_HZ)
    with contextlib.closing(made):
        try:
            made.boot()
        except RuntimeError as error:
            require_or_skip("systemd", f"it does not boot here: {error}")
        for folder in ("system", "user"):
            made.write(f"/etc/systemd/{folder}/{UNIT}.d/rig.conf", DROP_IN)
        made.run("systemctl", "start", "pulse")
        yield made


@pytest.fixture(scope="module")
def before(bare: Machine) -> set[str]:
    return files_on(bare)


@pytest.fixture(scope="module")
def machine(bare: Machine, before: set[str]) -> Machine:
    bare.run("apt-get", "install", "--quiet", "--yes", SHARED / "streamgmm.deb")
    return bare


def wait_until_it_hears(machine: Machine) -> None:
    wait_until(lambda: machine.show(UNIT, "StatusText").split(":")[0] in ("ok", "quiet", "silent"), "it hears nothing")


def test_nothing_listens_after_the_installation(machine: Machine) -> None:
    assert machine.show(UNIT, "ActiveState") == "inactive"
    assert machine.run("systemctl", "is-enabled", UNIT, is_checked=False).stdout.strip() == "disabled"
    assert machine.run("dpkg", "--audit").stdout == ""


def test_the_command_has_its_kernel_and_sees_no_other_python_library(machine: Machine) -> None:
    done = machine.run(PROGRAM, "--version", env={"PYTHONPATH": "/opt/source"})
    assert done.stdout.startswith(f"streamgmm {__version__} (kernel: ")
    assert "numpy" not in done.stdout
    planned = machine.run(PROGRAM, "service", "install", "--user", "--dry-run", env={"HOME": "/root"}).stdout
    assert "ExecStart=/usr/lib/streamgmm/bin/python3 -m streamgmm run" in planned


def test_it_trains_and_explains_too(machine: Machine) -> None:
    shown = machine.run(PROGRAM, "explain", SHARED / "played.wav", "--at", "1", "--model", SHARED / "demo.sgm").stdout
    assert "answer: doorbell" in shown
    assert "usage: streamgmm train" in machine.run(PROGRAM, "train", "--help").stdout
    program = "import sklearn.mixture, scipy.optimize, starlette, uvicorn, prometheus_client, paho.mqtt.client"
    machine.run("/usr/lib/streamgmm/bin/python3", "-I", "-c", program)


def test_the_unit_becomes_ready_and_reports_what_is_played(machine: Machine) -> None:
    machine.run("cp", SHARED / "demo.sgm", "/etc/streamgmm/demo.sgm")
    config = machine.outside(CONFIG)
    config.write_text(config.read_text() + "model: {path: /etc/streamgmm/demo.sgm}\n")
    machine.run("systemctl", "enable", "--now", UNIT)
    assert machine.show(UNIT, "ActiveState") == "active"
    wait_until_it_hears(machine)
    with Client(f"unix://{machine.outside('/run/streamgmm/events.sock')}") as client:
        machine.run("paplay", "--latency-msec=200", SHARED / "played.wav", env=PULSE_ENV)
        while (record := json.loads(client.read_lines(1)[0]))["type"] != "end":
            pass
    assert record["reason"] == "offset"
    assert record["duration_s"] > 0.2
    assert machine.run(PROGRAM, "status").stdout.startswith("state")


def test_a_user_installs_a_service_of_their_own_with_it(machine: Machine) -> None:
    machine.run("systemctl", "start", "user@0")
    env = {"XDG_RUNTIME_DIR": "/run/user/0", "HOME": "/root"}
    show = ("systemctl", "--user", "show", "--value", "-p")
    machine.run(PROGRAM, "service", "install", "--user", "--model", SHARED / "demo.sgm", env=env)
    try:
        assert "/usr/lib/streamgmm/bin/python3" in machine.run(*show, "ExecStart", UNIT, env=env).stdout
        assert machine.run(*show, "ActiveState", UNIT, env=env).stdout.strip() == "active"
    finally:
        machine.run(PROGRAM, "service", "uninstall", "--user", env=env)


def test_installed_again_it_restarts_and_keeps_changed_settings(machine: Machine) -> None:
    pid = machine.show(UNIT, "MainPID")
    machine.run("dpkg", "-i", SHARED / "streamgmm.deb")
    assert machine.show(UNIT, "MainPID") not in (pid, "0")
    wait_until_it_hears(machine)
    assert "demo.sgm" in machine.outside(CONFIG).read_text()


def test_removed_it_stops_and_leaves_settings_and_state(machine: Machine, before: set[str]) -> None:
    machine.run("dpkg", "--remove", "streamgmm")
    assert machine.show(UNIT, "ActiveState") == "inactive"
    assert machine.show(UNIT, "LoadState") == "not-found"
    left = files_on(machine) - before
    assert CONFIG in left
    assert {path for path in left if not path.startswith(("/etc/streamgmm", "/var/lib/"))} == set()


def test_purged_it_leaves_nothing_but_what_its_user_put_there(machine: Machine, before: set[str]) -> None:
    machine.run("dpkg", "--purge", "streamgmm")
    assert files_on(machine) - before == {"/etc/streamgmm", "/etc/streamgmm/demo.sgm"}
    assert before - files_on(machine) == set()


# Without a machine


def test_manual_and_completions_are_where_debian_looks_for_them(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    share, docs = tmp_path / "usr/share", PROJECT / "docs"
    manual = subprocess.check_output(["gzip", "-dc", share / "man/man1/streamgmm.1.gz"])
    assert manual == (docs / "streamgmm.1").read_bytes()
    bash, zsh = share / "bash-completion/completions/streamgmm", share / "zsh/vendor-completions/_streamgmm"
    assert bash.read_bytes() == (docs / "completions/streamgmm").read_bytes()
    assert zsh.read_bytes() == (docs / "completions/_streamgmm").read_bytes()
    assert "CC-BY" in (share / "doc/streamgmm/copyright").read_text().replace(" ", "-")


def test_no_file_names_the_folder_in_which_it_was_built(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-R", package, tmp_path], check=True)
    done = subprocess.run(
        ["grep", "-rlE", "/tmp/tmp\\.|/opt/streamgmm/bin", tmp_path], capture_output=True, check=False
    )
    names = {str(Path(name).relative_to(tmp_path)) for name in done.stdout.decode().splitlines()}
    assert {name for name in names if not name.startswith("usr/lib/streamgmm/lib/")} == set()
