"""What the name of a file says about its content, so that a scan opens only what may be a recording."""

from __future__ import annotations

from pathlib import PurePath

# fmt: off
RECORDING_SUFFIXES = frozenset({
    ".aif", ".aifc", ".aiff", ".au", ".bwf", ".caf", ".flac", ".ircam", ".mp3", ".nist", ".oga", ".ogg", ".opus",
    ".rf64", ".snd", ".sph", ".voc", ".w64", ".wav", ".wave",
})
"""Suffixes of files that are opened; what they hold is then told from their content."""

METADATA_SUFFIXES = frozenset({
    ".asd", ".aup", ".aup3", ".bib", ".cff", ".csv", ".html", ".json", ".jsonl", ".lab", ".log", ".md", ".pdf",
    ".rst", ".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml",
})
"""Suffixes of files that lie beside recordings in published data sets; they are passed over without a word."""

METADATA_STEMS = frozenset({
    "attribution", "changelog", "copying", "desktop.ini", "licence", "license", "notice", "readme", "thumbs.db",
})
"""Names, with or without a suffix, of such files."""
# fmt: on


def is_hidden_name(name: str) -> bool:
    """Whether file managers hide a file of this name."""
    return name.startswith(".")


def is_recording_name(name: str) -> bool:
    """Whether a file of this name may be a recording."""
    return PurePath(name).suffix.lower() in RECORDING_SUFFIXES


def is_metadata_name(name: str) -> bool:
    """Whether a file of this name describes a data set."""
    path = PurePath(name.lower())
    return path.suffix in METADATA_SUFFIXES or path.stem in METADATA_STEMS or path.name in METADATA_STEMS
