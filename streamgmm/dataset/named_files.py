"""Find the recordings that a manifest or an event list names, also under another spelling."""

from __future__ import annotations

import os
from pathlib import Path, PurePath, PureWindowsPath

from streamgmm.dataset.filenames import normalised_name
from streamgmm.dataset.listing import Findings


class NamedFiles:
    """Finds the files that a table names, and reports deviations.

    Tables come from other systems: from Windows with backslashes, from case-insensitive file systems, from macOS with
    decomposed accents. A file that does not exist as spelt is replaced if exactly one file differs only in these ways.

    The user chose the table, so it may name files anywhere, by `..` or an absolute path: only regular files with sound
    are read, and the number of files outside its folder is reported.

    Args:
        table: the manifest or event list; paths are relative to its folder.
    """

    def __init__(self, table: Path) -> None:
        self._table = table
        # Resolved, since the folder of the table may itself be reached by a link.
        self._home = os.path.realpath(table.parent)
        self._spellings_of: dict[Path, dict[str, list[str]]] = {}
        self._is_inside: dict[Path, bool] = {}
        self._respelt: list[str] = []
        self._missing: list[str] = []
        self._outside: list[str] = []

    def find(self, line: int, text: str) -> Path:
        """Return the path of the file named `text` in line number `line`; it may not exist."""
        path = self._table.parent / text
        # A broken link counts as existing: the recording is then reported under the name that the table gives.
        if not os.path.lexists(path):
            other = self._respelled(text)
            if other is None:
                is_windows = os.name != "nt" and PureWindowsPath(text).drive != ""
                hint = "a Windows path: write it relative to the manifest" if is_windows else "no such file"
                self._missing.append(f"line {line}: {text!r} does not exist ({hint})")
                return path
            self._respelt.append(f"line {line}: {text!r} is {str(other)!r}")
            path = other
        # The folder and not the file: a link at the end of a path is not followed.
        if not self._lies_inside(path.parent):
            self._outside.append(f"line {line}: {text!r}")
        return path

    def report(self, findings: Findings) -> None:
        """Add deviations to `findings`: for each kind the first file, and the number of others."""
        if self._missing:
            findings.warn(f"{self._table}: {self._missing[0]}{_more(self._missing)}")
        if self._respelt:
            what = "found under another spelling"
            findings.note(f"{self._table}: {what}: {self._respelt[0]}{_more(self._respelt)}")
        if self._outside:
            what = "recordings outside its folder are used"
            findings.note(f"{self._table}: {what}: {self._outside[0]}{_more(self._outside)}")

    def _respelled(self, text: str) -> Path | None:
        """Return the one file that differs from `text` only by case, Unicode form or path separator; None for none."""
        if os.name != "nt" and PureWindowsPath(text).drive:
            return None
        parts = PurePath(text.replace("\\", "/")).parts
        path = self._table.parent
        for part in parts:
            if not os.path.lexists(path / part):
                names = self._spellings(path).get(normalised_name(part), [])
                # Of several candidates any might be the wrong recording.
                if len(names) != 1:
                    return None
                part = names[0]
            path /= part
        return path if parts else None

    def _spellings(self, folder: Path) -> dict[str, list[str]]:
        """Return the names in `folder` by their normal form."""
        if folder not in self._spellings_of:
            spellings: dict[str, list[str]] = {}
            try:
                names = os.listdir(folder)  # noqa: PTH208 - names alone
            # A folder that is missing or unreadable, or a NUL in its name.
            except (OSError, ValueError):
                names = []
            for name in names:
                spellings.setdefault(normalised_name(name), []).append(name)
            self._spellings_of[folder] = spellings
        return self._spellings_of[folder]

    def _lies_inside(self, folder: Path) -> bool:
        if folder not in self._is_inside:
            # Once for each folder: it costs a system call for each part of the path, and a table may have many lines.
            real = os.path.realpath(folder)
            self._is_inside[folder] = os.path.commonpath([self._home, real]) == self._home
        return self._is_inside[folder]


def _more(places: list[str]) -> str:
    return f", and {len(places) - 1} more lines like this" if len(places) > 1 else ""
