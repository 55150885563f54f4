"""Feature vectors of one clip, and random subsets of them where a limit applies."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float32Array, Float64Array, IndexArray
from streamgmm.dataset.clips import Clip


class ClipCepstra(NamedTuple):
    """The cepstral frames of a clip.

    Attributes:
        vectors: float32, shape (n_frames, n_cepstral_features), of the clip as recorded.
        copies: float32, shape (m_frames, n_cepstral_features), of its copies.
        spans: int, shape (n, 2), first frame of each active window and one past its last.
    """

    vectors: Float32Array
    copies: Float32Array
    spans: IndexArray


class ContextCopy(NamedTuple):
    """A clip within other sound: what a microphone hears before, during and after it.

    Attributes:
        vectors: float32, shape (n_hops, n_features), of all windows; those without a vector are NaN.
        covers: float64, shape (n_hops,), share of the sound that lies in each window, or of the window that it fills if
            the sound is longer; 0 to 1.
        levels_dbfs: float64, shape (n_hops,), levels of the hops (dB re full scale).
        snr_db: level of the sound above that of the rest (dB).
        cepstra: cepstral frames, with the span of each window; None if they were not measured.
    """

    vectors: Float32Array
    covers: Float64Array
    levels_dbfs: Float64Array
    snr_db: float
    cepstra: ClipCepstra | None


class Pages(NamedTuple):
    """The part of a mapped file that holds the vectors of a clip (see `VectorFile`).

    Attributes:
        file: as it is mapped.
        first_byte: of the part, at the begin of a page.
        n_bytes: length of the part.
    """

    file: mmap.mmap
    first_byte: int
    n_bytes: int

    def release(self) -> None:
        """Take the pages out of the memory of this process; they are read from the file again when they are used."""
        if self.n_bytes and hasattr(mmap, "MADV_DONTNEED"):
            self.file.madvise(mmap.MADV_DONTNEED, self.first_byte, self.n_bytes)


class ClipVectors(NamedTuple):
    """The training vectors of one clip: of the recording itself, and of its augmented copies.

    Attributes:
        clip: the clip that was measured.
        vectors: float32, shape (n, n_features), of the active windows of the recording.
        copies: float32, shape (m, n_features), of the active windows of its copies.
        votes: float64, shape (n,), above 0, weight of each window in the vote on the clip; None for equal weights.
        cepstra: its cepstral frames; None if they were not measured.
        contexts: copies of it within other sound, as sequences of hops; windows that the sound fills are among `copies`
            too.
        is_world: whether it is a sound that comes with streamgmm, and none of the user's.
        pages: where the vectors are in a file; None for vectors in memory.
    """

    clip: Clip
    vectors: Float32Array
    copies: Float32Array
    votes: Float64Array | None = None
    cepstra: ClipCepstra | None = None
    contexts: tuple[ContextCopy, ...] = ()
    is_world: bool = False
    pages: Pages | None = None

    @property
    def counted_votes(self) -> Float64Array:
        """The votes, or ones for equal weights; shape (n,)."""
        return np.ones(len(self.vectors)) if self.votes is None else self.votes


def one_at_a_time(clips: Iterable[ClipVectors]) -> Iterator[ClipVectors]:
    """Yield clips; each leaves the memory, as far as it is in a file, when the next one is taken."""
    for clip in clips:
        yield clip
        if clip.pages is not None:
            clip.pages.release()


class Limits(NamedTuple):
    """Limits for one clip: its windows, the windows of its copies, the cepstral frames of its copies."""

    n_windows: int
    n_copies: int
    n_cepstral_copies: int


def thinned(clip: ClipVectors, limits: Limits, rng: np.random.Generator) -> ClipVectors:
    """Return `clip` with at most as many windows and frames as `limits` allow, drawn at random, in their order.

    Frames of the recording are kept if a kept window contains them.
    """
    windows = _drawn(len(clip.vectors), limits.n_windows, rng)
    # Drawn in a fixed order: windows, copies, frames. Another order would keep others under the same seed.
    copies = _drawn(len(clip.copies), limits.n_copies, rng)
    return ClipVectors(
        clip=clip.clip,
        vectors=clip.vectors[windows],
        copies=clip.copies[copies],
        votes=None if clip.votes is None else clip.votes[windows],
        cepstra=_thinned_cepstra(clip.cepstra, windows, limits, rng) if clip.cepstra else None,
        contexts=clip.contexts,
        is_world=clip.is_world,
    )


def _thinned_cepstra(frames: ClipCepstra, windows: IndexArray, limits: Limits, rng: np.random.Generator) -> ClipCepstra:
    spans = frames.spans[windows]
    # Windows overlap, and so do their spans; each frame is kept once.
    is_held = np.zeros(len(frames.vectors), dtype=bool)
    for first, end in spans:
        is_held[first:end] = True
    # Index of each old frame among the kept ones, by which the spans are renumbered.
    places = np.concatenate([[0], np.cumsum(is_held)])
    copies = _drawn(len(frames.copies), limits.n_cepstral_copies, rng)
    return ClipCepstra(frames.vectors[is_held], frames.copies[copies], places[spans])


def _drawn(n: int, n_wanted: int, rng: np.random.Generator) -> IndexArray:
    """Return `n_wanted` random indices below `n`, ascending; all of them if there are fewer."""
    # A prefix of one permutation: a lower limit keeps a subset of what a higher one keeps.
    drawn = rng.permutation(n)[:n_wanted]
    return np.sort(drawn).astype(np.intp)
