"""The part of the training cache that holds copies of clips within other sound, and what both parts of it share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from streamgmm.arrays import AnyArray
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ContextCopy

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


def context_arrays(contexts: Sequence[ContextCopy]) -> CacheArrays:
    """Return the arrays of these copies by name; none for none."""
    if not contexts:
        return {}
    arrays = {
        "context_hops": np.concatenate([np.stack([one.covers, one.levels_dbfs], axis=1) for one in contexts]),
        "context_windows": np.concatenate([one.vectors for one in contexts]),
    }
    frames = [one.cepstra for one in contexts if one.cepstra]
    if frames:
        arrays |= {
            "context_spans": np.concatenate([one.spans for one in frames]),
            "context_frames": np.concatenate([one.vectors for one in frames]),
        }
    return arrays


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
