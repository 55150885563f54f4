"""Damage of every kind: a cache is refused with one line, or it is what was written."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load

from streamgmm.training.enrolment import cache_format
from streamgmm.training.enrolment.cache_format import CacheFileError, cache_bytes, parse_cache
from tests.training.enrolment.cache_rig import TASK, assert_same_cache, small_cache


@pytest.fixture(
    scope="module", params=[(False, 0), (True, 0), (False, 2), (True, 2)], ids=["windows", "frames", "rooms", "all"]
)
def cache(request):
    has_cepstra, n_contexts = request.param
    return small_cache(n_clips=2, n_windows=2, has_cepstra=has_cepstra, n_contexts=n_contexts)


@pytest.fixture(scope="module")
def data(cache):
    return cache_bytes(cache)


def header_end(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def with_spec(data: bytes, change) -> bytes:
    """`data` with its description changed, and everything else of the header that follows from it."""
    header = json.loads(data[8 : header_end(data)])
    spec = json.loads(header["__metadata__"]["memory"])
    change(spec)
    header["__metadata__"]["memory"] = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[header_end(data) :]


def with_number(data: bytes, cache, array: str, value: float, place: int = 0) -> bytes:
    """`data` with one number of an array changed."""
    entry = json.loads(data[8 : header_end(data)])[array]
    dtype = np.dtype({"F64": "<f8", "I32": "<i4", "F16": "<f2"}[entry["dtype"]])
    begin = header_end(data) + entry["data_offsets"][0] + place * dtype.itemsize
    return data[:begin] + bytes(np.array(value, dtype).tobytes()) + data[begin + dtype.itemsize :]


def refusal(data: bytes) -> str:
    with pytest.raises(CacheFileError) as caught:
        parse_cache(data, "my.sgm-memory")
    line = str(caught.value)
    assert line.startswith("my.sgm-memory: ")
    assert line.endswith("(train the model again)")
    assert "\n" not in line
    return line


def test_what_is_written_is_read(cache, data):
    assert_same_cache(parse_cache(data, "x"), cache)
    assert cache_bytes(parse_cache(data, "x")) == data


def test_any_safetensors_reader_opens_it(cache, data):
    arrays = load(data)
    assert np.array_equal(arrays["windows"], np.concatenate([clip.vectors for clip in cache.clips]))
    assert arrays["windows"].dtype == np.float16
    assert ("frames" in arrays) == cache.has_cepstra


def test_every_truncation_and_anything_appended_is_refused(data):
    for length in [*range(0, len(data), 7), len(data) - 1]:
        refusal(data[:length])
    assert "expected" in refusal(data + b"\0")


def test_a_changed_byte_of_the_header_is_refused_or_describes_other_clips(data):
    """Hashes and times may be others; nothing else, and never by another spelling."""
    for place in range(0, header_end(data), 3):
        damaged = bytearray(data)
        damaged[place] ^= 1
        try:
            read = parse_cache(bytes(damaged), "x")
        except CacheFileError:
            continue
        assert cache_bytes(read) == bytes(damaged)


def test_random_damage_is_refused_or_reads_back_to_the_byte(data):
    for seed in range(150):
        rng = random.Random(seed)
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            place, length = rng.randrange(len(damaged)), rng.randint(1, 16)
            damaged[place : place + rng.choice([0, length])] = rng.randbytes(rng.choice([0, length]))
        try:
            read = parse_cache(bytes(damaged), "x")
        except CacheFileError:
            continue
        assert cache_bytes(read) == bytes(damaged)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("array", ["windows", "copies", "votes"])
def test_numbers_that_are_not_finite_are_refused(cache, data, array, value):
    assert f"{array}: a value is not finite" in refusal(with_number(data, cache, array, value, 3))


@pytest.mark.parametrize("value", [0.0, -0.5])
def test_votes_are_above_0(cache, data, value):
    assert "votes" in refusal(with_number(data, cache, "votes", value))


@pytest.mark.parametrize(("place", "value"), [(0, -1), (0, 20), (1, 13), (5, 2**30)])
def test_spans_lie_within_their_clip(place, value):
    cache = small_cache(n_clips=2, n_windows=2, has_cepstra=True)
    assert "a span lies outside its clip" in refusal(
        with_number(cache_bytes(cache), cache, "frame_spans", value, place)
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["clips"].clear(),
        lambda spec: spec["clips"][0].update(n_windows=0),
        lambda spec: spec["clips"][0].update(n_windows=-3),
        lambda spec: spec["clips"][0].update(n_windows=10**12),
        lambda spec: spec["clips"][0].update(n_copies=10**7),
        lambda spec: spec["clips"][0].update(n_windows=1),
        lambda spec: spec["clips"][0].update(content_sha256="../../etc/passwd"),
        lambda spec: spec["clips"][0].update(duration_s="long"),
        lambda spec: spec["clips"][0].update(surplus=1),
        lambda spec: spec.update(surplus=1),
        lambda spec: spec["task"].update(surplus=1),
        lambda spec: spec["task"]["training"].update(n_components=10**6),
        lambda spec: spec["task"]["spec"].update(n_bands=9),
        lambda spec: spec["task"]["spec"].update(min_hz=3000.0),
        lambda spec: spec.update(has_cepstra=not spec["has_cepstra"]),
        lambda spec: spec.pop("task"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused_before_anything_is_made_of_them(data, change):
    refusal(with_spec(data, change))


def test_the_changes_above_are_refused_for_themselves(data):
    assert with_spec(data, lambda spec: None) == data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 64,
        pickle.dumps({"a": 1}),
        b"PK\x03\x04" + b"\0" * 60,
        (2).to_bytes(8, "little") + b"{}",
        (9).to_bytes(8, "little") + b"[" * 9,
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
        (27).to_bytes(8, "little") + b'{"__metadata__":{"format":1',
    ],
    ids=["empty", "zeros", "ones", "pickle", "zip", "bare", "short", "deep", "cut"],
)
def test_other_files_are_refused(content):
    refusal(content)


def test_a_model_is_no_cache(demo_model: Path):
    assert "is not a training cache" in refusal(demo_model.read_bytes())


def test_what_is_too_large_is_not_written(monkeypatch, cache):
    monkeypatch.setattr(cache_format, "MAX_CACHE_BYTES", 1000)
    with pytest.raises(CacheFileError, match="at most 1000 are allowed"):
        cache_bytes(cache)


def test_every_setting_of_the_task_comes_back():
    task = msgspec.structs.replace(TASK, channel=3, silence_gate_dbfs=-60.5)
    cache = small_cache(n_clips=2, n_windows=2)._replace(task=task)
    assert parse_cache(cache_bytes(cache), "x").task == task


def test_values_of_copies_in_context_are_checked_too():
    cache = small_cache(n_clips=2, n_windows=2, has_cepstra=True, n_contexts=1)
    data = cache_bytes(cache)
    assert "context_windows: a value is not finite" in refusal(with_number(data, cache, "context_windows", np.inf))
    assert "context_hops: a value is not finite" in refusal(with_number(data, cache, "context_hops", np.nan))
    assert "context_spans: a span lies outside" in refusal(with_number(data, cache, "context_spans", 2**30, 1))
