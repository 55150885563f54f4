"""What was learnt of a room, over a restart; damage and foreign files."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest

from streamgmm.errors import DataError
from streamgmm.records import Record
from streamgmm.room.mixture import RoomMixture
from streamgmm.room.state import pack, unpack
from streamgmm.settings.config import Config
from streamgmm.settings.output import OutputSection
from tests.narrowing import present
from tests.room.room_rig import HUM, QUIET_ROOM, Stream, make_model, make_pipeline, points

MODEL = make_model()
WINDOWS = Config(output=OutputSection(windows=True))


def learnt(duration_s: float = 200.0) -> RoomMixture:
    stream = Stream(make_pipeline())
    stream.hear(points(HUM, duration_s))
    return present(stream.pipeline.room).mixture


def empty() -> RoomMixture:
    return present(make_pipeline().room).mixture


def test_a_restart_continues_with_the_same_bits() -> None:
    ahead, rest = points(HUM, 200.0), points(QUIET_ROOM, 400.0)
    going_on = Stream(make_pipeline(config=WINDOWS))
    going_on.hear(ahead)
    data = pack(present(going_on.pipeline.room).mixture, MODEL, "mic")
    # A stream that begins has neither waiting hops nor smoothed posteriors.
    going_on.pipeline.reset()
    restarted = Stream(make_pipeline(config=WINDOWS))
    unpack(data, present(restarted.pipeline.room).mixture, MODEL, "mic")

    def after(stream: Stream) -> list[Record]:
        stream._n_hops = 0
        return stream.hear(rest)

    assert after(going_on) == after(restarted)
    states = [pack(present(stream.pipeline.room).mixture, MODEL, "mic") for stream in (going_on, restarted)]
    assert states[0] == states[1] != data


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:20],
        lambda data: bytes(100_000),
        lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
        lambda data: rehash(b"\xc1"),
        lambda data: rehash(msgspec.msgpack.encode({"version": 1})),
    ],
    ids=["empty", "cut", "cut in the digest", "zeros", "a flipped bit", "no MessagePack", "other fields"],
)
def test_damage_is_refused_and_nothing_changes(damage) -> None:
    mixture = empty()
    with pytest.raises(DataError):
        unpack(damage(pack(learnt(), MODEL, "mic")), mixture, MODEL, "mic")
    assert mixture.n_hops == 0


def rehash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "another version"),
        ({"features": 99}, "another version"),
        ({"model": "b" * 64}, "another model or source"),
        ({"source": "yard"}, "another model or source"),
        ({"settled": b"12345678"}, "another number of values"),
        ({"fresh": np.full((32, 7), np.nan).tobytes()}, "not valid"),
        ({"settled": np.full((32, 7), -1.0).tobytes()}, "not valid"),
    ],
)
def test_what_belongs_elsewhere_is_refused(change: dict[str, object], message: str) -> None:
    fields = msgspec.msgpack.decode(pack(learnt(), MODEL, "mic")[32:])
    mixture = empty()
    with pytest.raises(DataError, match=message):
        unpack(rehash(msgspec.msgpack.encode({**fields, **change})), mixture, MODEL, "mic")
    assert mixture.n_hops == 0


def test_it_is_small() -> None:
    assert len(pack(learnt(), MODEL, "mic")) < 8192
