"""File source: play a recording into the pipeline."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np

from streamgmm import units, wording
from streamgmm.arrays import Samples
from streamgmm.audio.channels import ChannelChoice
from streamgmm.audio.reading import open_recording
from streamgmm.audio.resample import Resampler, warn_if_narrow
from streamgmm.audio.source import Block, Vitals

_file_logger = logging.getLogger(__name__)

MAX_READS, MAX_READS_AHEAD = 8, 64
"""Most blocks of a recording that are delivered as one, where nobody waits for them: the overhead of a block in what
follows exceeds its work. More of them where no other thread has to keep what was read ahead."""


class RecordingFile:
    """Recording of any length, delivered as fast as it is read or at a multiple of real time.

    Args:
        path: path of the file, or of a symbolic link to it.
        channel: index of one channel (from 0), or the mean of all.
        pace: speed as a multiple of real time; 0 for as fast as possible.
        max_reads: most blocks of 0.1 s that are delivered as one at a pace of 0.
        clock: returns the monotonic time (s).
        wait: waits for the event for at most the given time (s); returns True if it is set.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        channel: ChannelChoice = "mean",
        pace: float = 0.0,
        max_reads: int = MAX_READS,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self.name = f"file:{wording.escaped(str(path))}"
        self.is_live = pace > 0
        self._path = path
        self._channel: ChannelChoice = channel
        self._pace = pace
        self._max_reads = max_reads
        self._clock = clock
        self._wait = wait
        self._n_delivered = 0
        self._is_at_end = False
        self._closed = threading.Event()
        # Held while libsndfile decodes: its handle must not be freed in another thread meanwhile.
        self._decoding = threading.Lock()
        self._resources = ExitStack()

    def open(self, sample_rate_hz: int, block_samples: int | None = None) -> None:
        """Start delivering at `sample_rate_hz`.

        Raises:
            RecordingError: the file is missing or unusable.
        """
        self._reader = open_recording(self._path, channel=self._channel, follow_symlinks=True)
        self._resources.enter_context(self._reader)
        self._sample_rate_hz = sample_rate_hz
        warn_if_narrow(self._reader.sample_rate_hz, sample_rate_hz)
        self._resampler = Resampler(self._reader.sample_rate_hz, sample_rate_hz)
        self._start_s = self._clock()

    def read(self) -> Block | None:
        """Wait until the next block is due and return it; None at the end, or soon after `close`.

        Raises:
            RecordingError: nothing in the file can be decoded.
        """
        with self._decoding:
            block = self._next_block()
            if block is None:
                self._resources.close()
        # Wait outside the lock, so that `close` can acquire it meanwhile.
        if block is None or self._is_closed_before_due(len(block.samples)):
            return None
        return block

    def vitals(self) -> Vitals:
        """Return the name; a recording has no clock."""
        return Vitals(self.name)

    def close(self) -> None:
        """Stop, and wake a `read` that waits in another thread."""
        self._closed.set()
        # If a reader holds the lock, it closes the file itself at its next read.
        if self._decoding.acquire(blocking=False):
            self._resources.close()
            self._decoding.release()

    def _next_block(self) -> Block | None:
        while not self._is_at_end and not self._closed.is_set():
            samples = self._next_samples()
            self._is_at_end = not samples.size
            resampled = self._resampler.push(samples, last=self._is_at_end)
            if self._is_at_end:
                self._log_warnings()
            if resampled.size:
                return Block(resampled)
        return None

    def _next_samples(self) -> Samples:
        """Return the next samples, none at the end of the recording."""
        if self.is_live:
            return self._reader.read()
        blocks = list(islice(self._reader, self._max_reads))
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def _is_closed_before_due(self, n_samples: int) -> bool:
        """Wait until the last of these samples would have been recorded; return True if the source is closed before."""
        if not self._pace:
            return self._closed.is_set()
        self._n_delivered += n_samples
        # Counted from the start, so that the lateness of single waits does not add up.
        due_s = self._start_s + units.samples_to_seconds(self._n_delivered, self._sample_rate_hz) / self._pace
        # `Event.wait` raises OverflowError above this limit, which a very slow pace would exceed.
        return self._wait(self._closed, min(max(0.0, due_s - self._clock()), threading.TIMEOUT_MAX))

    def _log_warnings(self) -> None:
        loss = self._reader.mix_loss
        for warning in [*self._reader.warnings, *([loss.text] if loss else [])]:
            _file_logger.warning("%r: %s", str(self._path), warning)
