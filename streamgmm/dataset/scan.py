"""What folders hold, sorted out by name: recordings, descriptions, other folders.

Nothing is opened here and no symbolic link is followed: a folder that somebody else filled can neither
hold the scan up nor lead it out of the tree. What systems and programs leave in folders by themselves is
passed over without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streamgmm.dataset.filenames import (
    is_foreign_name,
    is_hidden_name,
    is_metadata_name,
    is_partial_name,
    is_recording_name,
    is_system_name,
)
from streamgmm.dataset.listing import Findings
from streamgmm.labels import can_be_label


class FolderContent(NamedTuple):
    """What one folder holds, each sorted by name so that every scan finds the same order.

    Attributes:
        folders: names of its folders.
        recordings: names of the files that may be recordings.
        descriptions: names of the files that describe a data set.
    """

    folders: list[str]
    recordings: list[str]
    descriptions: list[str]


def folder_content(folder: Path, findings: Findings) -> FolderContent:
    """Sort out what `folder` holds.

    Args:
        folder: which one.
        findings: is told of what is left out.

    Raises:
        OSError: it cannot be listed.
    """
    content = FolderContent([], [], [])
    with os.scandir(folder) as found:
        for item in found:
            if is_system_name(item.name) or is_hidden_name(item.name):
                _pass_over(item, findings)
            # What the folder itself tells of an entry is enough: nothing that it points to is touched.
            elif item.is_symlink():
                findings.skip(Path(item.path), "symlink")
            elif item.is_dir(follow_symlinks=False):
                content.folders.append(item.name)
            elif not item.is_file(follow_symlinks=False):
                findings.skip(Path(item.path), "not_regular")
            else:
                _sort_file(item, content, findings)
    for names in content:
        names.sort()
    return content


def recordings_below(folder: Path, findings: Findings) -> Iterator[Path]:
    """The files below `folder` that may be recordings, folder by folder in order of name.

    What else is found is left out: symbolic links, pipes and devices, unreadable folders, files that are
    no audio by their suffix. Hidden files, files that describe a data set, and what systems and programs
    leave behind are passed over.
    """
    # A list instead of recursion: folders may be nested deeper than Python calls may.
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            content = folder_content(current, findings)
        except OSError:
            findings.skip(current, "unreadable")
            continue
        yield from (current / name for name in content.recordings)
        pending.extend(current / name for name in reversed(content.folders))


def holds_recordings(folder: Path) -> bool:
    """Whether a file that may be a recording lies anywhere below `folder`."""
    return any(True for _ in recordings_below(folder, Findings()))


def _sort_file(item: os.DirEntry[str], content: FolderContent, findings: Findings) -> None:
    if is_recording_name(item.name):
        content.recordings.append(item.name)
    elif is_metadata_name(item.name):
        content.descriptions.append(item.name)
    elif not is_partial_name(item.name):
        findings.skip(Path(item.path), "unsupported" if is_foreign_name(item.name) else "not_audio")


def _pass_over(item: os.DirEntry[str], findings: Findings) -> None:
    """Leave `item` out; say so only if somebody may miss it: recordings under a name that the user may have given."""
    is_folder = item.is_dir(follow_symlinks=False)
    if is_system_name(item.name):
        is_missed = is_folder and can_be_label(item.name) and not is_hidden_name(item.name)
        reason = "system_folder"
    else:
        is_missed = is_folder or is_recording_name(item.name)
        reason = "hidden"
    if is_missed and (not is_folder or holds_recordings(Path(item.path))):
        findings.skip(Path(item.path), reason)
