"""Ring buffer between the capture thread and the analysis thread."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import numpy as np

from streamgmm.arrays import Samples
from streamgmm.audio.stretch import NO_SAMPLES, RingCounts, Stretch
from streamgmm.records import GapReason


class Ring:
    """Ring buffer of samples from one writer thread to one reader thread.

    What waits moves to the front of the storage from time to time, so that a ring whose reader keeps up occupies a few
    pages of memory, not its whole capacity. Neither side polls.

    Args:
        capacity_samples: largest number of samples in flight, and in one `read`.
        is_lossy: True to overwrite the oldest unread samples when full; False to make the writer wait.
        on_change: called after each write, loss, end and close, for a reader that serves several rings; must
            not block.
    """

    def __init__(self, capacity_samples: int, *, is_lossy: bool, on_change: Callable[[], None] = lambda: None) -> None:
        self._on_change = on_change
        self.capacity_samples = capacity_samples
        self._is_lossy = is_lossy
        self._storage: Samples = np.zeros(capacity_samples, np.float32)
        # Copies through it keep Python's lock, which numpy gives away even for a copy of a microsecond: with many
        # sources, waiting to get it back costs far more than the copy.
        self._places = self._storage.data
        # Taken by itself where nobody waits: a condition costs more than the copy of a block.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._n_waiting = 0
        # Indices count samples since the start and never wrap; the place in the storage is the remainder of the
        # distance from the origin, the index of a sample at the front.
        self._origin = 0
        self._write_index = 0
        self._read_index = 0
        self._n_given_up = 0
        self._n_source_lost = 0
        self._lost_samples: Counter[GapReason] = Counter()
        # Losses just before the sample of an index, in ascending order of indices. Summed by reason, so that a
        # writer without a reader cannot make the dictionary grow beyond the capacity.
        self._losses: dict[int, Counter[GapReason]] = {}
        self._is_ended = False
        self._is_closed = False

    @property
    def counts(self) -> RingCounts:
        """Return a consistent snapshot of all counters."""
        with self._lock:
            return RingCounts(
                captured_samples=self._write_index,
                read_samples=self._read_index - self._n_given_up,
                lost_samples=self._n_given_up,
                in_flight_samples=self._write_index - self._read_index,
                source_lost_samples=self._n_source_lost,
            )

    @property
    def lost_samples(self) -> dict[GapReason, int]:
        """Return the number of samples lost so far by reason, in the source and in the ring."""
        with self._lock:
            return dict(self._lost_samples)

    @property
    def waiting_samples(self) -> int:
        """Return the approximate number of samples that wait for the reader, without taking the lock."""
        # For callers that must never block. The indices may be of different moments, which is accurate enough.
        return self._write_index - self._read_index

    def is_ready(self, n_samples: int) -> bool:
        """Return whether `read` of `n_samples` would not wait: for samples, a loss or the end."""
        with self._lock:
            return self._is_ready(n_samples)

    def write(self, samples: Samples) -> bool:
        """Append samples (float32, shape (n,)); wait for room unless the ring is lossy.

        Returns:
            False if the ring was closed; samples that had no room by then are not counted as captured.
        """
        rest = samples
        # A block may be longer than the free room, and even than the ring: write it in pieces.
        while rest.size:
            with self._lock:
                if not self._wait_for_room():
                    return False
                piece = rest[: self._make_room(rest.size)]
                self._store(piece)
                rest = rest[piece.size :]
                # Woken after each piece: if the ring loses nothing, only the reader can make room for the next.
                self._wake()
            self._on_change()
        return not self._is_closed

    def write_gap(self, lost_samples: int, reason: GapReason) -> None:
        """Report that the source lost samples at this point; never waits.

        Args:
            lost_samples: number of samples; 0 marks an interruption of unknown or zero length.
            reason: reason of the loss.
        """
        with self._lock:
            self._n_source_lost += lost_samples
            self._lost_samples[reason] += lost_samples
            # New losses have the highest index so far, so that the keys remain in ascending order.
            self._losses.setdefault(self._write_index, Counter()).update({reason: lost_samples})
            self._wake()
        self._on_change()

    def end(self) -> None:
        """Mark the end of the stream: the reader gets the remaining samples, then None."""
        with self._lock:
            self._is_ended = True
            self._wake()
        self._on_change()

    def close(self) -> None:
        """Stop at once and wake both sides; samples in flight are not delivered."""
        with self._lock:
            self._is_closed = True
            self._wake()
        self._on_change()

    def read(self, n_samples: int, timeout_s: float | None = None) -> Stretch | None:
        """Wait for exactly `n_samples` contiguous samples, or for a loss.

        A stretch never spans a loss: the samples before the loss come first, however few, then the loss by
        itself. Losses without samples between them, e.g. because those were overwritten, are merged by
        reason. Otherwise, fewer samples than requested are returned only at the end.

        Args:
            n_samples: number of samples, from 1 to the capacity.
            timeout_s: time after which a stretch without samples and without a loss is returned (s); None for no limit.

        Returns:
            The stretch; None at the end or after `close`.

        Raises:
            ValueError: `n_samples` is out of range.
        """
        if not 1 <= n_samples <= self.capacity_samples:
            raise ValueError(f"n_samples is {n_samples}, must be 1 to {self.capacity_samples}")
        with self._lock:
            is_ready = self._wait_for(lambda: self._is_ready(n_samples), timeout_s)
            if self._is_closed or self._is_drained():
                return None
            return self._take(n_samples) if is_ready else Stretch(self._read_index, NO_SAMPLES)

    def skip(self, n_samples: int, reason: GapReason) -> None:
        """Discard the oldest unread samples, for a reader that cannot keep up; the next `read` reports the loss.

        Args:
            n_samples: number of samples, at most those in flight.
            reason: reason of the loss.

        Raises:
            ValueError: fewer samples are in flight.
        """
        with self._lock:
            if not 0 <= n_samples <= self._write_index - self._read_index:
                raise ValueError(f"n_samples is {n_samples}, but {self._write_index - self._read_index} are in flight")
            if n_samples:
                self._give_up(n_samples, reason)
            self._wake()  # a writer may wait for the room

    def _wait_for_room(self) -> bool:
        """Wait until a sample can be stored; return False if the ring is closed."""
        self._wait_for(lambda: self._is_closed or self._is_lossy or self._room_samples() > 0)
        return not self._is_closed

    def _wait_for(self, is_true: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until the condition is true; return whether it is."""
        is_true_now = is_true()
        if is_true_now or timeout_s == 0.0:
            return is_true_now
        self._n_waiting += 1
        try:
            return self._changed.wait_for(is_true, timeout_s)
        finally:
            self._n_waiting -= 1

    def _wake(self) -> None:
        if self._n_waiting:
            self._changed.notify_all()

    def _room_samples(self) -> int:
        return self.capacity_samples - (self._write_index - self._read_index)

    def _make_room(self, n_wanted: int) -> int:
        """Return how many of the wanted samples can be stored now, after discarding old ones if the ring is lossy."""
        if not self._is_lossy:
            return min(n_wanted, self._room_samples())
        n_samples = min(n_wanted, self.capacity_samples)
        if n_samples > self._room_samples():
            self._give_up(n_samples - self._room_samples(), "ring_overwrite")
        return n_samples

    def _give_up(self, n_samples: int, reason: GapReason) -> None:
        """Discard the oldest unread samples, and merge the losses between them into one place."""
        gathered = self._losses.pop(self._read_index, Counter())
        gathered[reason] += n_samples
        self._lost_samples[reason] += n_samples
        self._read_index += n_samples
        self._n_given_up += n_samples
        # Losses between the discarded samples have no place of their own any more.
        for index in [index for index in self._losses if index <= self._read_index]:
            gathered.update(self._losses.pop(index))
        # The merged loss is the earliest: put it first, because dictionaries keep the order of insertion.
        self._losses = {self._read_index: gathered, **self._losses}

    def _store(self, samples: Samples) -> None:
        """Copy samples, at most `capacity_samples`, into the storage."""
        begin = self._place(self._write_index)
        n_direct = min(samples.size, self.capacity_samples - begin)
        given = samples.data
        self._places[begin : begin + n_direct] = given[:n_direct]
        if n_direct < samples.size:
            self._places[: samples.size - n_direct] = given[n_direct:]
        self._write_index += samples.size

    def _place(self, index: int) -> int:
        return (index - self._origin) % self.capacity_samples

    def _rewind(self) -> None:
        """Move what waits to the front of the storage, if it is no more than what was read since it was moved last."""
        begin, n_waiting = self._place(self._read_index), self._write_index - self._read_index
        # The other half of the condition leaves alone what wraps, and copies each sample once on average at most.
        if n_waiting <= min(begin, self.capacity_samples - begin):
            self._places[:n_waiting] = self._places[begin : begin + n_waiting]
            self._origin = self._read_index

    def _stretch_end(self, n_samples: int) -> int:
        """Return the index at which the next stretch would end: after `n_samples`, or at the next loss."""
        # The first key is the lowest index, see `_losses`.
        next_loss = next(iter(self._losses), self._read_index + n_samples)
        return min(self._read_index + n_samples, next_loss)

    def _is_ready(self, n_samples: int) -> bool:
        return self._is_ended or self._is_closed or self._write_index >= self._stretch_end(n_samples)

    def _is_drained(self) -> bool:
        return self._is_ended and self._read_index == self._write_index and not self._losses

    def _take(self, n_samples: int) -> Stretch:
        start = self._read_index
        if start in self._losses:
            return self._take_loss(start)
        self._read_index = min(self._stretch_end(n_samples), self._write_index)
        # Copy, because the writer may overwrite the samples as soon as the lock is released.
        samples = np.empty(self._read_index - start, np.float32)
        begin = self._place(start)
        n_direct = min(len(samples), self.capacity_samples - begin)
        taken = samples.data
        taken[:n_direct] = self._places[begin : begin + n_direct]
        if n_direct < len(samples):
            taken[n_direct:] = self._places[: len(samples) - n_direct]
        self._rewind()
        self._wake()
        return Stretch(start, samples)

    def _take_loss(self, index: int) -> Stretch:
        # Report a loss without waiting for the samples after it, so that a dead microphone is noticed at once.
        losses = self._losses[index]
        reason = next(iter(losses))
        lost_samples = losses.pop(reason)
        if not losses:
            del self._losses[index]
        return Stretch(index, NO_SAMPLES, lost_samples, reason)
