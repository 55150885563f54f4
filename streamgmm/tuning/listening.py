"""Many recordings heard on all cores, and what is known of those with true events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

from streamgmm.audio.reading import RecordingError, open_recording
from streamgmm.config import Config
from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import Dataset
from streamgmm.dataset.listing import Skipped
from streamgmm.dataset.loading import by_recording
from streamgmm.errors import DataError
from streamgmm.labels import SILENCE, UNKNOWN, is_reserved
from streamgmm.model.model import Model
from streamgmm.training.workers import can_start_processes, map_in_order
from streamgmm.tuning.hearing import Advance, Heard, hear
from streamgmm.tuning.operating_points import Truth, lowest_score
from streamgmm.wording import escaped


def claimed_s(paths: Sequence[Path]) -> float:
    """Length of all recordings together as their headers promise (s); what cannot be opened counts nothing."""
    return sum(map(_claimed_s, paths))


def _claimed_s(path: Path) -> float:
    try:
        with open_recording(path, follow_symlinks=True) as reader:
            return reader.claimed_s
    except RecordingError:
        return 0.0


def hear_all(paths: Sequence[Path], model: Model, config: Config, advance: Advance) -> list[Heard | Skipped]:
    """Each recording heard, in order, or why it could not be; on as many cores as the settings say.

    Args:
        paths: the recordings, of any length.
        model: what hears them.
        config: see `hear`; `training.n_jobs` processes.
        advance: is told how many more seconds were heard, from a thread of its own.
    """
    is_shared = len(paths) > 1 and config.training.n_jobs != 1 and can_start_processes()
    with _relayed(advance, is_needed=is_shared) as relay:
        work = partial(_hear_one, model=model, config=config, min_score=lowest_score(config), advance=relay)
        return list(map_in_order(work, paths, config.training.n_jobs))


def truths_of(clips: Sequence[Clip]) -> list[Truth]:
    """The true events that the clips of one recording are."""
    return [
        Truth(clip.label, clip.onset_s or 0.0, clip.duration_s if clip.offset_s is None else clip.offset_s)
        for clip in clips
        if not is_reserved(clip.label)
    ]


def recordings_with_events(dataset: Dataset, model: Model) -> list[tuple[Path, list[Truth]]]:
    """The recordings of a data set in which there are events, and these.

    Raises:
        DataError: the data set has a label that the model does not know, or no event.
    """
    missing = sorted(set(dataset.labels) - set(model.labels) - {UNKNOWN, SILENCE})
    if missing:
        names = ", ".join(f"'{escaped(label)}'" for label in missing)
        raise DataError(f"has labels that the model does not know: {names}", where=str(dataset.path))
    pairs = [(clips[0].path, truths_of(clips)) for clips in by_recording(dataset.clips)]
    pairs = [(path, truths) for path, truths in pairs if truths]
    if not pairs:
        raise DataError("holds no event of any label", where=str(dataset.path))
    return pairs


def _hear_one(path: Path, *, model: Model, config: Config, min_score: float, advance: Advance) -> Heard | Skipped:
    try:
        heard = hear(path, model, config, min_score, advance)
    except RecordingError as error:
        return Skipped(path, error.reason)
    # A single sample of a higher rate is none at that of the model.
    return heard if heard.end_sample else Skipped(path, "empty")


@contextmanager
def _relayed(advance: Advance, *, is_needed: bool) -> Iterator[Advance]:
    """An `advance` that other processes may call; if there are none, `advance` itself."""
    if not is_needed:
        yield advance
        return
    with get_context("spawn").Manager() as manager:
        queue = manager.Queue()
        thread = Thread(target=_drain, args=(iter(queue.get, None), advance), daemon=True)
        thread.start()
        try:
            yield queue.put
        finally:
            queue.put(None)
            thread.join()


def _drain(reports: Iterator[float], advance: Advance) -> None:
    for seconds in reports:
        advance(seconds)
