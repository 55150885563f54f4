"""What `streamgmm service` would do; a real systemd does it in `tests/system/test_systemd.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from streamgmm.service import installation
from tests.cli.cli_rig import run_cli

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, where an interpreter has this package."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr("streamgmm.cli.service.check_installed", lambda: None)
    return tmp_path


def test_a_dry_run_tells_all_and_does_nothing(capsys: pytest.CaptureFixture[str], home: Path, demo_model: Path) -> None:
    told = run_cli(capsys, "service", "install", "--user", "--dry-run", "--model", demo_model)
    assert (told.code, told.err) == (0, "")
    assert f"would write {home}/.config/systemd/user/streamgmm.service:\n" in told.out
    assert f"would write {home}/.config/streamgmm/config.yaml:\n" in told.out
    run_line = f"ExecStart={sys.executable} -m streamgmm run --config {home}/.config/streamgmm/config.yaml"
    assert f"{run_line} --model {demo_model}\n" in told.out
    assert told.out.splitlines()[-1] == "would run: systemctl --user restart streamgmm.service"
    assert list(home.iterdir()) == []


def test_the_service_is_told_of_the_settings_that_the_variable_names(
    capsys: pytest.CaptureFixture[str], home: Path, demo_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "c.yaml").write_text("output: {format: text}")
    monkeypatch.setenv("STREAMGMM_CONFIG", str(home / "c.yaml"))
    told = run_cli(capsys, "service", "install", "--user", "--dry-run", "--model", demo_model)
    assert f"run --config {home}/c.yaml --model {demo_model}\n" in told.out
    assert "config.yaml" not in told.out
    monkeypatch.setenv("STREAMGMM_CONFIG", str(home / "none.yaml"))
    refused = run_cli(capsys, "service", "install", "--user", "--dry-run")
    assert (refused.code, "(named by STREAMGMM_CONFIG)" in refused.err) == (66, True)


def test_a_dry_run_of_the_end(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    unit = home / ".config" / "systemd" / "user" / "streamgmm.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(installation.MARK)
    told = run_cli(capsys, "service", "uninstall", "--user", "--dry-run")
    assert told.out.splitlines() == [
        "would run: systemctl --user disable --now streamgmm.service",
        f"would remove {unit}",
        "would run: systemctl --user daemon-reload",
    ]
    assert unit.exists()


def test_without_systemd(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(installation, "BOOTED", home / "missing")
    told = run_cli(capsys, "service", "install", "--user")
    assert (told.code, told.err.count("\n")) == (73, 1)
    assert "systemd does not run here" in told.err
    assert list(home.iterdir()) == []


def test_without_rights(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(installation, "BOOTED", home)
    monkeypatch.setattr(installation, "HIDDEN_BY", {})
    monkeypatch.setattr("streamgmm.cli.service.program_paths", list)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    told = run_cli(capsys, "service", "install")
    assert (told.code, told.err.count("\n")) == (77, 1)
    assert "use sudo, or --user" in told.err


def test_F19_a_program_in_a_home_directory(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamgmm.cli.service.program_paths", lambda: [Path("/home/ada/venv/bin/python3")])
    told = run_cli(capsys, "service", "install", "--dry-run")
    assert (told.code, told.out, told.err.count("\n")) == (78, "", 1)
    assert "/home/ada/venv/bin/python3: the service cannot see /home (ProtectHome); put " in told.err


@pytest.mark.parametrize(("option", "code"), [("--config", 66), ("--model", 66)])
def test_what_the_service_could_not_read(
    capsys: pytest.CaptureFixture[str], home: Path, option: str, code: int
) -> None:
    told = run_cli(capsys, "service", "install", "--user", option, home / "missing")
    assert (told.code, told.err.count("\n")) == (code, 1)


def test_settings_that_the_service_would_refuse(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (home / "bad.yaml").write_text("decison: {}\n")
    told = run_cli(capsys, "service", "install", "--user", "--config", home / "bad.yaml")
    assert told.code == 78
    assert "did you mean decision" in told.err
