"""The ring against a slow oracle that keeps every sample and every loss as one item of a list."""

import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.audio.ring import Ring
from tests.narrowing import present


def numbered(begin, end):
    """Samples whose value is their absolute index (exact in float32 below 2**24)."""
    return np.arange(begin, end, dtype=np.float32)


class Oracle:
    """A list of samples (numbers) and losses ([reason, n]); one item per sample."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.items = []
        self.n_captured = self.n_read = self.n_lost = self.n_source_lost = 0
        self.is_ended = False

    def write(self, samples):
        for sample in samples.tolist():
            self.items.append(sample)
            self.n_captured += 1
            self._drop_oldest()
        self._merge()

    def _drop_oldest(self):
        unread = [i for i, item in enumerate(self.items) if not isinstance(item, list)]
        if len(unread) > self.capacity:
            self.items[unread[0]] = ["ring_overwrite", 1]
            self.n_lost += 1

    def write_gap(self, n, reason):
        self.items.append([reason, n])
        self.n_source_lost += n
        self._merge()

    def _merge(self):
        """Losses with no sample between them become one for each reason, in the order of first mention."""
        merged: list[Any] = []
        here: dict[str, list[Any]] = {}
        for item in self.items:
            if not isinstance(item, list):
                here = {}
                merged.append(item)
            elif item[0] in here:
                here[item[0]][1] += item[1]
            else:
                here[item[0]] = [*item]
                merged.append(here[item[0]])
        self.items = merged

    def read(self, n):
        if not self.items:
            return None if self.is_ended else ([], 0, None)
        if isinstance(self.items[0], list):
            reason, n_lost = self.items.pop(0)
            return [], n_lost, reason
        run = []
        for item in self.items[:n]:
            if isinstance(item, list):
                break
            run.append(item)
        is_whole = len(run) == n or len(run) < len(self.items) or self.is_ended
        if not is_whole:
            return [], 0, None
        del self.items[: len(run)]
        self.n_read += len(run)
        return run, 0, None

    def counts(self):
        n_in_flight = sum(not isinstance(item, list) for item in self.items)
        return self.n_captured, self.n_read, self.n_lost, n_in_flight, self.n_source_lost


actions = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 30)),
        st.tuples(st.just("gap"), st.integers(0, 9), st.sampled_from(["device_lost", "suspend"])),
        st.tuples(st.just("read"), st.integers(1, 12)),
    ),
    max_size=60,
)


def perform(ring, oracle, action):
    if action[0] == "write":
        samples = numbered(oracle.n_captured, oracle.n_captured + action[1])
        assert ring.write(samples)
        oracle.write(samples)
    elif action[0] == "gap":
        ring.write_gap(*action[1:])
        oracle.write_gap(*action[1:])
    else:
        assert_same_read(ring, oracle, min(action[1], ring.capacity_samples))


def assert_same_read(ring, oracle, n):
    expected = oracle.read(n)
    stretch = ring.read(n, timeout_s=0.0)
    if expected is None:
        assert stretch is None
        return
    assert stretch is not None
    assert (stretch.samples.tolist(), stretch.lost_samples, stretch.gap_reason) == expected
    if stretch.samples.size:
        assert stretch.start_index == stretch.samples[0]


@given(actions=actions, capacity=st.integers(1, 25))
def test_A12_lossy_ring_equals_oracle(actions, capacity):
    ring, oracle = Ring(capacity, is_lossy=True), Oracle(capacity)
    for action in actions:
        perform(ring, oracle, action)
        assert tuple(ring.counts) == oracle.counts()
    ring.end()
    oracle.is_ended = True
    while oracle.items:
        assert_same_read(ring, oracle, capacity)
    assert ring.read(1) is None
    counts = ring.counts
    assert counts.captured_samples == counts.read_samples + counts.lost_samples
    assert counts.in_flight_samples == 0


@given(
    n_write=st.lists(st.integers(0, 40), max_size=20),
    n_read=st.integers(1, 10),
    capacity=st.integers(10, 30),
)
def test_A22_lossless_ring_delivers_everything_in_order(n_write, n_read, capacity):
    ring = Ring(capacity, is_lossy=False)
    total = sum(n_write)

    def write_all():
        begin = 0
        for n in n_write:
            ring.write(numbered(begin, begin + n))
            begin += n
        ring.end()

    writer = threading.Thread(target=write_all)
    writer.start()
    stretches = list(iter(lambda: ring.read(n_read), None))
    writer.join()
    assert all(s.samples.size == n_read for s in stretches[:-1])
    assert np.concatenate([numbered(0, 0), *(s.samples for s in stretches)]).tolist() == list(range(total))
    assert ring.counts == (total, total, 0, 0, 0)


def test_A12_every_lost_sample_is_told_under_threads():
    n_total, capacity = 200_000, 1000
    ring = Ring(capacity, is_lossy=True)

    def write_all():
        for begin in range(0, n_total, 160):
            ring.write(numbered(begin, begin + 160))
        ring.end()

    writer = threading.Thread(target=write_all)
    writer.start()
    next_value = n_read = n_lost = 0
    while (stretch := ring.read(64)) is not None:
        counts = ring.counts
        assert counts.captured_samples == counts.read_samples + counts.lost_samples + counts.in_flight_samples
        next_value += stretch.lost_samples
        n_lost += stretch.lost_samples
        assert stretch.samples.tolist() == list(range(next_value, next_value + stretch.samples.size))
        next_value += stretch.samples.size
        n_read += stretch.samples.size
    writer.join()
    assert n_read + n_lost == n_total == next_value
    assert ring.counts == (n_total, n_read, n_lost, 0, 0)


def test_gap_arrives_where_it_happened():
    ring = Ring(100, is_lossy=True)
    ring.write(numbered(0, 7))
    ring.write_gap(500, "device_lost")
    ring.write(numbered(7, 20))
    stretches = [present(ring.read(5)) for _ in range(4)]
    assert [(s.start_index, s.samples.size, s.lost_samples, s.gap_reason) for s in stretches] == [
        (0, 5, 0, None),
        (5, 2, 0, None),
        (7, 0, 500, "device_lost"),
        (7, 5, 0, None),
    ]


def test_gap_is_told_before_the_sound_comes_back():
    ring = Ring(100, is_lossy=True)
    ring.write_gap(500, "device_lost")
    stretch = present(ring.read(5))
    assert (stretch.lost_samples, stretch.gap_reason) == (500, "device_lost")


def test_gaps_without_a_reader_stay_bounded():
    ring = Ring(10, is_lossy=True)
    for i in range(1000):
        ring.write(numbered(i, i + 1))
        ring.write_gap(1, "suspend" if i % 2 else "device_lost")
    assert len(ring._losses) <= 11
    ring.end()
    told = [s.lost_samples for s in iter(lambda: ring.read(1), None)]
    assert sum(told) == 1000 + 990


def test_samples_do_not_change_under_the_reader():
    ring = Ring(4, is_lossy=True)
    ring.write(numbered(0, 4))
    samples = present(ring.read(4)).samples
    ring.write(numbered(4, 8))
    assert samples.tolist() == [0, 1, 2, 3]


def test_read_waits_until_the_last_sample_is_there():
    ring = Ring(10, is_lossy=True)
    ring.write(numbered(0, 9))
    timed_out = present(ring.read(10, timeout_s=0.0))
    assert (timed_out.samples.size, timed_out.lost_samples, ring.counts.in_flight_samples) == (0, 0, 9)
    got = []
    reader = threading.Thread(target=lambda: got.append(present(ring.read(10))))
    reader.start()
    ring.write(numbered(9, 10))
    reader.join(timeout=5)
    assert got[0].samples.tolist() == list(range(10))


def test_end_gives_what_is_left_then_none():
    ring = Ring(10, is_lossy=False)
    ring.write(numbered(0, 3))
    ring.write_gap(2, "suspend")
    ring.end()
    assert present(ring.read(5)).samples.tolist() == [0, 1, 2]
    assert present(ring.read(5)).lost_samples == 2
    assert ring.read(5) is None
    assert ring.read(5) is None


def test_close_wakes_a_waiting_reader():
    ring = Ring(10, is_lossy=True)
    got = []
    reader = threading.Thread(target=lambda: got.append(ring.read(5)))
    reader.start()
    ring.close()
    reader.join(timeout=5)
    assert got == [None]


def test_close_wakes_a_waiting_writer_and_counts_only_what_was_stored():
    ring = Ring(10, is_lossy=False)
    got = []
    writer = threading.Thread(target=lambda: got.append(ring.write(numbered(0, 30))))
    writer.start()
    assert present(ring.read(10)).samples.tolist() == list(range(10))
    ring.close()
    writer.join(timeout=5)
    assert got == [False]
    counts = ring.counts
    assert counts.captured_samples == 10 + counts.in_flight_samples <= 20


def test_block_longer_than_the_ring_loses_its_beginning():
    ring = Ring(10, is_lossy=True)
    ring.write(numbered(0, 35))
    assert present(ring.read(10)).lost_samples == 25
    assert present(ring.read(10)).samples.tolist() == list(range(25, 35))


@pytest.mark.parametrize("n_samples", [0, -1, 11])
def test_impossible_read_is_refused_at_once(n_samples):
    with pytest.raises(ValueError, match="1 to 10"):
        Ring(10, is_lossy=False).read(n_samples)


def test_start_indices_ascend_across_many_wraps():
    ring = Ring(7, is_lossy=False)
    starts = []
    for i in range(50):
        ring.write(numbered(5 * i, 5 * i + 5))
        stretch = present(ring.read(5))
        assert stretch.samples.tolist() == list(range(5 * i, 5 * i + 5))
        starts.append(stretch.start_index)
    assert {b - a for a, b in pairwise(starts)} == {5}


@given(blocks=st.lists(st.integers(1, 40), min_size=30, max_size=60), n_read=st.integers(1, 30))
def test_a_reader_that_keeps_up_needs_little_of_the_storage(blocks: list[int], n_read: int) -> None:
    ring = Ring(10_000, is_lossy=True)
    n_written = 0
    for n_samples in blocks:
        ring.write(numbered(n_written + 1, n_written + 1 + n_samples))
        n_written += n_samples
        while ring.is_ready(n_read):
            ring.read(n_read)
    # Samples are not zero, and so mark what was ever used.
    assert np.flatnonzero(ring._storage).max(initial=0) < 2 * (40 + n_read)
