"""Read data sets from folders: one per class, or long recordings with a label track beside each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamgmm.dataset.filenames import may_be_system_name
from streamgmm.dataset.levels import check_levels
from streamgmm.dataset.listing import DatasetProblems, Entry, Findings, Listing, Segment, distinct_labels
from streamgmm.dataset.scan import FolderContent, folder_content, holds_recordings, recordings_below
from streamgmm.dataset.strong_labels import labels_of, read_label_tracks
from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError
from streamgmm.labels import check_label


def read_folders(root: Path, findings: Findings) -> Listing:
    """Read the data set in the folder `root`: a folder per class, with recordings at any depth below it.

    Recordings in `root` itself belong to a class only by a label track beside them
    (see `strong_labels`); those without one are left out.

    Raises:
        DatasetError: folder names are not valid labels, or are parts of a data set such as `train` and `test` instead
            of classes, or no line of any label track is usable.
        InputMissingError: there is no such folder.
        PermissionDeniedError: it may not be read.
    """
    content = _root_content(root, findings)
    tracked = read_label_tracks(root, content, findings)
    folders = _labels_by_folder(root, _without_system_folders(root, content.folders, findings))
    check_levels(root, list(folders), findings)
    # Checked across both forms: a folder `Dog` and a label `dog` of a track must not become two classes.
    labels = distinct_labels({*folders.values(), *labels_of(tracked)}, where=root)
    return Listing("folders" if folders else "strong", labels, _entries(root, folders, tracked, findings))


def _entries(root: Path, folders: dict[str, str], tracked: list[Entry], findings: Findings) -> Iterator[Entry]:
    yield from tracked
    for folder, label in folders.items():
        for path in recordings_below(root / folder, findings):
            yield Entry(path, path.relative_to(root).as_posix(), [Segment(label)])


def _root_content(root: Path, findings: Findings) -> FolderContent:
    try:
        return folder_content(root, findings)
    # Before OSError, of which it is a kind: it has an exit code of its own.
    except PermissionError as error:
        raise PermissionDeniedError("the folder may not be read", where=str(root), hint="check its owner") from error
    except OSError as error:
        raise InputMissingError(f"the folder cannot be read: {error.strerror}", where=str(root)) from error


def _without_system_folders(root: Path, names: list[str], findings: Findings) -> list[str]:
    """Return `names` without folders that a system created; one with recordings stays, for the user to rename."""
    kept = []
    for name in names:
        if may_be_system_name(name) and not holds_recordings(root / name):
            findings.skip(root / name, "system_folder")
        else:
            kept.append(name)
    return kept


def _labels_by_folder(root: Path, names: list[str]) -> dict[str, str]:
    """Return the label of each folder; two names that differ only by case or Unicode form are rejected."""
    problems = DatasetProblems()
    labels = {}
    for name in names:
        try:
            labels[name] = check_label(name)
        except DataError as error:
            problems.add(f"{error.what} ({error.hint})" if error.hint else error.what)
    hint = "the name of each folder is a label: rename these, or move them elsewhere if they are not classes"
    problems.raise_if_any(where=root, hint=hint)
    # The names as well as the labels: folders whose names differ only by Unicode form have the same label, and would be
    # merged without notice.
    distinct_labels(names, where=root)
    return labels
