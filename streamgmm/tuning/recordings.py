"""Recordings of a tuning: scored on all cores, and paired with their annotations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

from streamgmm.audio.reading import RecordingError, open_recording
from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import Dataset
from streamgmm.dataset.listing import Skipped
from streamgmm.dataset.loading import by_recording
from streamgmm.errors import DataError
from streamgmm.evaluation.recordings import check_labels_known, map_recordings
from streamgmm.labels import is_reserved
from streamgmm.listening.events import Annotation
from streamgmm.listening.recordings import Advance
from streamgmm.listening.tracks import ScoredRecording, score_recording
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.training.workers import can_start_processes
from streamgmm.tuning.operating_points import lowest_score


def claimed_s(paths: Sequence[Path]) -> float:
    """Return the total length of recordings according to their headers (s); one that cannot be opened counts as 0."""
    return sum(map(_claimed_s, paths))


def _claimed_s(path: Path) -> float:
    try:
        with open_recording(path, follow_symlinks=True) as reader:
            return reader.claimed_s
    # Only the progress bar needs the length; the reason is reported when the recording is scored.
    except RecordingError:
        return 0.0


def score_recordings(
    paths: Sequence[Path], model: Model, config: Config, advance: Advance
) -> list[ScoredRecording | Skipped]:
    """Stream recordings of any length, and return the scores of each, or why it was left out, in order.

    Args:
        paths: the recordings.
        model: scores their hops.
        config: see `score_recording`; `training.n_jobs` processes are used.
        advance: receives the progress, from a thread of its own.
    """
    is_shared = len(paths) > 1 and config.training.n_jobs != 1 and can_start_processes()
    with _relayed(advance, is_needed=is_shared) as relay:
        work = partial(score_recording, model=model, config=config, min_score=lowest_score(config), advance=relay)
        results = list(map_recordings(work, paths, config.training.n_jobs))
    return [_without_empty(path, result) for path, result in zip(paths, results, strict=True)]


def annotations_of(clips: Sequence[Clip]) -> list[Annotation]:
    """Return the annotations of one recording from its clips, without reserved labels."""
    return [
        Annotation(clip.label, clip.onset_s or 0.0, clip.duration_s if clip.offset_s is None else clip.offset_s)
        for clip in clips
        if not is_reserved(clip.label)
    ]


def recordings_with_events(dataset: Dataset, model: Model) -> list[tuple[Path, list[Annotation]]]:
    """Return the recordings of a data set that have events, with their annotations.

    Raises:
        DataError: the data set has a label that the model does not have, or no event.
    """
    check_labels_known(dataset.labels, model, where=dataset.path)
    pairs = [(clips[0].path, annotations_of(clips)) for clips in by_recording(dataset.clips)]
    pairs = [(path, truth) for path, truth in pairs if truth]
    if not pairs:
        raise DataError("holds no event of any label", where=str(dataset.path))
    return pairs


def _without_empty(path: Path, result: ScoredRecording | Skipped) -> ScoredRecording | Skipped:
    # A recording of one sample at a higher rate has none at the rate of the model.
    return Skipped(path, "empty") if isinstance(result, ScoredRecording) and not result.end_sample else result


@contextmanager
def _relayed(advance: Advance, *, is_needed: bool) -> Iterator[Advance]:
    """Yield an `advance` that worker processes can call; `advance` itself if there are none."""
    if not is_needed:
        yield advance
        return
    # The queue of a manager, because a plain one cannot be pickled into the jobs of running processes.
    with get_context("spawn").Manager() as manager:
        queue = manager.Queue()
        thread = Thread(target=_drain, args=(iter(queue.get, None), advance), daemon=True)
        thread.start()
        try:
            yield queue.put
        finally:
            # Behind all reports, and so the thread shows these before it ends.
            queue.put(None)
            thread.join()


def _drain(reports: Iterator[float], advance: Advance) -> None:
    for seconds in reports:
        advance(seconds)
