"""Names of clips and of their folders, safe for any label and source.

`LABEL/TIME_SCORE_ID.flac`, e.g. `dog/20260131T120004.061Z_0.9400_f3a1c09b7d21-1.flac`, with the record beside it as
`.json`. The score is in the name so that the worst clips are found without reading any.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from streamgmm.labels import UNKNOWN
from streamgmm.records import End

ClipKind = Literal["event", "near_miss", "unknown"]
"""Reasons of clips: an event, a label that came close to its threshold, or a sound that fits no label."""

AUDIO_SUFFIX = ".flac"
RECORD_SUFFIX = ".json"
NEAR_MISSES = "near_misses"
"""Folder of the near misses, with a folder of each label."""

ACCEPTED = "accepted"
"""Folder of reviewed clips for training, with a folder of each label, which no limit applies to."""

NOT_MINE = "not_mine"
"""Folder of reviewed sounds that are right and yet not those of the user, which no training reads."""

REVIEWED = frozenset({ACCEPTED, NOT_MINE})
"""Folders of clips that somebody has reviewed."""

_OWN_FOLDERS = frozenset({NEAR_MISSES}) | REVIEWED
_SHORTENED = re.compile(r"_.+_[0-9a-f]{12}", re.DOTALL)
_STEM = re.compile(r"(?:\d{8}T\d{6}\.\d{3}Z|t\d+\.\d{3})_([01]\.\d{4})_([A-Za-z0-9_.~-]+)", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9_.~-]")
_MAX_NAME_BYTES = 200
_N_KEPT_CHARACTERS = 40


def folder_of(kind: ClipKind, label: str) -> str:
    """Return the folder of a clip, relative to the directory of all clips, with `/` between its parts."""
    if kind == "unknown":
        return UNKNOWN
    name = folder_of_label(label)
    return f"{NEAR_MISSES}/{name}" if kind == "near_miss" else name


def folder_of_label(label: str) -> str:
    """Return `label` as the name of a folder: never hidden, `.`, `..`, too long, or a folder of other clips."""
    # A label holds no separator (see `check_label`), but may be `..`, and letters of four bytes may fill it.
    if len(label.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES:
        digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()
        return f"_{label[:_N_KEPT_CHARACTERS]}_{digest[:12]}"
    return f"_{label}" if _is_taken(label) else label


def label_of_folder(name: str) -> str | None:
    """Return the label whose clips are in the folder `name`; None if it may have been too long for a name."""
    if _SHORTENED.fullmatch(name):
        return None
    return name[1:] if name.startswith("_") and _is_taken(name[1:]) else name


def _is_taken(label: str) -> bool:
    # However many underscores it begins with, so that `accepted` and `_accepted` have folders of their own.
    bare = label.lstrip("_")
    return bare.startswith(".") or bare.casefold() in _OWN_FOLDERS


def stem_of(record: End) -> str:
    """Return the name of the clip of an event without its suffix."""
    if record.start_time is None:
        date = f"t{record.start_t:010.3f}"
    else:
        date = record.start_time.replace("-", "").replace(":", "")
    # The id of a run holds the name of the source, which is as safe as this or is given by the settings.
    return f"{date}_{min(1.0, max(0.0, record.max_score)):.4f}_{id_in_name(record.id)}"


def id_in_name(event_id: str) -> str:
    """Return the id of an event as it is in the name of its clip."""
    return _UNSAFE.sub("_", event_id)


def score_of(stem: str) -> float | None:
    """Return the score in the name of a clip; None if this is not such a name."""
    match = _STEM.fullmatch(stem)
    return float(match[1]) if match else None


def id_of(stem: str) -> str | None:
    """Return the id in the name of a clip, as `id_in_name` gives it; None if this is not such a name."""
    match = _STEM.fullmatch(stem)
    return match[2] if match else None


def folders_of(root: Path) -> Iterator[Path]:
    """Yield the folders of the clips that nobody has reviewed, which limits apply to."""
    for folder in subfolders(root):
        if folder.name == NEAR_MISSES:
            yield from subfolders(folder)
        elif folder.name not in REVIEWED:
            yield folder


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if entry.is_dir()]
