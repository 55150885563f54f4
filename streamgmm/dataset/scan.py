"""Data sets as folders: one per class, and long recordings with a label track beside each.

Nothing is opened here and no symbolic link is followed: a folder that somebody else filled can neither
hold the scan up nor lead it out of the tree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streamgmm.dataset import strong_labels
from streamgmm.dataset.filenames import is_hidden_name, is_metadata_name, is_recording_name
from streamgmm.dataset.listing import Entry, Findings, Listing, Problems, Stretch, distinct_labels
from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError
from streamgmm.labels import check_label


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


def read_folders(root: Path, findings: Findings) -> Listing:
    """The data set in the folder `root`: a folder per class, with recordings at any depth below it.

    Recordings in `root` itself belong to a class only by a label track beside them
    (see `strong_labels`); those without one are left out.

    Raises:
        DatasetError: names of folders are no labels, or lines of label tracks are wrong.
        InputMissingError: there is no such folder.
        PermissionDeniedError: it may not be read.
    """
    content = _root_content(root, findings)
    tracked = []
    for name in content.recordings:
        if strong_labels.track_name(name) in content.descriptions:
            tracked.append(strong_labels.read_label_track(root / name, name, findings))
        else:
            findings.skip(root / name, "outside_class")
    folders = _labels_by_folder(root, content.folders)
    labels = distinct_labels({*folders.values(), *strong_labels.labels_of(tracked)}, where=root)
    return Listing("folders" if folders else "strong", labels, _entries(root, folders, tracked, findings))


def recordings_below(folder: Path, findings: Findings) -> Iterator[Path]:
    """The files below `folder` that may be recordings, folder by folder in order of name.

    What else is found is left out: symbolic links, pipes and devices, unreadable folders, files that are
    no audio by their suffix. Hidden files and files that describe a data set are passed over.
    """
    # A list instead of recursion: folders may be nested deeper than Python calls may.
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            content = _content(current, findings)
        except OSError:
            findings.skip(current, "unreadable")
            continue
        yield from (current / name for name in content.recordings)
        pending.extend(current / name for name in reversed(content.folders))


def _entries(root: Path, folders: dict[str, str], tracked: list[Entry], findings: Findings) -> Iterator[Entry]:
    yield from tracked
    for folder, label in folders.items():
        for path in recordings_below(root / folder, findings):
            yield Entry(path, path.relative_to(root).as_posix(), [Stretch(label)])


def _root_content(root: Path, findings: Findings) -> FolderContent:
    try:
        return _content(root, findings)
    except PermissionError as error:
        raise PermissionDeniedError("the folder may not be read", where=str(root), hint="check its owner") from error
    except OSError as error:
        raise InputMissingError(f"the folder cannot be read: {error.strerror}", where=str(root)) from error


def _content(folder: Path, findings: Findings) -> FolderContent:
    """Sort out what `folder` holds; raises OSError if it cannot be listed."""
    content = FolderContent([], [], [])
    with os.scandir(folder) as found:
        for item in found:
            if is_hidden_name(item.name):
                continue
            # What the folder itself tells of an entry is enough: nothing that it points to is touched.
            if item.is_symlink():
                findings.skip(Path(item.path), "symlink")
            elif item.is_dir(follow_symlinks=False):
                content.folders.append(item.name)
            elif not item.is_file(follow_symlinks=False):
                findings.skip(Path(item.path), "not_regular")
            elif is_recording_name(item.name):
                content.recordings.append(item.name)
            elif is_metadata_name(item.name):
                content.descriptions.append(item.name)
            else:
                findings.skip(Path(item.path), "not_audio")
    for names in content:
        names.sort()
    return content


def _labels_by_folder(root: Path, names: list[str]) -> dict[str, str]:
    """The label of each folder; two names that differ only by case or Unicode form are refused."""
    problems = Problems()
    labels = {}
    for name in names:
        try:
            labels[name] = check_label(name)
        except DataError as error:
            problems.add(error.what)
    problems.raise_if_any(where=root, hint="the name of each folder is a label")
    distinct_labels(names, where=root)
    return labels
