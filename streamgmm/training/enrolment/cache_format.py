"""File format of the training cache, with strict validation.

The layout is that of the model file (see `model.layout`): nothing executable and nothing compressed. All bytes before
the arrays follow from the description of the clips; a file is rejected unless they are identical to those that would be
written for its description.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from streamgmm.arrays import AnyArray
from streamgmm.dataset.clips import Clip
from streamgmm.errors import DataError
from streamgmm.features.cepstra import n_cepstral_features
from streamgmm.features.window import n_features
from streamgmm.model.layout import (
    LENGTH_BYTES,
    Shapes,
    Tensor,
    array_bytes,
    canonical_json,
    end_of,
    header_bytes,
    lay_out,
    read_arrays,
)
from streamgmm.training.enrolment.context_format import (
    MAX_CONTEXTS,
    MAX_ROWS,
    CacheArrays,
    Count,
    KeptContext,
    context_arrays,
    contexts_in,
    describe_context,
    divided,
    halved,
)
from streamgmm.training.enrolment.training_cache import TrainingCache
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, one_at_a_time
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.extraction.vector_file import in_file

CACHE_FORMAT = "streamgmm-memory"
CACHE_FORMAT_VERSION = 4
MAX_CACHE_BYTES = 512 * 2**20
MAX_CACHE_HEADER_BYTES = 64 * 2**20
"""A header describes up to `MAX_CLIPS` clips, a few hundred bytes each."""

MAX_CLIPS = 100_000

TRAIN_AGAIN = "train the model again"


class CacheFileError(DataError):
    """A training cache was rejected: it is damaged, of another model, or not a cache at all."""


class _KeptClip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One clip, and the number of its rows in each array."""

    label: str
    source_id: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    content_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    onset_s: float | None = None
    offset_s: float | None = None
    duration_s: float
    sample_rate_hz: int
    n_windows: Annotated[int, Meta(ge=1, le=MAX_ROWS)]
    n_copies: Count
    n_frames: Count = 0
    n_cepstral_copies: Count = 0
    contexts: Annotated[list[KeptContext], Meta(max_length=MAX_CONTEXTS)] = []


# Derived and not listed, so that writer and reader cannot disagree about the fields of a clip.
_CLIP_FIELDS = [name for name in _KeptClip.__struct_fields__ if name in Clip.__struct_fields__]


class _FileSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The description that determines all bytes before the arrays, and the sizes of the arrays."""

    task: ExtractionTask
    has_cepstra: bool
    clips: Annotated[list[_KeptClip], Meta(min_length=1, max_length=MAX_CLIPS)]

    def shapes(self) -> Shapes:
        """Return dtype and shape of every array, in file order: widest dtypes first, which keeps all aligned."""
        n_windows = sum(clip.n_windows for clip in self.clips)
        n_hops = sum(context.n_hops for context in self.contexts)
        width = n_features(self.task.spec)
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {"votes": ("F64", (n_windows,))}
        # Left out where there are none, as in caches that were written before copies in context were kept.
        if n_hops:
            shapes["context_hops"] = ("F64", (n_hops, 2))
        if self.has_cepstra:
            shapes["frame_spans"] = ("I32", (n_windows, 2))
            if n_hops:
                shapes["context_spans"] = ("I32", (n_hops, 2))
        shapes["windows"] = ("F16", (n_windows, width))
        shapes["copies"] = ("F16", (sum(clip.n_copies for clip in self.clips), width))
        if self.has_cepstra:
            frame_width = n_cepstral_features(self.task.spec)
            shapes["frames"] = ("F16", (sum(clip.n_frames for clip in self.clips), frame_width))
            shapes["frame_copies"] = ("F16", (sum(clip.n_cepstral_copies for clip in self.clips), frame_width))
        if n_hops:
            shapes["context_windows"] = ("F16", (n_hops, width))
            if self.has_cepstra:
                shapes["context_frames"] = ("F16", (sum(one.n_frames for one in self.contexts), frame_width))
        return shapes

    @property
    def contexts(self) -> list[KeptContext]:
        """The copies in context of all clips, one after the other."""
        return [context for clip in self.clips for context in clip.contexts]


def cache_bytes(cache: TrainingCache) -> bytes:
    """Return the file content for `cache`; equal caches give equal bytes.

    Raises:
        CacheFileError: the cache exceeds a limit of the format.
    """
    spec = _FileSpec(task=cache.task, has_cepstra=cache.has_cepstra, clips=[_kept(clip) for clip in cache.clips])
    header, placed = _cache_layout(spec)
    # Checked from the shapes, before any array is concatenated.
    size = len(header) + end_of(placed)
    if size > MAX_CACHE_BYTES:
        raise CacheFileError(f"the training cache would take {size} bytes, at most {MAX_CACHE_BYTES} are allowed")
    data = array_bytes(_cache_arrays(cache), placed, header)
    # Parsed before it is written, so that the limits are checked in one place, the reader.
    parse_cache(data, "training cache")
    return data


def parse_cache(data: bytes, name: str) -> TrainingCache:
    """Parse the content of the file `name`.

    Raises:
        CacheFileError: the content is not a valid training cache.
    """
    spec = _read_spec(data, name)
    header, placed = _cache_layout(spec)
    # Written again from its own description: one canonical form, so no second file decodes to the same cache.
    if not data.startswith(header):
        raise _invalid(name, "the header is not that of a training cache")
    if len(data) != len(header) + end_of(placed):
        raise _invalid(name, f"has {len(data)} bytes, expected {len(header) + end_of(placed)}")
    arrays = read_arrays(data, placed, len(header))
    _check_values(spec, arrays, name)
    return TrainingCache(spec.task, in_file(_clips(spec, arrays)))


def _read_spec(data: bytes, name: str) -> _FileSpec:
    """Decode the description in the header; the rest of the header is compared byte for byte afterwards."""
    # The length is checked before anything is decoded: it is the first thing that a hostile file can set.
    n_bytes = int.from_bytes(data[:LENGTH_BYTES], "little")
    if n_bytes > MAX_CACHE_HEADER_BYTES or len(data) < LENGTH_BYTES + n_bytes:
        raise _invalid(name, "is not a training cache, or is truncated within its header")
    try:
        header = msgspec.json.decode(data[LENGTH_BYTES : LENGTH_BYTES + n_bytes], type=dict[str, Any])
        strings = msgspec.convert(header.get("__metadata__"), dict[str, str])
        if strings.get("format") != CACHE_FORMAT or strings.get("format_version") != str(CACHE_FORMAT_VERSION):
            raise _invalid(name, f"is not a training cache of format version {CACHE_FORMAT_VERSION}")
        return msgspec.json.decode(strings.get("memory", ""), type=_FileSpec)
    # A deeply nested header exhausts the stack of the decoder; that is a damaged file too.
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _invalid(name, f"is not a training cache: {error}") from None


def _cache_layout(spec: _FileSpec) -> tuple[bytes, dict[str, Tensor]]:
    """Return all bytes before the arrays, and the arrays with their offsets."""
    placed = lay_out(spec.shapes())
    metadata = {
        "format": CACHE_FORMAT,
        "format_version": str(CACHE_FORMAT_VERSION),
        "memory": canonical_json(spec).decode(),
    }
    return header_bytes(metadata, placed), placed


def _kept(clip: ClipVectors) -> _KeptClip:
    return _KeptClip(
        **{name: getattr(clip.clip, name) for name in _CLIP_FIELDS},
        n_windows=len(clip.vectors),
        n_copies=len(clip.copies),
        n_frames=len(clip.cepstra.vectors) if clip.cepstra else 0,
        n_cepstral_copies=len(clip.cepstra.copies) if clip.cepstra else 0,
        contexts=[describe_context(context) for context in clip.contexts],
    )


def _cache_arrays(cache: TrainingCache) -> CacheArrays:
    clips = cache.clips
    arrays = {
        "votes": np.concatenate([clip.counted_votes for clip in clips]),
        "windows": halved(clip.vectors for clip in one_at_a_time(clips)),
        "copies": halved(clip.copies for clip in one_at_a_time(clips)),
    }
    if cache.has_cepstra:
        arrays |= {
            "frame_spans": np.concatenate([clip.cepstra.spans for clip in clips if clip.cepstra]),
            "frames": halved(clip.cepstra.vectors for clip in one_at_a_time(clips) if clip.cepstra),
            "frame_copies": halved(clip.cepstra.copies for clip in one_at_a_time(clips) if clip.cepstra),
        }
    return arrays | context_arrays(clips)


def _check_values(spec: _FileSpec, arrays: CacheArrays, name: str) -> None:
    # A hash of the file only proves that it is unchanged; a value that fitting cannot handle is rejected here.
    for key, array in arrays.items():
        # In context, windows that have no vector are NaN.
        if not (~np.isinf(array) if key == "context_windows" else np.isfinite(array)).all():
            raise _invalid(name, f"{key}: a value is not finite")
    if not (arrays["votes"] > 0.0).all():
        raise _invalid(name, "votes: a value is not above 0")
    if spec.has_cepstra:
        n_frames = np.repeat([clip.n_frames for clip in spec.clips], [clip.n_windows for clip in spec.clips])
        _check_spans("frame_spans", arrays["frame_spans"], n_frames, name)
        if contexts := spec.contexts:
            n_frames = np.repeat([one.n_frames for one in contexts], [one.n_hops for one in contexts])
            _check_spans("context_spans", arrays["context_spans"], n_frames, name)


def _check_spans(key: str, spans: AnyArray, n_frames: AnyArray, name: str) -> None:
    # Spans index the frames of their own clip: one outside would read frames of another, or past the end.
    first, end = spans.T
    if not ((first >= 0) & (first <= end) & (end <= n_frames)).all():
        raise _invalid(name, f"{key}: a span lies outside its clip")


def _clips(spec: _FileSpec, arrays: CacheArrays) -> Iterator[ClipVectors]:
    windows = divided(arrays["windows"], [clip.n_windows for clip in spec.clips])
    copies = divided(arrays["copies"], [clip.n_copies for clip in spec.clips])
    votes = divided(arrays["votes"], [clip.n_windows for clip in spec.clips])
    frames = _divided_cepstra(spec, arrays) if spec.has_cepstra else [None] * len(spec.clips)
    contexts = contexts_in(arrays, spec.contexts)
    for i, kept in enumerate(spec.clips):
        # Single precision, as after measuring: half precision is for the file alone.
        own, other = windows[i].astype(np.float32), copies[i].astype(np.float32)
        heard = tuple(islice(contexts, len(kept.contexts)))
        yield ClipVectors(_clip(kept), own, other, votes[i], frames[i], heard)


def _divided_cepstra(spec: _FileSpec, arrays: CacheArrays) -> Sequence[ClipCepstra | None]:
    vectors = divided(arrays["frames"], [clip.n_frames for clip in spec.clips])
    copies = divided(arrays["frame_copies"], [clip.n_cepstral_copies for clip in spec.clips])
    spans = divided(arrays["frame_spans"], [clip.n_windows for clip in spec.clips])
    return [
        ClipCepstra(own.astype(np.float32), other.astype(np.float32), span.astype(np.intp))
        for own, other, span in zip(vectors, copies, spans, strict=True)
    ]


def _clip(kept: _KeptClip) -> Clip:
    # The hash stands in for the path: recordings are not needed again, but grouping by path must still work.
    return Clip(path=Path(kept.content_sha256), **{name: getattr(kept, name) for name in _CLIP_FIELDS})


def _invalid(name: str, what: str) -> CacheFileError:
    return CacheFileError(what, where=name, hint=TRAIN_AGAIN)
