"""Detect folder levels that are not classes: DATA/train/CLASS, DATA/fold1/CLASS, DATA/audio/CLASS, DATA/ANNA/CLASS."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from streamgmm.dataset.listing import DatasetError, Findings
from streamgmm.dataset.scan import folder_content, holds_recordings
from streamgmm.labels import canonical_label, is_reserved
from streamgmm.wording import escaped

# Names that published data sets give to their parts, and to folders that only wrap the others.
_SPLIT = r"(train|training|test|testing|val|valid|validation|dev|devel|development|eval|evaluation|holdout|heldout)"
_NUMBERED = r"(fold|split|part|partition|set|subset|cv|batch|group|session)"
_WRAPPER = r"(audios?|data|dataset|wave?s?|(wav|audio|sound)[ _-]?files|recordings?|sounds?|clips?|samples?|raw)"
_SPLIT_NAME = re.compile(rf"{_SPLIT}([ _.-]?(set|data|split|audio|clips|wavs?|\d+))?", re.IGNORECASE)
_NUMBERED_NAME = re.compile(rf"{_NUMBERED}[ _.-]?\d+", re.IGNORECASE)
_WRAPPER_NAME = re.compile(_WRAPPER, re.IGNORECASE)

MAX_SHOWN_NAMES = 3
"""Most names that a message lists; the others are counted."""


class Branch(NamedTuple):
    """A folder of a data set that holds recordings.

    Attributes:
        name: of the folder.
        has_recordings: whether the folder itself contains recordings.
        folders: names of its folders that contain recordings.
    """

    name: str
    has_recordings: bool
    folders: list[str]

    @property
    def is_level(self) -> bool:
        """Whether it contains only other folders."""
        return not self.has_recordings and bool(self.folders)

    @property
    def is_part(self) -> bool:
        """Whether it is named like a part of a data set."""
        return any(pattern.fullmatch(self.name) for pattern in (_SPLIT_NAME, _NUMBERED_NAME, _WRAPPER_NAME))


def check_levels(root: Path, names: Sequence[str], findings: Findings) -> None:
    """Reject `root` if its folders `names` are parts of a data set, and warn if they might be.

    A class may be named `test` or `audio` as long as its recordings lie in the folder itself.

    Raises:
        DatasetError: all folders have names of parts, and the classes are a level below.
    """
    # Background noise often lies in its own folder beside the classes, whatever the levels of these.
    classes = [name for name in names if not is_reserved(canonical_label(name))]
    branches = [branch for branch in (_branch(root, name) for name in classes) if branch]
    levels = [branch for branch in branches if branch.is_level]
    if levels and all(branch.is_part for branch in branches):
        raise _parts_error(root, branches, levels)
    if len(branches) > 1 and all(branch.is_part for branch in branches):
        shown = _name_list([branch.name for branch in branches])
        findings.warn(f"the classes are called {shown}: if these are parts of a data set, make a folder per class")
    if len(levels) == len(branches) > 1 and (shared := _shared_folders(levels)):
        _report_shared_folders(root, levels, shared, findings)
        return
    for branch in levels:
        if branch.is_part or (len(branches) == 1 and len(branch.folders) > 1):
            _report_level(root, branch, findings)


def _branch(root: Path, name: str) -> Branch | None:
    """Return the content of the folder `name`; None if it has no recordings, or cannot be read."""
    try:
        # Findings of its own, which are dropped: the folder is scanned again, and reported, when its recordings are
        # listed.
        content = folder_content(root / name, Findings())
    except OSError:
        return None
    # Its folders matter only if it has no recordings itself, and scanning them takes long.
    has_recordings = bool(content.recordings)
    folders = [] if has_recordings else [folder for folder in content.folders if holds_recordings(root / name / folder)]
    return Branch(name, has_recordings, folders) if has_recordings or folders else None


def _parts_error(root: Path, branches: Sequence[Branch], levels: Sequence[Branch]) -> DatasetError:
    inner = sorted({folder for branch in levels for folder in branch.folders})
    names = [branch.name for branch in branches]
    is_plural = len(names) > 1
    what = (
        f"{_name_list(names)} {'are parts' if is_plural else 'is a part'} of a data set and not "
        f"{'classes' if is_plural else 'a class'}"
        f": the recordings lie in the folders {_name_list(inner)} below"
    )
    return DatasetError([what], where=str(root), hint=_suggestion(root, levels))


def _suggestion(root: Path, levels: Sequence[Branch]) -> str:
    """Suggest the commands to type instead."""
    names = [branch.name for branch in levels]
    trained = next((name for name in names if re.match("train", name, re.IGNORECASE)), names[0])
    tested = [name for name in names if name != trained and _SPLIT_NAME.fullmatch(name)]
    hint = f"name the folder that holds the classes: streamgmm train {root / trained} -o MODEL"
    if tested:
        test = next((name for name in tested if re.match("test|eval", name, re.IGNORECASE)), tested[0])
        hint += f", and streamgmm evaluate {root / test} --model MODEL"
    elif len(names) > 1:
        hint += "; or list the recordings in a manifest.csv with the columns path, label and fold"
    return escaped(hint)


def _shared_folders(levels: Sequence[Branch]) -> list[str]:
    """Return names of folders that are in each of `levels`."""
    return sorted(set.intersection(*(set(branch.folders) for branch in levels)))


def _report_shared_folders(root: Path, levels: Sequence[Branch], shared: Sequence[str], findings: Findings) -> None:
    names = [branch.name for branch in levels]
    what = f"{root}: the classes {_name_list(names)} all hold the folders {_name_list(shared)}"
    # Words may be labels; days, sessions, numbers and parts of a data set are not.
    if any(re.fullmatch(r"\D+", name) and not Branch(name, True, []).is_part for name in shared):
        findings.warn(
            f"{what}: if these are the labels, make a folder of each, or list all recordings in a manifest.csv"
        )
    else:
        findings.note(f"{what}, which are used together")


def _report_level(root: Path, branch: Branch, findings: Findings) -> None:
    folder = root / branch.name
    findings.warn(
        f"{folder}: no recordings but the folders {_name_list(branch.folders)}, which are trained together as "
        f"{branch.name!r}: if these are the classes, name {folder} as the data set"
    )


def _name_list(names: Sequence[str]) -> str:
    """Join the first few of `names` to a list in words."""
    quoted = [f"'{escaped(name)}'" for name in names[:MAX_SHOWN_NAMES]]
    if len(names) > MAX_SHOWN_NAMES:
        return f"{', '.join(quoted)} and {len(names) - MAX_SHOWN_NAMES} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
