"""The capture thread's work: from the source into the ring, and back again after every failure."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Literal

from streamgmm import units
from streamgmm.audio.ring import Ring
from streamgmm.audio.source import Block, Source
from streamgmm.errors import StreamgmmError

logger = logging.getLogger("streamgmm.capture")

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0
"""Waits between attempts double from the first to the longest, and never end: a microphone may come back any day."""

HOPELESS_REASONS = frozenset({"no_library", "no_channel", "ambiguous"})
"""Why a device cannot be had that no waiting will change."""

State = Literal["ok", "degraded", "recovering"]
OnState = Callable[[State, str], None]


def delays_s() -> Iterator[float]:
    """Seconds to wait before each further attempt."""
    delay_s = FIRST_DELAY_S
    while True:
        yield delay_s
        delay_s = min(2 * delay_s, LONGEST_DELAY_S)


class Capture:
    """Reads a source into a ring until it ends or is stopped; a live source is opened again when it fails.

    Args:
        make_source: a fresh source, not yet opened.
        ring: receives the samples, and is ended when no more will come.
        sample_rate_hz: rate of the ring's samples.
        on_state: is told from the capture thread when the state changes, and why.
        is_device_required: whether a live source that is missing at the start is an error instead of
            something to wait for.
        clock: seconds, monotonic.

    Attributes:
        failure: why capture ended before its time; None otherwise.
    """

    def __init__(
        self,
        make_source: Callable[[], Source],
        ring: Ring,
        sample_rate_hz: int,
        *,
        on_state: OnState,
        is_device_required: bool,
        clock: Callable[[], float],
    ) -> None:
        self.failure: StreamgmmError | None = None
        self._make_source = make_source
        self._ring = ring
        self._sample_rate_hz = sample_rate_hz
        self._on_state = on_state
        self._is_device_required = is_device_required
        self._clock = clock
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._last_block_s: float | None = None
        self._is_resuming = True

    def run(self) -> None:
        """Capture until the end; to be called once, in a thread of its own."""
        try:
            for delay_s in delays_s():
                error = self._run_source()
                if error is None or self._stopping.is_set():
                    break
                logger.warning("capture.failed reason=%s retry_s=%g", error, delay_s)
                self._on_state("recovering" if self._last_block_s is not None else "degraded", str(error))
                if self._stopping.wait(delay_s):
                    break
        except StreamgmmError as error:
            self.failure = error
        finally:
            self._ring.end()

    def stop(self) -> None:
        """Make `run` return soon; from any thread."""
        with self._lock:
            self._stopping.set()
            source = self._source
        if source is not None:
            source.close()

    def _run_source(self) -> StreamgmmError | None:
        """Read one source to its end; returns what it failed of if that may heal.

        Raises:
            StreamgmmError: it failed and will not heal.
        """
        source = self._make_source()
        with self._lock:
            if self._stopping.is_set():
                return None
            self._source = source
        try:
            source.open(self._sample_rate_hz)
            while (block := source.read()) is not None and self._deliver(block, source.name):
                pass
        except StreamgmmError as error:
            if not source.is_live or self._is_fatal(error):
                raise
            self._announce_loss()
            return error
        finally:
            source.close()
        return None

    def _is_fatal(self, error: StreamgmmError) -> bool:
        is_hopeless = getattr(error, "reason", None) in HOPELESS_REASONS
        return self._last_block_s is None and (self._is_device_required or is_hopeless)

    def _deliver(self, block: Block, name: str) -> bool:
        if self._is_resuming:
            self._on_state("ok", f"audio flows from {name}")
            self._announce_loss(len(block.samples))
        self._is_resuming = False
        self._last_block_s = self._clock()
        if block.gap_reason is not None:
            self._ring.write_gap(block.lost_samples, block.gap_reason)
        return self._ring.write(block.samples)

    def _announce_loss(self, n_new_samples: int = 0) -> None:
        """Tell the reader what a broken source has cost since its last block."""
        self._is_resuming = True
        if self._last_block_s is None:
            return
        now_s = self._clock()
        lost_samples = units.seconds_to_samples(now_s - self._last_block_s, self._sample_rate_hz) - n_new_samples
        self._last_block_s = now_s
        self._ring.write_gap(max(0, lost_samples), "device_lost")
