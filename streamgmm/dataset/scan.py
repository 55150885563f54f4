"""Scan folders and classify their content by name: recordings, metadata, other folders.

No file is opened and no symbolic link followed: a folder with content of unknown origin can neither block the scan nor
lead it out of the tree. Files that systems and programs create in folders are ignored silently.
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
    """The content of one folder; names are sorted, so that every scan gives the same order.

    Attributes:
        folders: names of its folders.
        recordings: names of the files that may be recordings.
        descriptions: names of metadata files.
    """

    folders: list[str]
    recordings: list[str]
    descriptions: list[str]


def folder_content(folder: Path, findings: Findings) -> FolderContent:
    """Classify the content of `folder`.

    Args:
        folder: the folder to scan.
        findings: collects what is left out.

    Raises:
        OSError: it cannot be listed.
    """
    content = FolderContent([], [], [])
    with os.scandir(folder) as found:
        for item in found:
            if is_system_name(item.name) or is_hidden_name(item.name):
                _pass_over(item, findings)
            # The directory entry has all that is needed; the target of a link is not accessed.
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
    """Yield the files below `folder` that may be recordings, folder by folder in order of name.

    Symbolic links, pipes, devices, unreadable folders and files with other suffixes are reported as left out. Hidden
    files, metadata, and files that systems and programs create are ignored silently.
    """
    # A stack instead of recursion: folders may be nested deeper than the recursion limit.
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            content = folder_content(current, findings)
        except OSError:
            findings.skip(current, "unreadable")
            continue
        yield from (current / name for name in content.recordings)
        # Reversed, because the stack returns the last folder first.
        pending.extend(current / name for name in reversed(content.folders))


def holds_recordings(folder: Path) -> bool:
    """Return whether any file below `folder` may be a recording."""
    return any(True for _ in recordings_below(folder, Findings()))


def _sort_file(item: os.DirEntry[str], content: FolderContent, findings: Findings) -> None:
    if is_recording_name(item.name):
        content.recordings.append(item.name)
    elif is_metadata_name(item.name):
        content.descriptions.append(item.name)
    elif not is_partial_name(item.name):
        findings.skip(Path(item.path), "unsupported" if is_foreign_name(item.name) else "not_audio")


def _pass_over(item: os.DirEntry[str], findings: Findings) -> None:
    """Ignore `item`, but report it if the user may miss it: recordings under a name that the user may have given."""
    is_folder = item.is_dir(follow_symlinks=False)
    if is_system_name(item.name):
        # A system name that is also a valid label, such as `recycler`, may be a class of the user.
        is_missed = is_folder and can_be_label(item.name) and not is_hidden_name(item.name)
        reason = "system_folder"
    else:
        is_missed = is_folder or is_recording_name(item.name)
        reason = "hidden"
    if is_missed and (not is_folder or holds_recordings(Path(item.path))):
        findings.skip(Path(item.path), reason)
