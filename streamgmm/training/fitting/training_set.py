"""The windows that a classifier is fitted to, read from their clips block by block.

All of them at once would take the memory of the whole data set again for each fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import BoolArray, Float32Array, IndexArray
from streamgmm.labels import BACKGROUND
from streamgmm.settings.training import TrainingSection
from streamgmm.training.extraction.clip_vectors import ClipVectors, one_at_a_time

MAX_FITTED_WINDOWS = 300_000
"""Most windows that mixtures are fitted to, drawn evenly from the labels: more only cost time and memory."""

BLOCK_WINDOWS = 1024
"""Least number of windows in a block: with fewer, adding up their products would take longer than the products."""


class TrainingSet(NamedTuple):
    """Windows and labels that a classifier is fitted to.

    Attributes:
        clips: the clips that the windows are of.
        has_copies: whether windows of copies are among them.
        class_indices: shape (n,), index of the label of each window (see `fitted_labels`).
        is_world: bool, shape (n,), whether a window is of a sound of the world.
        is_kept: bool, which of the windows of all clips are the `n`; None for all.
    """

    clips: Sequence[ClipVectors]
    has_copies: bool
    class_indices: IndexArray
    is_world: BoolArray
    is_kept: BoolArray | None = None

    @property
    def n_windows(self) -> int:
        """Number of windows, n."""
        return len(self.class_indices)

    def blocks(self) -> Iterator[Float32Array]:
        """Yield all vectors in order, some at a time, shape (m, n_features)."""
        first = 0
        for block in blocks_of(self.clips, has_copies=self.has_copies):
            yield block if self.is_kept is None else block[self.is_kept[first : first + len(block)]]
            first += len(block)


def fitted_labels(clips: Sequence[ClipVectors], labels: Sequence[str]) -> list[str]:
    """Return the labels that get a mixture: those of the user, and last `background` if only the world holds any."""
    has_more = BACKGROUND not in labels and any(clip.is_world for clip in clips)
    return [*labels, BACKGROUND] if has_more else list(labels)


def blocks_of(clips: Iterable[ClipVectors], *, has_copies: bool) -> Iterator[Float32Array]:
    """Yield the vectors of clips, each followed by those of its copies, in blocks of about `BLOCK_WINDOWS`."""
    held: list[Float32Array] = []
    n_held = 0
    for part in _parts_of(clips, has_copies=has_copies):
        held.append(part)
        n_held += len(part)
        if n_held >= BLOCK_WINDOWS:
            yield np.concatenate(held)
            held, n_held = [], 0
    if held:
        yield np.concatenate(held)


def _parts_of(clips: Iterable[ClipVectors], *, has_copies: bool) -> Iterator[Float32Array]:
    for clip in one_at_a_time(clips):
        for vectors in (clip.vectors, clip.copies) if has_copies else (clip.vectors,):
            for first in range(0, len(vectors), BLOCK_WINDOWS):
                # A copy, as the clip itself is about to leave the memory.
                yield vectors[first : first + BLOCK_WINDOWS].copy()


def make_training_set(clips: Sequence[ClipVectors], labels: Sequence[str], training: TrainingSection) -> TrainingSet:
    """Collect the windows of `clips`, and of copies if the settings include them; at most `MAX_FITTED_WINDOWS`."""
    counts = [len(clip.vectors) + training.copies * len(clip.copies) for clip in clips]
    fitted = fitted_labels(clips, labels)
    class_indices = np.repeat([fitted.index(clip.clip.label) for clip in clips], counts)
    is_world = np.repeat([clip.is_world for clip in clips], counts)
    if len(class_indices) <= MAX_FITTED_WINDOWS:
        return TrainingSet(clips, training.copies, class_indices, is_world)
    rng = np.random.default_rng(training.seed)
    members = [rng.permutation(np.flatnonzero(class_indices == i)) for i in range(len(fitted))]
    # A mask and not a list of indices: it can be divided like the windows, and keeps their order.
    is_kept = np.zeros(len(class_indices), dtype=bool)
    is_kept[np.concatenate([own[: MAX_FITTED_WINDOWS // len(fitted)] for own in members])] = True
    return TrainingSet(clips, training.copies, class_indices[is_kept], is_world[is_kept], is_kept)
