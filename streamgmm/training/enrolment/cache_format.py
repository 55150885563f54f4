"""From a memory to the bytes of its file, and back: refused unless every byte is as it must be.

The layout is that of the model file (see `model.layout`), nothing executable and nothing compressed. Everything before
the arrays follows from the description of the clips, and a file that is not byte for byte what would be written for
that description is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
from streamgmm.model.layout import LENGTH_BYTES, Shapes, Tensor, canonical_json, header_bytes, lay_out
from streamgmm.training.enrolment.training_cache import Memory
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors
from streamgmm.training.extraction.extraction import ExtractionTask

FORMAT = "streamgmm-memory"
FORMAT_VERSION = 3
MAX_MEMORY_BYTES = 512 * 2**20
MAX_HEADER_BYTES = 64 * 2**20
MAX_CLIPS = 100_000
MAX_ROWS = 10_000_000

TRAIN_AGAIN = "train the model again"

Count = Annotated[int, Meta(ge=0, le=MAX_ROWS)]
Arrays = dict[str, AnyArray]

_DTYPES = {"F64": "<f8", "I32": "<i4", "F16": "<f2"}


class MemoryFileError(DataError):
    """A memory was refused: it is no memory, is damaged, or is that of another model."""


class _KeptClip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One clip, and how many rows of the arrays are its own."""

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


class _FileSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The description from which every byte before the arrays follows, and the size of these."""

    task: ExtractionTask
    has_cepstra: bool
    clips: Annotated[list[_KeptClip], Meta(min_length=1, max_length=MAX_CLIPS)]

    def shapes(self) -> Shapes:
        """Dtype and shape of every array, in the order of the file; the widest first keep them aligned."""
        n_windows = sum(clip.n_windows for clip in self.clips)
        width = n_features(self.task.spec)
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {"votes": ("F64", (n_windows,))}
        if self.has_cepstra:
            shapes["frame_spans"] = ("I32", (n_windows, 2))
        shapes["windows"] = ("F16", (n_windows, width))
        shapes["copies"] = ("F16", (sum(clip.n_copies for clip in self.clips), width))
        if self.has_cepstra:
            frame_width = n_cepstral_features(self.task.spec)
            shapes["frames"] = ("F16", (sum(clip.n_frames for clip in self.clips), frame_width))
            shapes["frame_copies"] = ("F16", (sum(clip.n_cepstral_copies for clip in self.clips), frame_width))
        return shapes


def memory_bytes(memory: Memory) -> bytes:
    """The file of `memory`; the same memory gives the same bytes.

    Raises:
        MemoryFileError: it is over a limit of the format.
    """
    spec = _FileSpec(task=memory.task, has_cepstra=memory.has_cepstra, clips=[_kept(clip) for clip in memory.clips])
    header, placed = _layout(spec)
    size = len(header) + _n_bytes(placed)
    if size > MAX_MEMORY_BYTES:
        raise MemoryFileError(f"the memory would take {size} bytes, at most {MAX_MEMORY_BYTES} are allowed")
    arrays = _arrays(memory)
    data = header + b"".join(arrays[name].astype(_DTYPES[array.dtype]).tobytes() for name, array in placed.items())
    # What could not be read back is not written; the limits stand in one place, the reader.
    parse_memory(data, "memory")
    return data


def parse_memory(data: bytes, name: str) -> Memory:
    """The memory in the bytes of the file `name`.

    Raises:
        MemoryFileError: anything about it is not as it must be.
    """
    spec = _read_spec(data, name)
    header, placed = _layout(spec)
    if not data.startswith(header):
        raise _refusal(name, "the header is not that of a memory")
    if len(data) != len(header) + _n_bytes(placed):
        raise _refusal(name, f"holds {len(data)} bytes, wanted {len(header) + _n_bytes(placed)}")
    arrays = {
        key: np.frombuffer(data, _DTYPES[array.dtype], math.prod(array.shape), len(header) + array.begin).reshape(
            array.shape
        )
        for key, array in placed.items()
    }
    _check_values(spec, arrays, name)
    return Memory(spec.task, list(_clips(spec, arrays)))


def _read_spec(data: bytes, name: str) -> _FileSpec:
    """The description in the header, whatever else that holds: it is compared byte for byte afterwards."""
    n_bytes = int.from_bytes(data[:LENGTH_BYTES], "little")
    if n_bytes > MAX_HEADER_BYTES or len(data) < LENGTH_BYTES + n_bytes:
        raise _refusal(name, "is no memory, or ends within its header")
    try:
        header = msgspec.json.decode(data[LENGTH_BYTES : LENGTH_BYTES + n_bytes], type=dict[str, Any])
        strings = msgspec.convert(header.get("__metadata__"), dict[str, str])
        if strings.get("format") != FORMAT or strings.get("format_version") != str(FORMAT_VERSION):
            raise _refusal(name, f"is no memory of format {FORMAT_VERSION}")
        return msgspec.json.decode(strings.get("memory", ""), type=_FileSpec)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refusal(name, f"is no memory: {error}") from None


def _layout(spec: _FileSpec) -> tuple[bytes, dict[str, Tensor]]:
    """All bytes before the arrays, and these with their places."""
    placed = lay_out(spec.shapes())
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "memory": canonical_json(spec).decode()}
    return header_bytes(metadata, placed), placed


def _n_bytes(placed: dict[str, Tensor]) -> int:
    return max(array.end for array in placed.values())


def _kept(clip: ClipVectors) -> _KeptClip:
    described = clip.clip
    return _KeptClip(
        label=described.label,
        source_id=described.source_id,
        content_sha256=described.content_sha256,
        onset_s=described.onset_s,
        offset_s=described.offset_s,
        duration_s=described.duration_s,
        sample_rate_hz=described.sample_rate_hz,
        n_windows=len(clip.vectors),
        n_copies=len(clip.copies),
        n_frames=len(clip.cepstra.vectors) if clip.cepstra else 0,
        n_cepstral_copies=len(clip.cepstra.copies) if clip.cepstra else 0,
    )


def _arrays(memory: Memory) -> Arrays:
    clips = memory.clips
    arrays = {
        "votes": np.concatenate([clip.counted_votes for clip in clips]),
        "windows": np.concatenate([clip.vectors for clip in clips]),
        "copies": np.concatenate([clip.copies for clip in clips]),
    }
    if memory.has_cepstra:
        frames = [clip.cepstra for clip in clips if clip.cepstra]
        arrays |= {
            "frame_spans": np.concatenate([one.spans for one in frames]),
            "frames": np.concatenate([one.vectors for one in frames]),
            "frame_copies": np.concatenate([one.copies for one in frames]),
        }
    return arrays


def _check_values(spec: _FileSpec, arrays: Arrays, name: str) -> None:
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise _refusal(name, f"{key}: a number is not finite")
    if not (arrays["votes"] > 0.0).all():
        raise _refusal(name, "votes: one is not above 0")
    if spec.has_cepstra:
        n_frames = np.repeat([clip.n_frames for clip in spec.clips], [clip.n_windows for clip in spec.clips])
        first, end = arrays["frame_spans"].T
        if not ((first >= 0) & (first <= end) & (end <= n_frames)).all():
            raise _refusal(name, "frame_spans: a span lies outside its clip")


def _clips(spec: _FileSpec, arrays: Arrays) -> Iterator[ClipVectors]:
    windows = _divided(arrays["windows"], [clip.n_windows for clip in spec.clips])
    copies = _divided(arrays["copies"], [clip.n_copies for clip in spec.clips])
    votes = _divided(arrays["votes"], [clip.n_windows for clip in spec.clips])
    frames = _divided_cepstra(spec, arrays) if spec.has_cepstra else [None] * len(spec.clips)
    for i, kept in enumerate(spec.clips):
        yield ClipVectors(_clip(kept), windows[i].astype(np.float32), copies[i].astype(np.float32), votes[i], frames[i])


def _divided_cepstra(spec: _FileSpec, arrays: Arrays) -> Sequence[ClipCepstra | None]:
    vectors = _divided(arrays["frames"], [clip.n_frames for clip in spec.clips])
    copies = _divided(arrays["frame_copies"], [clip.n_cepstral_copies for clip in spec.clips])
    spans = _divided(arrays["frame_spans"], [clip.n_windows for clip in spec.clips])
    return [
        ClipCepstra(own.astype(np.float32), other.astype(np.float32), span.astype(np.intp))
        for own, other, span in zip(vectors, copies, spans, strict=True)
    ]


def _divided(rows: AnyArray, sizes: Sequence[int]) -> list[AnyArray]:
    return np.split(rows, np.cumsum(sizes)[:-1])


def _clip(kept: _KeptClip) -> Clip:
    return Clip(
        path=Path(kept.content_sha256),
        label=kept.label,
        source_id=kept.source_id,
        onset_s=kept.onset_s,
        offset_s=kept.offset_s,
        duration_s=kept.duration_s,
        sample_rate_hz=kept.sample_rate_hz,
        content_sha256=kept.content_sha256,
    )


def _refusal(name: str, what: str) -> MemoryFileError:
    return MemoryFileError(what, where=name, hint=TRAIN_AGAIN)
