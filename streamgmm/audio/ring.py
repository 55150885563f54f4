"""The ring between the thread that captures and the thread that analyses."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Samples
from streamgmm.records import GapReason

_NO_SAMPLES: Samples = np.zeros(0, np.float32)
_NO_SAMPLES.flags.writeable = False


class Stretch(NamedTuple):
    """What the reader gets at once: either samples or one loss.

    Attributes:
        start_index: how many samples were captured before these; those that the source itself lost
            never got an index.
        samples: float32, shape (n,), the reader's own; empty for a loss or after a timeout.
        lost_samples: how many samples are missing between the stretch before and the one after.
        gap_reason: why they are missing; None if this is not a loss.
    """

    start_index: int
    samples: Samples
    lost_samples: int = 0
    gap_reason: GapReason | None = None


class RingCounts(NamedTuple):
    """Where all samples went: captured = read + lost + in flight, exactly, in every snapshot.

    Attributes:
        captured_samples: written into the ring.
        read_samples: handed to the reader.
        lost_samples: overwritten or skipped before they were read.
        in_flight_samples: waiting for the reader.
        source_lost_samples: announced by `write_gap`; they never reached the ring and are in no other count.
    """

    captured_samples: int
    read_samples: int
    lost_samples: int
    in_flight_samples: int
    source_lost_samples: int


class Ring:
    """Samples on their way from one writer thread to one reader thread.

    Storage is mirrored (every sample is kept at i and at i + capacity), so that any stretch is one
    contiguous copy wherever it begins. Neither side polls.

    Args:
        capacity_samples: most samples in flight, and most that one `read` may ask for.
        is_lossy: when full, True overwrites the oldest unread samples, and False makes the writer wait.
        on_change: called after each write, loss, end and close, for a reader that looks after several rings; must
            not wait.
    """

    def __init__(self, capacity_samples: int, *, is_lossy: bool, on_change: Callable[[], None] = lambda: None) -> None:
        self._on_change = on_change
        self.capacity_samples = capacity_samples
        self._is_lossy = is_lossy
        self._storage: Samples = np.zeros(2 * capacity_samples, np.float32)
        self._changed = threading.Condition()
        self._write_index = 0
        self._read_index = 0
        self._n_given_up = 0
        self._n_source_lost = 0
        self._lost_samples: Counter[GapReason] = Counter()
        # What is missing just before the sample of an index, by reason; indices ascend. Summed by reason,
        # so that a writer without a reader cannot make it grow beyond the capacity.
        self._losses: dict[int, Counter[GapReason]] = {}
        self._is_ended = False
        self._is_closed = False

    @property
    def counts(self) -> RingCounts:
        """All counters at one instant."""
        with self._changed:
            return RingCounts(
                captured_samples=self._write_index,
                read_samples=self._read_index - self._n_given_up,
                lost_samples=self._n_given_up,
                in_flight_samples=self._write_index - self._read_index,
                source_lost_samples=self._n_source_lost,
            )

    @property
    def lost_samples(self) -> dict[GapReason, int]:
        """How many samples were lost so far for each reason, by the source and here."""
        with self._changed:
            return dict(self._lost_samples)

    @property
    def waiting_samples(self) -> int:
        """What waits for the reader, without the lock: about right, and for those who must never wait."""
        return self._write_index - self._read_index

    def write(self, samples: Samples) -> bool:
        """Append samples (float32, shape (n,)).

        Returns:
            False if the ring was closed; what had no room by then is not counted as captured.
        """
        rest = samples
        with self._changed:
            # A block may be longer than the room, and than the whole ring: it goes in piece by piece.
            while rest.size and self._wait_for_room():
                piece = rest[: self._make_room(rest.size)]
                self._store(piece)
                rest = rest[piece.size :]
                self._changed.notify_all()
                self._on_change()
            return not self._is_closed

    def write_gap(self, lost_samples: int, reason: GapReason) -> None:
        """Announce that the source lost samples here; never waits.

        Args:
            lost_samples: how many; 0 marks a break of unknown or no length.
            reason: why.
        """
        with self._changed:
            self._n_source_lost += lost_samples
            self._lost_samples[reason] += lost_samples
            self._losses.setdefault(self._write_index, Counter()).update({reason: lost_samples})
            self._changed.notify_all()
        self._on_change()

    def end(self) -> None:
        """No more will be written: the reader gets what is left, then None."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()
        self._on_change()

    def close(self) -> None:
        """Wake both sides and stop at once; what is in flight stays there."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._on_change()

    def read(self, n_samples: int, timeout_s: float | None = None) -> Stretch | None:
        """Wait for exactly `n_samples` contiguous samples, or for a loss.

        A stretch never spans a loss: the samples before it come first, however few, then the loss by
        itself. Losses that meet in one place, because all samples between them were overwritten, come as
        one for each reason. Otherwise fewer samples than asked for come only at the end.

        Args:
            n_samples: at least 1 and at most the capacity.
            timeout_s: give up after this long, with a stretch of no samples and no loss.

        Returns:
            The stretch, or None at the end or after `close`.

        Raises:
            ValueError: `n_samples` could never be there at once.
        """
        if not 1 <= n_samples <= self.capacity_samples:
            raise ValueError(f"n_samples is {n_samples}, must be 1 to {self.capacity_samples}")
        with self._changed:
            is_ready = self._changed.wait_for(lambda: self._is_ready(n_samples), timeout_s)
            if self._is_closed or self._is_drained():
                return None
            return self._take(n_samples) if is_ready else Stretch(self._read_index, _NO_SAMPLES)

    def skip(self, n_samples: int, reason: GapReason) -> None:
        """Give up the oldest unread samples for the reader, who cannot keep up; the next `read` tells of it.

        Args:
            n_samples: how many, at most those in flight.
            reason: why.

        Raises:
            ValueError: there are not so many.
        """
        with self._changed:
            if not 0 <= n_samples <= self._write_index - self._read_index:
                raise ValueError(f"n_samples is {n_samples}, but {self._write_index - self._read_index} are in flight")
            if n_samples:
                self._give_up(n_samples, reason)
            self._changed.notify_all()

    def _wait_for_room(self) -> bool:
        """Wait until a sample can be stored; False when the ring is closed."""
        self._changed.wait_for(lambda: self._is_closed or self._is_lossy or self._room_samples() > 0)
        return not self._is_closed

    def _room_samples(self) -> int:
        return self.capacity_samples - (self._write_index - self._read_index)

    def _make_room(self, n_wanted: int) -> int:
        """How many of the wanted samples can be stored now."""
        if not self._is_lossy:
            return min(n_wanted, self._room_samples())
        n_samples = min(n_wanted, self.capacity_samples)
        if n_samples > self._room_samples():
            self._give_up(n_samples - self._room_samples(), "ring_overwrite")
        return n_samples

    def _give_up(self, n_samples: int, reason: GapReason) -> None:
        """Lose the oldest unread samples, and gather what was missing between them."""
        gathered = self._losses.pop(self._read_index, Counter())
        gathered[reason] += n_samples
        self._lost_samples[reason] += n_samples
        self._read_index += n_samples
        self._n_given_up += n_samples
        for index in [index for index in self._losses if index <= self._read_index]:
            gathered.update(self._losses.pop(index))
        self._losses = {self._read_index: gathered, **self._losses}

    def _store(self, samples: Samples) -> None:
        """Copy at most `capacity_samples` samples to both of their places."""
        capacity = self.capacity_samples
        begin = self._write_index % capacity
        end = begin + samples.size
        n_wrapped = max(0, end - capacity)
        n_direct = samples.size - n_wrapped
        self._storage[begin:end] = samples
        self._storage[begin + capacity : begin + capacity + n_direct] = samples[:n_direct]
        self._storage[:n_wrapped] = samples[n_direct:]
        self._write_index += samples.size

    def _stretch_end(self, n_samples: int) -> int:
        """Index where the next stretch would end: after `n_samples`, or at the next loss."""
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
        # A copy: the writer may overwrite its place as soon as the lock is gone.
        offset = start % self.capacity_samples
        samples = self._storage[offset : offset + self._read_index - start].copy()
        self._changed.notify_all()
        return Stretch(start, samples)

    def _take_loss(self, index: int) -> Stretch:
        # At once, before any sample follows: whoever listens learns of a dead microphone now.
        losses = self._losses[index]
        reason = next(iter(losses))
        lost_samples = losses.pop(reason)
        if not losses:
            del self._losses[index]
        return Stretch(index, _NO_SAMPLES, lost_samples, reason)
