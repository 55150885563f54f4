"""Stream URLs, and their redacted form without user, password and query values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from streamgmm.errors import UsageError
from streamgmm.wording import escaped

HIDDEN = "…"
"""Placeholder for secret parts of a URL."""

MAX_CHARACTERS = 4096
"""Longest URL: the script for FFmpeg that contains it must fit into a pipe."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>.*)", re.DOTALL
)
_URL_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]+")
_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]{0,5})?")


class Url(NamedTuple):
    """Parts of a URL, split like FFmpeg does, so that `with_user` can join them again.

    Attributes:
        scheme: scheme in lower case, without `://`.
        user: user and password with `@`; empty if there are none.
        query: query with `?`, and the fragment.
    """

    scheme: str
    user: str
    host: str
    path: str
    query: str

    @property
    def has_valid_port(self) -> bool:
        """Return whether the host has a valid port or none; otherwise, a password with a slash may have been split."""
        return _PORT.fullmatch(self.host) is not None

    def with_user(self, user: str) -> str:
        """Return the whole URL with `user`, a percent-encoded `user:password`; without `@` if it is empty."""
        return f"{self.scheme}://{user}{'@' if user else ''}{self.host}{self.path}{self.query}"

    def __str__(self) -> str:
        """Return the redacted URL."""
        host = self.host if self.has_valid_port else HIDDEN
        # An `@` after the host may be the end of a password that contains a slash.
        path = f"/{HIDDEN}" if "@" in self.path or not self.has_valid_port else self.path
        return f"{self.scheme}://{host}{path}{_hide_values(self.query)}"


def parse_url(text: str) -> Url | None:
    """Split a URL into its parts; None if `text` does not begin with `scheme://`."""
    match = _URL.fullmatch(text)
    if match is None:
        return None
    # The last `@` ends the user: a password may contain others.
    user, at, host = match["authority"].rpartition("@")
    return Url(match["scheme"].lower(), user + at, host, match["path"], match["query"])


def without_secrets(text: str) -> str:
    """Return `text` with every URL in it redacted."""
    return _URL_IN_TEXT.sub(lambda match: str(parse_url(match[0])), text)


def _hide_values(query: str) -> str:
    """Replace the values in a query and keep the names; a part without `=` counts as a value."""
    if not query.startswith("?"):
        return ""
    parts = query[1:].partition("#")[0].split("&")
    return "?" + "&".join(f"{part.partition('=')[0]}={HIDDEN}" if "=" in part else HIDDEN for part in parts)


def parse_place(place: str) -> Url | Path:
    """Parse what follows `ffmpeg:`: the URL of a stream, or the path of a file.

    Raises:
        UsageError: the text is too long or not printable, or the URL contains a user or a password.
    """
    url = parse_url(place)
    shown = f"ffmpeg:{place if url is None else url}"
    if not place.isprintable() or len(place) > MAX_CHARACTERS:
        hint = "encode other characters as %XX"
        raise UsageError(f"is longer than {MAX_CHARACTERS} characters or not printable", where=shown, hint=hint)
    if url is None or url.scheme == "file":
        return Path(place if url is None else url.host + url.path + url.query)
    # An invalid port may be the beginning of a password that contains a slash.
    if url.user or not url.has_valid_port:
        hint = "put user:password into a file and name it by source.secret_file"
        raise UsageError("the URL must not contain a user or a password", where=shown, hint=hint)
    # The script for FFmpeg quotes the URL in single quotes.
    return url._replace(path=url.path.replace(" ", "%20").replace("'", "%27"), query=url.query.replace("'", "%27"))


def name_of(place: Url | Path) -> str:
    """Return the name of the source in records, without user, password and query values."""
    return f"ffmpeg:{place if isinstance(place, Url) else escaped(str(place))}"
