"""What a clip has to teach, and the part of it that is kept where there is no room for all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float32Array, Float64Array, IndexArray
from streamgmm.dataset.clips import Clip


class ClipCepstra(NamedTuple):
    """The frames of a clip.

    Attributes:
        vectors: float32, shape (n_frames, n_cepstral_features), of the clip as recorded.
        copies: float32, shape (m_frames, n_cepstral_features), of its altered copies.
        spans: int, shape (n, 2), first and one past the last of the frames in each active window.
    """

    vectors: Float32Array
    copies: Float32Array
    spans: IndexArray


class ClipVectors(NamedTuple):
    """What a clip has to teach.

    Attributes:
        clip: whose vectors these are.
        vectors: float32, shape (n, n_features), of the active windows of the clip as recorded.
        copies: float32, shape (m, n_features), of those of its altered copies.
        votes: float64, shape (n,), above 0, how much each counts in the vote on the clip; None: all the same.
        cepstra: its cepstral frames; None if they were not measured.
    """

    clip: Clip
    vectors: Float32Array
    copies: Float32Array
    votes: Float64Array | None = None
    cepstra: ClipCepstra | None = None

    @property
    def counted_votes(self) -> Float64Array:
        """The votes, in numbers even if they are all the same; shape (n,)."""
        return np.ones(len(self.vectors)) if self.votes is None else self.votes


class Limits(NamedTuple):
    """How much of one clip is kept: windows, windows of copies, frames of copies."""

    n_windows: int
    n_copies: int
    n_cepstral_copies: int


def thinned(clip: ClipVectors, limits: Limits, rng: np.random.Generator) -> ClipVectors:
    """`clip` with at most so many windows and frames as `limits` say, drawn at random, in their order.

    Frames of the recording are kept as far as the kept windows hold them.
    """
    windows = _drawn(len(clip.vectors), limits.n_windows, rng)
    copies = _drawn(len(clip.copies), limits.n_copies, rng)
    return ClipVectors(
        clip=clip.clip,
        vectors=clip.vectors[windows],
        copies=clip.copies[copies],
        votes=None if clip.votes is None else clip.votes[windows],
        cepstra=_thinned_cepstra(clip.cepstra, windows, limits, rng) if clip.cepstra else None,
    )


def _thinned_cepstra(frames: ClipCepstra, windows: IndexArray, limits: Limits, rng: np.random.Generator) -> ClipCepstra:
    spans = frames.spans[windows]
    is_held = np.zeros(len(frames.vectors), dtype=bool)
    for first, end in spans:
        is_held[first:end] = True
    places = np.concatenate([[0], np.cumsum(is_held)])
    copies = _drawn(len(frames.copies), limits.n_cepstral_copies, rng)
    return ClipCepstra(frames.vectors[is_held], frames.copies[copies], places[spans])


def _drawn(n: int, n_wanted: int, rng: np.random.Generator) -> IndexArray:
    """Places of `n_wanted` of `n` things, or of all if there are no more, in their order."""
    drawn = rng.permutation(n)[:n_wanted]
    return np.sort(drawn).astype(np.intp)
