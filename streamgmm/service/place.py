"""Where the services of the system and of a user have their files."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from streamgmm.errors import InputMissingError, PermissionDeniedError
from streamgmm.files import PathKind, path_kind

SERVICE = "streamgmm.service"
SOCKET = "streamgmm.socket"


class Place(NamedTuple):
    """Where the service of the system, or of a user, has its files.

    Attributes:
        is_user: whether it is a user's.
        unit_directory: of the unit files.
        config_path: settings that it has if none are named.
        runtime_directory: of its socket.
    """

    is_user: bool
    unit_directory: Path
    config_path: Path
    runtime_directory: Path

    @property
    def socket(self) -> Path:
        """Where it serves its subscribers, unless its settings say otherwise."""
        return self.runtime_directory / "events.sock"

    @property
    def systemctl(self) -> list[str]:
        """The command that speaks to its manager."""
        return ["systemctl", "--user"] if self.is_user else ["systemctl"]

    @property
    def unit_names(self) -> list[str]:
        """What is installed there; a user's subscribers are the user's own programs, which need no socket unit."""
        return [SERVICE] if self.is_user else [SERVICE, SOCKET]


SYSTEM = Place(
    is_user=False,
    unit_directory=Path("/etc/systemd/system"),
    config_path=Path("/etc/streamgmm/config.yaml"),
    runtime_directory=Path("/run/streamgmm"),
)


def user_place() -> Place:
    """That of the user who asks.

    Raises:
        InputMissingError: there is no home directory.
    """
    home = os.environ.get("HOME")
    config_home = os.environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
    if config_home is None:
        raise InputMissingError("HOME is not set, so there is no place for a user's units")
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return Place(
        is_user=True,
        unit_directory=Path(config_home) / "systemd" / "user",
        config_path=Path(config_home) / "streamgmm" / "config.yaml",
        runtime_directory=Path(runtime) / "streamgmm",
    )


def installed_sockets() -> list[str]:
    """`unix://PATH` of the services of this user and of the machine: those that are there, then those that should be.

    One in a directory that this user may not enter may be there.
    """
    places = [SYSTEM]
    with suppress(InputMissingError):
        places.insert(0, user_place())
    present = [place for place in places if _may_be_at(place.socket, "socket")]
    expected = [place for place in places if _may_be_at(place.unit_directory / SERVICE, "file")]
    return [f"unix://{place.socket}" for place in dict.fromkeys([*present, *expected])]


def _may_be_at(path: Path, kind: PathKind) -> bool:
    try:
        return path_kind(path) == kind
    except PermissionDeniedError:
        return True
    except InputMissingError:
        return False
