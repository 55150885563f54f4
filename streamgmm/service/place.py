"""File locations of the system's service and of a user's."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from streamgmm.errors import InputMissingError, PermissionDeniedError
from streamgmm.files import PathKind, path_kind

SERVICE = "streamgmm.service"
SOCKET = "streamgmm.socket"


class ServicePlace(NamedTuple):
    """File locations of the service of the system, or of a user.

    Attributes:
        is_user: whether the service is a user's.
        unit_directory: directory of the unit files.
        config_path: settings file that is used if none is named.
        runtime_directory: directory of the socket.
    """

    is_user: bool
    unit_directory: Path
    config_path: Path
    runtime_directory: Path

    @property
    def socket(self) -> Path:
        """Default path of the socket for subscribers."""
        return self.runtime_directory / "events.sock"

    @property
    def systemctl(self) -> list[str]:
        """Command that controls the service manager."""
        return ["systemctl", "--user"] if self.is_user else ["systemctl"]

    @property
    def unit_names(self) -> list[str]:
        """Names of the units to install; a user's own programs need no socket unit to subscribe."""
        return [SERVICE] if self.is_user else [SERVICE, SOCKET]


SYSTEM = ServicePlace(
    is_user=False,
    unit_directory=Path("/etc/systemd/system"),
    config_path=Path("/etc/streamgmm/config.yaml"),
    runtime_directory=Path("/run/streamgmm"),
)


def user_place() -> ServicePlace:
    """Return the file locations of the current user's service.

    Raises:
        InputMissingError: the environment names no home directory.
    """
    home = os.environ.get("HOME")
    # An empty variable counts as unset (XDG Base Directory Specification).
    config_home = os.environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
    if config_home is None:
        raise InputMissingError("HOME is not set, so there is no place for a user's units")
    # Not set outside of a login session, e.g. under sudo.
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return ServicePlace(
        is_user=True,
        unit_directory=Path(config_home) / "systemd" / "user",
        config_path=Path(config_home) / "streamgmm" / "config.yaml",
        runtime_directory=Path(runtime) / "streamgmm",
    )


def installed_sockets() -> list[str]:
    """Return `unix://PATH` of the services of this user and of the system: existing sockets, then expected ones.

    A socket in a directory that this user may not enter counts as existing.
    """
    places = [SYSTEM]
    with suppress(InputMissingError):
        places.insert(0, user_place())
    # The user's own service first, if both exist.
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
