"""User name and password of a stream or a broker, read from a separate file."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from streamgmm.errors import ConfigError
from streamgmm.files import path_status, read_regular_file

MAX_SECRET_BYTES = 1024

_OTHERS = 0o007
"""Permission bits for users other than the owner and the group."""


class Credentials:
    """User name and password; `repr` and log lines never contain them.

    Args:
        user: user name.
        password: password; may be empty.
    """

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password

    def __repr__(self) -> str:
        return "Credentials(...)"

    @property
    def user(self) -> str:
        """Return the user name."""
        return self._user

    @property
    def password(self) -> str:
        """Return the password, to be passed on to a library; it must never be shown."""
        return self._password

    def quoted(self) -> str:
        """Return `user:password`, percent-encoded for a URL."""
        return f"{quote(self._user, safe='')}:{quote(self._password, safe='')}"

    def hide_in(self, text: str, substitute: str) -> str:
        """Return `text` with `substitute` in place of the credentials and the password, plain or percent-encoded."""
        # The long forms first: with the password replaced alone, the user name would remain.
        for secret in (self.quoted(), f"{self._user}:{self._password}", quote(self._password, safe=""), self._password):
            text = text.replace(secret, substitute) if secret else text
        return text


def read_credentials(path: Path, setting: str = "source.secret_file") -> Credentials:
    """Read `user:password` from the only line of a file, which `setting` names.

    Raises:
        ConfigError: other users can access the file, or its content is not one such line.
        StreamgmmError: the file cannot be read (see `read_regular_file`).
    """
    line = read_secret(path, setting, MAX_SECRET_BYTES).rstrip("\r\n")
    user, colon, password = line.partition(":")
    if not user or not colon or not line.isprintable():
        raise _refusal(setting, path, "does not hold one line of the form user:password")
    return Credentials(user, password)


def read_secret(path: Path, setting: str, max_bytes: int) -> str:
    """Read a text that other users cannot access from a file, which `setting` names.

    Raises:
        ConfigError: other users can access the file, or it is not UTF-8.
        StreamgmmError: the file cannot be read (see `read_regular_file`).
    """
    content = read_regular_file(path, max_bytes)
    status = path_status(path)
    # On Windows, the mode does not reflect the access rights.
    if os.name == "posix" and status is not None and status.st_mode & _OTHERS:
        raise _refusal(setting, path, "any user of this machine can access it; chmod 640 or less")
    try:
        return content.decode()
    except UnicodeDecodeError:
        # `from None`, because the message of the error quotes a byte of the secret.
        raise _refusal(setting, path, "is not UTF-8") from None


def _refusal(setting: str, path: Path, problem: str) -> ConfigError:
    return ConfigError([f"{setting}: {problem}"], where=str(path))
