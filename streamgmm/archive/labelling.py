"""Label many recordings on the workers of a cluster: each becomes a finished file, or an error that is reported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path

from streamgmm.archive.folder import ArchiveFolder, Fingerprint, fingerprint_of
from streamgmm.archive.times import time_in_name
from streamgmm.dataset.listing import Findings
from streamgmm.dataset.scan import recordings_below
from streamgmm.errors import StreamgmmError
from streamgmm.files import path_kind
from streamgmm.listening.events import Detection, detections_of
from streamgmm.listening.recordings import classify_recording
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.training.cluster import ClusterExecutor
from streamgmm.training.workers import ProgressTracker


def recordings_of(places: Iterable[Path], findings: Findings, *, without: Path) -> list[Path]:
    """Return the absolute paths of recordings: files as given, and all that are below folders, each recording once.

    Workers on other machines read these paths, so links within them are kept: they may lead elsewhere here than there.

    Args:
        places: files and folders.
        findings: collects what is left out of folders.
        without: folder whose files are not searched, as it holds results.
    """
    # By the file that a path leads to: one recording may be given under several names.
    paths: dict[str, Path] = {}
    for place in map(_absolute, places):
        try:
            is_folder = path_kind(place) == "folder"
        except StreamgmmError:
            is_folder = False  # reported when the file is read
        for path in recordings_below(place, findings) if is_folder else [place]:
            paths.setdefault(os.path.realpath(path), path)
    findings.skipped[:] = [skipped for skipped in findings.skipped if not skipped.path.is_relative_to(without)]
    return list(paths.values())


def _absolute(place: Path) -> Path:
    # `..` after a link leads to where the link leads.
    return Path(os.path.realpath(place)) if ".." in place.parts else place.absolute()


class Labelling:
    """The recordings of one archive that still have to be labelled.

    Args:
        folder: where finished recordings are kept.
        paths: absolute paths of all recordings.
        origin: time of the first sample of each recording; None to read it from its name.
    """

    def __init__(self, folder: ArchiveFolder, paths: Sequence[Path], origin: datetime | None) -> None:
        self._folder = folder
        self._origin = origin
        self.errors: list[StreamgmmError] = []
        self.n_kept = 0
        self._todo: list[tuple[Path, Fingerprint]] = []
        for path in paths:
            try:
                fingerprint = fingerprint_of(path)
            except StreamgmmError as error:
                self.errors.append(error)
                continue
            if folder.is_finished(path, fingerprint):
                self.n_kept += 1
            else:
                self._todo.append((path, fingerprint))

    @property
    def n_todo(self) -> int:
        """Number of recordings that are not finished."""
        return len(self._todo)

    def run(
        self, executor: ClusterExecutor, model: Model, config: Config, track: ProgressTracker, *, is_strict: bool
    ) -> None:
        """Label the recordings that are not finished; `errors` has those that cannot be read.

        Args:
            executor: where to do it.
            model: what to recognise.
            config: how to decide.
            track: shows the progress.
            is_strict: raise the first error of a recording.

        Raises:
            ClusterError: the cluster was lost.
            OutputError: the disk is full.
        """
        work = partial(_detections_of, model=model, config=config)
        # Closed before the executor, so that jobs which are still in flight are cancelled.
        with closing(executor.attempt(work, [path for path, _ in self._todo])) as results:
            tracked = track(results, "classifying", self.n_todo)
            for (path, fingerprint), result in zip(self._todo, tracked, strict=True):
                if not isinstance(result, StreamgmmError):
                    self._folder.write(path, fingerprint, result, self._origin or time_in_name(path.name))
                elif is_strict:
                    raise result
                else:
                    self.errors.append(result)


def _detections_of(path: Path, model: Model, config: Config) -> list[Detection]:
    return detections_of(classify_recording(path, model, config))
