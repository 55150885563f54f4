"""Install and remove the systemd units of the service: files to write, commands to run, and checks before both."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import streamgmm
from streamgmm.errors import CannotCreateError, ConfigError, InputMissingError, PermissionDeniedError
from streamgmm.files import path_kind, path_status
from streamgmm.service.place import SERVICE, ServicePlace

MARK = "# Written by `streamgmm service install`; `streamgmm service uninstall` removes it.\n"
"""First line of every unit file that an installation writes; a file without it was written by someone else."""

BOOTED = Path("/run/systemd/system")
"""Directory that exists only if systemd booted the system (sd_booted(3))."""

HIDDEN_BY = {
    "/home": "ProtectHome",
    "/root": "ProtectHome",
    "/run/user": "ProtectHome",
    "/tmp": "PrivateTmp",
    "/var/tmp": "PrivateTmp",
}
"""Directories that the system unit cannot see, and the unit setting that hides each (systemd.exec(5))."""

_CONFIG = """\
# All settings: `streamgmm config show`. After a change: {reload}
output:
  sinks: ["unix://{socket}", "stdout:"] # stdout is the journal
  format: text
"""


class Plan(NamedTuple):
    """Steps of an installation or removal, in the order of the attributes.

    Attributes:
        before: commands to run first; failures are ignored.
        writes: content of each file to write.
        removals: files to remove.
        after: commands to run at the end; the first that fails aborts the plan.
    """

    before: list[list[str]]
    writes: dict[Path, str]
    removals: list[Path]
    after: list[list[str]]


def plan_install(place: ServicePlace, config: Path | None, model: Path | None, python: str = sys.executable) -> Plan:
    """Plan the installation of a service that runs this copy of the program.

    Args:
        place: files of the system's service, or of a user's.
        config: settings file of the service; None uses the one in `place`, which is created if missing.
        model: model file of the service; None uses the one that the settings name.
        python: interpreter that runs the service.

    Raises:
        CannotCreateError: a unit of that name exists and was not written by `streamgmm service install`.
    """
    for path in unit_paths(place):
        refuse_foreign(path)
    # Absolute paths, because a service starts in another directory.
    words = [python, "-m", "streamgmm", "run", "--config", str((config or place.config_path).absolute())]
    words += ["--model", str(model.absolute())] if model else []
    writes = {path: unit_text(path.name, words, is_user=place.is_user) for path in unit_paths(place)}
    if config is None and path_kind(place.config_path) == "nothing":
        writes[place.config_path] = config_text(place)
    # Not `start`, which would leave a running service with its old command.
    after = [[*place.systemctl, *words] for words in (["daemon-reload"], ["enable", SERVICE], ["restart", SERVICE])]
    return Plan([], writes, [], after)


def plan_uninstall(place: ServicePlace) -> Plan:
    """Plan the removal of everything that was installed; settings that were changed since are kept.

    Raises:
        InputMissingError: nothing is installed.
        CannotCreateError: a unit exists that was not written by `streamgmm service install`.
    """
    present = [path for path in unit_paths(place) if path_kind(path) != "nothing"]
    if not present:
        raise InputMissingError("no service is installed there", where=str(place.unit_directory / SERVICE))
    for path in present:
        refuse_foreign(path)
    removals = list(present)
    if _content(place.config_path) == config_text(place):
        removals.append(place.config_path)
    names = [path.name for path in present]
    return Plan([[*place.systemctl, "disable", "--now", *names]], {}, removals, [[*place.systemctl, "daemon-reload"]])


class UnitState(NamedTuple):
    """State of a unit as systemd reports it (systemctl(1), `show`).

    Attributes:
        active: ActiveState, e.g. `active`, `activating`, `failed`; empty if systemd does not answer.
        sub: SubState, e.g. `running`, `auto-restart`.
        result: Result, e.g. `success`, `exit-code`, `timeout`.
        exit_status: ExecMainStatus, the exit code or signal of its last process.
        status_text: StatusText, the status line that the service itself sent.
    """

    active: str
    sub: str
    result: str
    exit_status: str
    status_text: str

    def __str__(self) -> str:
        line = f"{self.active} ({self.sub})" if self.active else "in a state that systemd does not tell"
        if self.result not in ("", "success"):
            line += f", {self.result} {self.exit_status}"
        return f"{line}: {self.status_text}" if self.status_text else line


# In the order of the attributes of `UnitState`.
_PROPERTIES = ("ActiveState", "SubState", "Result", "ExecMainStatus", "StatusText")


def ask_unit_state(place: ServicePlace) -> UnitState:
    """Query systemd for the state of the service in `place`."""
    command = [*place.systemctl, "show", "--property", ",".join(_PROPERTIES), SERVICE]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        answer = ""
    values = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    return UnitState(*(values.get(name, "") for name in _PROPERTIES))


def carry_out(plan: Plan) -> None:
    """Execute a plan.

    Raises:
        CannotCreateError: a command of `plan.after` failed.
        OSError: a file could not be written or removed.
    """
    for command in plan.before:
        subprocess.run(command, check=False)
    for path, content in plan.writes.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        path.chmod(0o644)  # whatever the umask: the service runs as another user than the one who installs it
    for path in plan.removals:
        path.unlink()
    for command in plan.after:
        if subprocess.run(command, check=False).returncode != 0:
            raise CannotCreateError("failed; see `systemctl status` and `journalctl`", where=" ".join(command))


def check_possible(place: ServicePlace) -> None:
    """Check that a service can be installed in or removed from `place`.

    Raises:
        CannotCreateError: systemd does not run this system.
        PermissionDeniedError: the service of the system was requested by another user than root.
    """
    if path_kind(BOOTED) != "folder":
        raise CannotCreateError("systemd does not run here", hint="start `streamgmm run` by what does")
    if not place.is_user and os.geteuid() != 0:
        raise PermissionDeniedError(
            "only root may install a service of the system", hint="use sudo, or --user for a service of your own"
        )


def check_reachable(paths: Sequence[Path]) -> None:
    """Check that the service of the system, an unprivileged user without a home directory, can read `paths`.

    Raises:
        ConfigError: lists every path that it cannot read, with the reason.
    """
    problems = [problem for path in paths if (problem := _obstacle(path))]
    if problems:
        raise ConfigError(problems)


def _obstacle(path: Path) -> str:
    real = Path(os.path.realpath(path))
    for directory, setting in HIDDEN_BY.items():
        # A link may lead into a hidden directory, or out of one.
        for seen in (path.absolute(), real):
            if seen.is_relative_to(directory):
                return f"{path}: the service cannot see {directory} ({setting}); {_ADVICE}"
    for part in (real, *real.parents):
        status = path_status(part)
        if status is None:
            return f"{path}: there is no {part}"
        is_folder = stat.S_ISDIR(status.st_mode)
        # Permissions of others, as the service user owns none of it: search for parents, read for the path itself.
        wanted = 0o5 if is_folder and part == real else 0o1 if is_folder else 0o4
        if status.st_mode & wanted != wanted:
            return f"{path}: the service may not read {part}; {_ADVICE}"
    return ""


_ADVICE = (
    "put settings and model into /etc/streamgmm and the program into a place for all, "
    "e.g. `python3 -m venv /opt/streamgmm`, or use --user"
)


def program_paths() -> list[Path]:
    """Return the paths that the service must be able to read: the interpreter, its library and this package."""
    return [Path(sys.executable), Path(sys.base_prefix), Path(streamgmm.__file__).parent]


def check_installed(python: str = sys.executable) -> None:
    """Check that `python` can import this package from any directory, e.g. not only from a source checkout.

    Raises:
        ConfigError: the package is not installed for that interpreter.
    """
    # With -P and without PYTHONPATH, neither the current directory nor the environment makes the package importable.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [python, "-P", "-c", "import streamgmm"]
    if subprocess.run(command, env=environ, cwd="/", capture_output=True, check=False).returncode != 0:
        raise ConfigError([f"{python}: streamgmm is not installed there; `{python} -m pip install .` does that"])


def unit_paths(place: ServicePlace) -> list[Path]:
    """Return the paths of the unit files in `place`."""
    return [place.unit_directory / name for name in place.unit_names]


def unit_text(name: str, words: Sequence[str], *, is_user: bool) -> str:
    """Return the text of the packaged unit `name`, with `words` as the command that it starts."""
    text = shipped_unit(name, is_user=is_user)
    command = "ExecStart=" + " ".join(map(quote, words))
    return MARK + "\n".join(command if line.startswith("ExecStart=") else line for line in text.split("\n"))


def shipped_unit(name: str, *, is_user: bool) -> str:
    """Return the text of the packaged unit `name`, unchanged."""
    folder = files("streamgmm.service") / "systemd"
    return (folder / "user" / name if is_user else folder / name).read_text(encoding="utf-8")


def config_text(place: ServicePlace) -> str:
    """Return the text of the initial settings file of an installation."""
    return _CONFIG.format(reload=" ".join([*place.systemctl, "reload", "streamgmm"]), socket=place.socket)


def quote(word: str) -> str:
    """Quote `word` for the command line of a unit file, without any expansion (systemd.service(5), command lines).

    Raises:
        ConfigError: `word` contains a control character.
    """
    if not word.isprintable():
        raise ConfigError([f"{word!r}: a unit cannot name a path with control characters; rename it"])
    # Quotes do not prevent the expansion of specifiers (%) and variables ($); both are escaped by doubling.
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    is_plain = escaped == word and not set(word) & set(" ';")
    return word if is_plain else f'"{escaped}"'


def refuse_foreign(path: Path) -> None:
    """Reject a file that was not written by `streamgmm service install`.

    Raises:
        CannotCreateError: `path` exists and does not begin with `MARK`.
    """
    if path_kind(path) != "nothing" and not (_content(path) or "").startswith(MARK):
        raise CannotCreateError(
            "is there and was not written by `streamgmm service install`", where=str(path), hint="move it away"
        )


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        # A file that cannot be read as text was not written by an installation.
        return None
