from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from streamgmm.errors import CannotCreateError, ConfigError, InputMissingError, PermissionDeniedError
from streamgmm.service import installation
from streamgmm.service.installation import (
    MARK,
    Plan,
    carry_out,
    check_installed,
    check_possible,
    check_reachable,
    config_text,
    plan_install,
    plan_uninstall,
    quote,
    shipped_unit,
    unit_text,
)
from streamgmm.service.place import SYSTEM, ServicePlace, installed_sockets, user_place
from streamgmm.settings.loading import load_config
from tests.other_user import closed_to_me, shared_folder

PROJECT = Path(__file__).parent.parent.parent
COMMAND = ["/opt/x/bin/python3", "-m", "streamgmm", "run"]


@pytest.fixture(params=[False, True], ids=["system", "user"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> ServicePlace:
    return ServicePlace(
        is_user=request.param,
        unit_directory=tmp_path / "units",
        config_path=tmp_path / "etc" / "config.yaml",
        runtime_directory=Path("/run/x"),
    )


def without_commands(plan: Plan) -> Plan:
    return plan._replace(before=[], after=[])


def install(place: ServicePlace, config: Path | None = None) -> None:
    carry_out(without_commands(plan_install(place, config, None, "/opt/x/bin/python3")))


def test_the_unit_is_the_shipped_one_but_for_its_program(place: ServicePlace) -> None:
    install(place)
    written = (place.unit_directory / "streamgmm.service").read_text()
    config = place.config_path
    shipped = (PROJECT / "systemd" / ("user" if place.is_user else "") / "streamgmm.service").read_text()
    assert written.startswith(MARK)
    differing = set(written.splitlines()) ^ set((MARK + shipped).splitlines())
    assert {line.split("=")[0] for line in differing} == {"ExecStart"}
    assert f"ExecStart=/opt/x/bin/python3 -m streamgmm run --config {config}\n" in written
    assert (place.unit_directory / "streamgmm.socket").exists() is not place.is_user


def test_the_settings_that_are_written_are_valid_and_name_its_own_socket(place: ServicePlace) -> None:
    install(place)
    assert load_config(place.config_path).config.output.sinks == ["unix:///run/x/events.sock", "stdout:"]
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in (place.config_path, *place.unit_directory.iterdir()))


def test_named_settings_and_model_are_used_where_they_are(place: ServicePlace, tmp_path: Path) -> None:
    plan = plan_install(place, tmp_path / "my config.yaml", Path("/srv/my.sgm"), "/p")
    text = plan.writes[place.unit_directory / "streamgmm.service"]
    assert f'ExecStart=/p -m streamgmm run --config "{tmp_path}/my config.yaml" --model /srv/my.sgm\n' in text
    assert place.config_path not in plan.writes


def test_its_manager_is_told(place: ServicePlace) -> None:
    user = ["--user"] if place.is_user else []
    assert plan_install(place, None, None).after == [
        ["systemctl", *user, "daemon-reload"],
        ["systemctl", *user, "enable", "streamgmm.service"],
        ["systemctl", *user, "restart", "streamgmm.service"],
    ]
    install(place)
    sockets = [] if place.is_user else ["streamgmm.socket"]
    plan = plan_uninstall(place)
    assert plan.before == [["systemctl", *user, "disable", "--now", "streamgmm.service", *sockets]]
    assert plan.after == [["systemctl", *user, "daemon-reload"]]


def test_uninstall_leaves_nothing_of_its_own(place: ServicePlace) -> None:
    install(place)
    carry_out(without_commands(plan_uninstall(place)))
    assert list(place.unit_directory.iterdir()) == list(place.config_path.parent.iterdir()) == []
    with pytest.raises(InputMissingError, match="no service is installed"):
        plan_uninstall(place)


def test_settings_of_the_owner_are_neither_overwritten_nor_removed(place: ServicePlace) -> None:
    place.config_path.parent.mkdir()
    place.config_path.write_text("decision: {hangover_s: 1}\n")
    install(place)
    carry_out(without_commands(plan_uninstall(place)))
    assert place.config_path.read_text() == "decision: {hangover_s: 1}\n"


def test_a_second_installation_takes_the_place_of_the_first(place: ServicePlace) -> None:
    install(place)
    text = (place.unit_directory / "streamgmm.service").read_text()
    install(place)
    assert (place.unit_directory / "streamgmm.service").read_text() == text


def test_a_unit_of_somebody_else_is_left_alone(place: ServicePlace) -> None:
    place.unit_directory.mkdir()
    unit = place.unit_directory / "streamgmm.service"
    unit.write_text("[Service]\n")
    for plan in (lambda: plan_install(place, None, None), lambda: plan_uninstall(place)):
        with pytest.raises(CannotCreateError, match="was not written by `streamgmm service install`"):
            plan()
    assert unit.read_text() == "[Service]\n"


def test_a_command_that_fails_is_an_error() -> None:
    with pytest.raises(CannotCreateError, match="false: failed"):
        carry_out(Plan([["false"]], {}, [], [["true"], ["false"]]))


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/opt/x/bin/python3", "/opt/x/bin/python3"),
        ("/my models/a.sgm", '"/my models/a.sgm"'),
        ("100%", '"100%%"'),
        ("$HOME", '"$$HOME"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("it's", '"it\'s"'),
        (";", '";"'),
    ],
)
def test_a_word_means_itself_in_a_unit(word: str, quoted: str) -> None:
    assert quote(word) == quoted


def test_a_word_that_would_end_its_line_is_refused() -> None:
    with pytest.raises(ConfigError, match="control characters"):
        unit_text("streamgmm.service", [*COMMAND, "x\nExecStartPre=/bin/evil"], is_user=False)


def test_the_place_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    place = user_place()
    assert str(place.unit_directory) == "/home/ada/.config/systemd/user"
    assert "unix:///run/user/7/streamgmm/events.sock" in config_text(place)
    monkeypatch.delenv("HOME")
    with pytest.raises(InputMissingError, match="HOME"):
        user_place()


def test_only_root_installs_for_the_system(
    monkeypatch: pytest.MonkeyPatch, place: ServicePlace, tmp_path: Path
) -> None:
    monkeypatch.setattr(installation, "BOOTED", tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    if place.is_user:
        check_possible(place)
        return
    with pytest.raises(PermissionDeniedError, match="sudo, or --user"):
        check_possible(place)


def test_without_systemd_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch, place: ServicePlace, tmp_path: Path
) -> None:
    monkeypatch.setattr(installation, "BOOTED", tmp_path / "missing")
    with pytest.raises(CannotCreateError, match="systemd does not run here"):
        check_possible(place)


def test_F19_what_the_service_of_the_system_could_not_see_is_refused(tmp_path: Path) -> None:
    link = Path("/usr/bin/env")
    check_reachable([link])
    with pytest.raises(ConfigError) as caught:
        check_reachable([Path("/home/ada/venv/bin/python3"), link, Path("/root", "my.sgm"), Path("/tmp/x")])
    for problem, setting in zip(caught.value.problems, ["ProtectHome", "ProtectHome", "PrivateTmp"], strict=True):
        assert f"({setting})" in problem
        assert "python3 -m venv /opt/streamgmm" in problem


def test_F19_what_the_service_of_the_system_may_not_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "HIDDEN_BY", {})
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "my.sgm").write_text("")
    (folder / "my.sgm").chmod(0o600)
    with pytest.raises(ConfigError, match=rf"may not read {folder}/my.sgm"):
        check_reachable([folder / "my.sgm"])
    folder.chmod(0o700)
    (folder / "my.sgm").chmod(0o644)
    with pytest.raises(ConfigError, match=rf"may not read {folder};"):
        check_reachable([folder / "my.sgm"])


def test_an_interpreter_without_the_package_is_refused() -> None:
    with pytest.raises(ConfigError, match="not installed there"):
        check_installed("/bin/false")
    check_installed("/bin/true")


def test_the_wheel_has_the_units(tmp_path: Path) -> None:
    if find_spec("setuptools") is None:
        pytest.skip("no setuptools to build it with")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "streamgmm", tmp_path / "streamgmm", symlinks=True, ignore=ignored)
    shutil.copytree(PROJECT / "systemd", tmp_path / "systemd")
    build = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build_py", "--build-lib", "built"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    folder = tmp_path / "built" / "streamgmm" / "service" / "systemd"
    assert not folder.is_symlink()
    for name, is_user in (("streamgmm.service", False), ("streamgmm.socket", False), ("streamgmm.service", True)):
        found = folder / ("user" if is_user else "") / name
        assert found.read_text() == shipped_unit(name, is_user=is_user)


# Where a service may be asked


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def service_of_the_system_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ServicePlace:
    made = SYSTEM._replace(unit_directory=folder / "units", runtime_directory=folder / "run")
    monkeypatch.setattr("streamgmm.service.place.SYSTEM", made)
    return made


def test_no_service_has_a_socket(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service_of_the_system_below(home / "system", monkeypatch)
    assert installed_sockets() == []


def test_a_socket_that_is_there_comes_before_one_that_should_be(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, own = service_of_the_system_below(home / "system", monkeypatch), user_place()
    own.unit_directory.mkdir(parents=True)
    (own.unit_directory / "streamgmm.service").touch()
    assert installed_sockets() == [f"unix://{own.socket}"]
    system.runtime_directory.mkdir(parents=True)
    with socket.create_server(str(system.socket), family=socket.AF_UNIX):
        assert installed_sockets() == [f"unix://{system.socket}", f"unix://{own.socket}"]


def test_a_socket_in_a_directory_that_may_not_be_entered_may_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with shared_folder() as folder:
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        system = service_of_the_system_below(folder, monkeypatch)
        system.runtime_directory.mkdir()
        with closed_to_me(system.runtime_directory):
            assert installed_sockets() == [f"unix://{system.socket}"]
