"""The part of the training cache that holds copies of clips within other sound, and what both parts of it share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from streamgmm.arrays import AnyArray, Float32Array
from streamgmm.training.enrolment.training_cache import STORED_DTYPE
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, ContextCopy, one_at_a_time

MAX_ROWS = 10_000_000
MAX_CONTEXTS = 16
"""Most copies of a clip: as many as the settings allow."""

Count = Annotated[int, Meta(ge=0, le=MAX_ROWS)]
CacheArrays = dict[str, AnyArray]


class KeptContext(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A copy of a clip within other sound, and the number of its rows in each array."""

    snr_db: float
    n_hops: Annotated[int, Meta(ge=1, le=MAX_ROWS)]
    n_frames: Count = 0


def describe_context(context: ContextCopy) -> KeptContext:
    """Return the description of a copy."""
    n_frames = len(context.cepstra.vectors) if context.cepstra else 0
    return KeptContext(snr_db=context.snr_db, n_hops=len(context.vectors), n_frames=n_frames)


def context_arrays(clips: Sequence[ClipVectors]) -> CacheArrays:
    """Return the arrays of the copies of these clips by name; none for none."""
    contexts = [context for clip in clips for context in clip.contexts]
    if not contexts:
        return {}
    arrays = {
        "context_hops": np.concatenate([np.stack([one.covers, one.levels_dbfs], axis=1) for one in contexts]),
        "context_windows": halved(one.vectors for clip in one_at_a_time(clips) for one in clip.contexts),
    }
    frames = [one.cepstra for one in contexts if one.cepstra]
    if frames:
        arrays |= {
            "context_spans": np.concatenate([one.spans for one in frames]),
            "context_frames": halved(
                one.cepstra.vectors for clip in one_at_a_time(clips) for one in clip.contexts if one.cepstra
            ),
        }
    return arrays


def halved(vectors: Iterable[Float32Array]) -> AnyArray:
    """Return vectors in one array of half precision, which all of a training cache have."""
    return np.concatenate([part.astype(STORED_DTYPE) for part in vectors])


def contexts_in(arrays: CacheArrays, contexts: Sequence[KeptContext]) -> Iterator[ContextCopy]:
    """Yield the described copies one after the other."""
    if not contexts:
        return
    n_hops = [context.n_hops for context in contexts]
    windows, hops = divided(arrays["context_windows"], n_hops), divided(arrays["context_hops"], n_hops)
    cepstra: Sequence[ClipCepstra | None] = [None] * len(contexts)
    if "context_frames" in arrays:
        vectors = divided(arrays["context_frames"].astype(np.float32), [context.n_frames for context in contexts])
        spans = divided(arrays["context_spans"].astype(np.intp), n_hops)
        cepstra = [ClipCepstra(own, own[:0], span) for own, span in zip(vectors, spans, strict=True)]
    for i, context in enumerate(contexts):
        covers, levels_dbfs = np.ascontiguousarray(hops[i].T)
        yield ContextCopy(windows[i].astype(np.float32), covers, levels_dbfs, context.snr_db, cepstra[i])


def divided(rows: AnyArray, sizes: Sequence[int]) -> list[AnyArray]:
    """Return the parts of an array, of so many rows each."""
    # `np.split` takes the positions between the parts, so the end of the last one is left out.
    return np.split(rows, np.cumsum(sizes)[:-1])
