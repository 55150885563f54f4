"""What was learnt of a room as bytes, for a file that survives restarts: statistics of features, and no audio.

A file is the SHA-256 of the rest, then a MessagePack map with the fields of `_State`.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.errors import DataError
from streamgmm.features.spec import FEATURE_VERSION
from streamgmm.model.model import Model
from streamgmm.room.mixture import RoomMixture

STATE_VERSION = 1
"""Increased whenever the same bytes would mean another mixture."""

MAX_STATE_BYTES = 2**22
"""Largest file that is read (bytes); 32 components of 500 dimensions take 256 KiB."""


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of a `RoomMixture`, and what they belong to."""

    version: int
    features: int
    model: str
    source: str
    n_hops: int
    settled: bytes
    fresh: bytes


def pack(mixture: RoomMixture, model: Model, source: str) -> bytes:
    """Return the state of a mixture that was adapted for a source and a model."""
    state = _State(
        version=STATE_VERSION,
        features=FEATURE_VERSION,
        model=model.sha256,
        source=source,
        n_hops=mixture.n_hops,
        settled=mixture.settled.astype("<f8").tobytes(),
        fresh=mixture.fresh.astype("<f8").tobytes(),
    )
    content = msgspec.msgpack.encode(state)
    return hashlib.sha256(content).digest() + content


def unpack(data: bytes, mixture: RoomMixture, model: Model, source: str) -> None:
    """Continue in `mixture` from the result of `pack`.

    Raises:
        DataError: the data are damaged, or belong to another version, model or source; `mixture` is unchanged.
    """
    digest, content = data[:32], data[32:]
    if hashlib.sha256(content).digest() != digest:
        raise DataError("is damaged or cut")
    try:
        state = msgspec.msgpack.decode(content, type=_State)
    except msgspec.DecodeError as error:
        raise DataError(f"is not what this version writes: {error}") from error
    if (state.version, state.features) != (STATE_VERSION, FEATURE_VERSION):
        raise DataError("was written by another version of streamgmm")
    if (state.model, state.source) != (model.sha256, source):
        raise DataError("belongs to another model or source")
    shape = mixture.settled.shape
    mixture.restore(_statistics(state.settled, shape), _statistics(state.fresh, shape), max(0, state.n_hops))


def _statistics(data: bytes, shape: tuple[int, ...]) -> Float64Array:
    if len(data) != 8 * int(np.prod(shape)):
        raise DataError("has another number of values than the mixture")
    values = np.frombuffer(data, dtype="<f8").astype(np.float64).reshape(shape)
    # Counts are weights of sums: negative ones would give negative weights.
    if not np.isfinite(values).all() or (values[:, 0] < 0.0).any():
        raise DataError("has values that are not valid")
    return values
