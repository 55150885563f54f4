"""Classify names of files and folders: recordings, metadata of data sets, and files that systems create.

A scan opens only files whose names are those of recordings.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath

from streamgmm.audio.formats.foreign import FOREIGN_SUFFIXES

# fmt: off
RECORDING_SUFFIXES = frozenset({
    ".aif", ".aifc", ".aiff", ".au", ".bwf", ".caf", ".flac", ".ircam", ".mp2", ".mp3", ".nist", ".oga", ".ogg",
    ".opus", ".rf64", ".snd", ".sph", ".voc", ".w64", ".wav", ".wave",
})
"""Suffixes of files that are opened; their format is then detected from their content."""

METADATA_SUFFIXES = frozenset({
    ".asd", ".aup", ".aup3", ".bib", ".cff", ".csv", ".html", ".json", ".jsonl", ".lab", ".log", ".md", ".pdf",
    ".rst", ".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml",
})
"""Suffixes of files that lie beside recordings in published data sets; they are ignored silently."""

METADATA_STEMS = frozenset({
    "attribution", "changelog", "copying", "licence", "license", "notice", "readme",
})
"""Names, with or without a suffix, of such files."""

SYSTEM_NAMES = frozenset({
    # Windows
    "$extend", "$recycle.bin", "$winreagent", "config.msi", "desktop.ini", "ehthumbs.db", "ehthumbs_vista.db",
    "msocache", "recycler", "system volume information", "thumbs.db",
    # macOS, also on disks that others share with it, and in its zip files
    "__macosx", "desktop db", "desktop df", "icon\r", "network trash folder", "temporary items",
    "thefindbycontentfolder", "thevolumesettingsfolder",
    # Linux, Android
    "lost+found", "lost.dir",
    # network storage: Synology, QNAP, NetApp, snapshots of others
    "#recycle", "#snapshot", "@__thumb", "@eadir", "@recently-snapshot", "@recycle", "@sharebin", "@sharesnap",
    "@snapshot", "@tmp", "~snapshot",
    # version control, programming
    "__pycache__", "_darcs", "_svn", "node_modules",
})
"""Files and folders that systems and programs create, in lower case."""

HIDDEN_SYSTEM_NAMES = frozenset({
    ".@__thumb", ".appledb", ".appledesktop", ".appledouble", ".bzr", ".cache", ".cvs", ".documentrevisions-v100",
    ".dropbox", ".dropbox.cache", ".dvc", ".fseventsd", ".git", ".hg", ".idea", ".ipynb_checkpoints", ".jj",
    ".localized", ".mypy_cache", ".owncloudsync", ".pytest_cache", ".recycle", ".recycler", ".ruff_cache",
    ".snapshot", ".snapshots", ".spotlight-v100", ".stfolder", ".stversions", ".svn", ".sync", ".syncarchive",
    ".temporaryitems", ".trash", ".trashes", ".tmp.drivedownload", ".tmp.driveupload", ".venv", ".vscode", ".zfs",
})
"""Hidden folders that systems and programs create, in lower case; some contain deleted and old files."""
# fmt: on

_SYSTEM_PATTERN = re.compile(
    r"\._.*"  # what macOS keeps beside a file where the file system cannot
    # The trash of Linux on other disks, locks of LibreOffice, files deleted while open on NFS and FUSE.
    r"|\.trash-\d+|\.~lock\..*|\.nfs[0-9a-f]+|\.fuse_hidden.*"
    r"|found\.\d{3}"  # Windows, after a check of the disk
    # Attributes of Synology, and the mark of Windows for files from the internet.
    r"|.*@syno(eastream|resource)|.*[:#]zone\.identifier"
    r"|~\$.*|.*~|#.*#",  # locks and copies of editors
    # A file name may contain a line feed.
    re.DOTALL,
)
_PARTIAL_SUFFIXES = frozenset(
    {".!sync", ".bak", ".crdownload", ".download", ".part", ".partial", ".swo", ".swp", ".tmp"}
)
"""Suffixes of incomplete files and old copies; a folder of such a name may be a class."""
# Compared with their case: in lower case these may well be classes.
_EXACT_SYSTEM_NAMES = frozenset({"CVS", "RCS", "SCCS"})
_SYSTEM_PREFIXES = ("@", "#", "$", "~")


def is_system_name(name: str) -> bool:
    """Return whether a system or another program created this file or folder, so that no user misses it."""
    lower = name.lower()
    is_listed = lower in SYSTEM_NAMES or lower in HIDDEN_SYSTEM_NAMES or name in _EXACT_SYSTEM_NAMES
    return is_listed or _SYSTEM_PATTERN.fullmatch(lower) is not None


def is_partial_name(name: str) -> bool:
    """Return whether a file of this name is incomplete, or an old copy that a program keeps."""
    return PurePath(name).suffix.lower() in _PARTIAL_SUFFIXES


def is_hidden_name(name: str) -> bool:
    """Return whether file managers hide a file of this name."""
    return name.startswith(".")


def may_be_system_name(name: str) -> bool:
    """Return whether systems use such names for folders of their own; no label can begin like that."""
    return name.startswith(_SYSTEM_PREFIXES)


def is_recording_name(name: str) -> bool:
    """Return whether a file of this name may be a recording."""
    return PurePath(name).suffix.lower() in RECORDING_SUFFIXES


def is_foreign_name(name: str) -> bool:
    """Return whether a file of this name holds sound in a format that only other programs read."""
    return PurePath(name).suffix.lower() in FOREIGN_SUFFIXES


def normalised_name(name: str) -> str:
    """Return the normal form of `name`, equal for spellings that differ by case or Unicode form."""
    # Composed again at the end, because folding the case may decompose some letters.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_metadata_name(name: str) -> bool:
    """Return whether a file of this name describes a data set."""
    path = PurePath(name.lower())
    return path.suffix in METADATA_SUFFIXES or path.stem in METADATA_STEMS or path.name in METADATA_STEMS
