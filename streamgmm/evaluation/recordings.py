"""Work on many recordings on all cores, in which one that cannot be read is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from streamgmm.audio.reading import RecordingError
from streamgmm.dataset.listing import Skipped
from streamgmm.errors import DataError
from streamgmm.labels import SILENCE, UNKNOWN
from streamgmm.model.model import Model
from streamgmm.training.workers import map_in_order
from streamgmm.wording import escaped

Outcome = TypeVar("Outcome")


def map_recordings(work: Callable[[Path], Outcome], paths: Sequence[Path], n_jobs: int) -> Iterator[Outcome | Skipped]:
    """Yield the result of `work` on each recording, or why it was left out, in order.

    Args:
        work: a function at the top level of a module, or a partial of one.
        paths: the recordings.
        n_jobs: processes, see `map_in_order`.
    """
    return map_in_order(partial(_attempt, work=work), paths, n_jobs)


def check_labels_known(labels: Iterable[str], model: Model, *, where: Path) -> None:
    """Reject a data set with a label that the model cannot answer.

    Raises:
        DataError: there is one.
    """
    missing = sorted(set(labels) - set(model.labels) - {UNKNOWN, SILENCE})
    if missing:
        names = ", ".join(f"'{escaped(label)}'" for label in missing)
        raise DataError(f"has labels that the model does not have: {names}", where=str(where))


def _attempt(path: Path, *, work: Callable[[Path], Outcome]) -> Outcome | Skipped:
    # In the worker: an exception that reached the parent would end the work on all recordings.
    try:
        return work(path)
    except RecordingError as error:
        return Skipped(path, error.reason)
