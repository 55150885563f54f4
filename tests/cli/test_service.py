"""What `streamgmm service` would do; a real systemd does it in `tests/system/test_systemd.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from streamgmm.service import installation
from tests.cli.cli_rig import Outcome, run_cli

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


def install(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Try to install a service of the user; whatever is refused is refused before anything is written."""
    return run_cli(capsys, "service", "install", "--user", *arguments)


def test_the_settings_in_the_place_of_the_service_are_checked(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    path = home / "xdg" / "streamgmm" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("decison: {}\n")
    refused = install(capsys)
    assert (refused.code, f"{path}:1:1: " in refused.err, "did you mean decision" in refused.err) == (78, True, True)
    assert not (home / "xdg" / "systemd").exists()


def test_the_settings_in_the_place_are_not_those_that_are_used_if_others_are_named(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    path = home / ".config" / "streamgmm" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("decison: {}\n")
    (home / "c.yaml").write_text("output: {format: text}\n")
    assert install(capsys, "--dry-run", "--config", home / "c.yaml").code == 0


@pytest.mark.parametrize(
    "settings",
    [
        "model: {path: /nonexistent.sgm}",
        "sources: {kitchen: {uri: mic, model: /nonexistent.sgm}}",
        "sources: {a: 'file:/nonexistent.wav', b: mic}",
    ],
)
def test_files_that_the_settings_name_are_looked_for(
    capsys: pytest.CaptureFixture[str], home: Path, settings: str
) -> None:
    (home / "c.yaml").write_text(settings)
    refused = install(capsys, "--config", home / "c.yaml")
    assert (refused.code, "/nonexistent" in refused.err) == (66, True)
    assert not (home / ".config").exists()


def test_a_model_that_is_given_replaces_that_of_the_settings(
    capsys: pytest.CaptureFixture[str], home: Path, demo_model: Path
) -> None:
    (home / "c.yaml").write_text("model: {path: /nonexistent.sgm}")
    assert install(capsys, "--dry-run", "--config", home / "c.yaml", "--model", demo_model).code == 0


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("model: {path: m.sgm}", "model.path: m.sgm"),
        ("sources: {kitchen: {uri: mic, model: m.sgm}}", "sources.kitchen.model: m.sgm"),
        ("source: {uri: 'file:a.wav'}", "source.uri: file:a.wav"),
        ("source: {uri: 'pcm+unix://a.sock'}", "source.uri: pcm+unix://a.sock"),
        ("output: {sinks: ['stdout:', 'file://rel']}", "output.sinks[1]: file://rel"),
        ("output: {sinks: ['unix://rel.sock']}", "output.sinks[0]: unix://rel.sock"),
        ("output: {sinks: [{uri: 'exec:./notify $LABEL'}]}", "output.sinks[0].uri: exec:./notify $LABEL"),
        ("output: {token_file: token}", "output.token_file: token"),
        ("clips: {directory: heard}", "clips.directory: heard"),
    ],
)
def test_a_path_that_depends_on_the_directory_is_refused(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch, settings: str, key: str
) -> None:
    monkeypatch.chdir(home)
    (home / "c.yaml").write_text(settings)
    refused = install(capsys, "--config", "c.yaml")
    assert (refused.code, refused.err.count("\n")) == (78, 1), refused.err
    assert " c.yaml:1:" in refused.err
    assert f"{key} is relative to the current directory; write the whole path, here {home}/" in refused.err
    assert not (home / ".config").exists()


def test_whole_paths_and_addresses_without_a_path_are_accepted(
    capsys: pytest.CaptureFixture[str], home: Path, demo_model: Path
) -> None:
    sinks = f"['stdout:', 'file://{home}/log', 'exec:true', 'tcp://127.0.0.1:7000', 'unix://~/s.sock']"
    text = f"source: {{uri: 'mic:USB'}}\nmodel: {{path: {demo_model}}}\noutput: {{sinks: {sinks}}}\n"
    (home / "c.yaml").write_text(text)
    accepted = install(capsys, "--dry-run", "--config", home / "c.yaml")
    assert (accepted.code, accepted.err) == (0, "")


def test_F19_a_model_that_the_settings_name_in_a_directory_that_the_service_cannot_see(
    capsys: pytest.CaptureFixture[str], home: Path, demo_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "c.yaml").write_text(f"model: {{path: {demo_model}}}")
    monkeypatch.setattr("streamgmm.cli.service.program_paths", list)
    monkeypatch.setattr(installation, "HIDDEN_BY", {str(demo_model.parent): "ProtectHome"})
    refused = run_cli(capsys, "service", "install", "--dry-run", "--config", home / "c.yaml")
    assert (refused.code, f"{demo_model}: the service cannot see" in refused.err) == (78, True)
