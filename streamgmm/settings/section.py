"""Base of all sections of the settings, and types that several sections share."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Place = Annotated[str, Meta(extra={"is_place": True})]
"""A path, or a URI that may contain one, in which `~` is expanded to a home directory."""

RELOADS = {"reloads": True}
"""Mark (`extra` of a setting's `Meta`) of what a running daemon takes from a reload; all else needs a restart."""

SourceName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$", description="1 to 64 letters, digits and _ . -")
]
"""Name of one of several sources in records: 1 to 64 letters, digits and `_ . -`."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections."""
