"""The capture thread's work: from the source into the ring, and back again after every failure."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Literal

from streamgmm import units
from streamgmm.audio.ring import Ring
from streamgmm.audio.source import Block, Source
from streamgmm.errors import DeviceError, StreamgmmError, SystemResourceError

logger = logging.getLogger("streamgmm.capture")

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0
"""Waits between attempts double from the first to the longest, and never end: a microphone may come back any day."""

HOPELESS_REASONS = frozenset({"no_library", "no_channel", "ambiguous"})
"""Why a microphone cannot be had that no waiting will change (`CaptureError.reason`)."""

State = Literal["ok", "degraded", "recovering"]
OnState = Callable[[State, str], None]


class Capture:
    """Reads a source into a ring until it ends or is stopped; a live source is opened again when it fails.

    States: `degraded` until the first sound of a source that is missing, `recovering` while one is that
    was heard before, else `ok`.

    Args:
        make_source: a fresh source, not yet opened.
        ring: receives the samples, and is ended when no more will come.
        sample_rate_hz: rate of the ring's samples.
        on_state: is told from the capture thread when the state changes, and why.
        is_device_required: whether a live source that is missing at the start is an error instead of
            something to wait for.
        clock: seconds, monotonic.
        wait: waits for the event, at most for so many seconds; True if it is set.

    Attributes:
        n_moves: grows with everything that it does; one that stands still for long hangs.
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
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self._make_source = make_source
        self._ring = ring
        self._sample_rate_hz = sample_rate_hz
        self._on_state = on_state
        self._is_device_required = is_device_required
        self._clock = clock
        self._wait = wait
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._delay_s = FIRST_DELAY_S
        self._failed_for: str | None = None
        self._last_block_s: float | None = None
        self._is_resuming = True
        self.n_moves = 0

    def run(self) -> None:
        """Capture until the end; to be called once, in a thread of its own.

        Raises:
            StreamgmmError: the source failed, and no waiting will heal it.
        """
        try:
            while (error := self._run_source()) is not None:
                self._tell_failure(error)
                if self._wait(self._stopping, self._delay_s):
                    break
                self._delay_s = min(2.0 * self._delay_s, LONGEST_DELAY_S)
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
        """Read one source to its end; returns what it failed of if that may heal, None at the end.

        Raises:
            StreamgmmError: it failed and will not heal.
        """
        source = self._make_source()
        with self._lock:
            if self._stopping.is_set():
                return None
            self._source = source
        self.n_moves += 1
        try:
            source.open(self._sample_rate_hz)
            self.n_moves += 1
            while (block := source.read()) is not None and self._deliver(block, source):
                pass
        except StreamgmmError as error:
            if self._stopping.is_set():
                return None
            if not source.is_live or not self._may_heal(error):
                raise
            return error
        finally:
            source.close()
        return None

    def _may_heal(self, error: StreamgmmError) -> bool:
        if self._last_block_s is not None:
            return isinstance(error, DeviceError | SystemResourceError)
        # Only a `CaptureError` has a reason; its module is not imported for it, as it needs sound libraries.
        is_hopeless = getattr(error, "reason", None) in HOPELESS_REASONS
        return isinstance(error, DeviceError) and not is_hopeless and not self._is_device_required

    def _deliver(self, block: Block, source: Source) -> bool:
        self.n_moves += 1
        if self._is_resuming:
            self._resume(source, len(block.samples))
        self._last_block_s = self._clock()
        if block.gap_reason is not None:
            self._ring.write_gap(block.lost_samples, block.gap_reason)
        return self._ring.write(block.samples)

    def _resume(self, source: Source, n_samples: int) -> None:
        """The first block of a source, of `n_samples`: count what was lost before it, and say that all is well."""
        self._is_resuming = False
        self._failed_for = None
        self._delay_s = FIRST_DELAY_S
        if lost_samples := self._take_lost_samples(n_samples):
            self._ring.write_gap(lost_samples, "device_lost")
        logger.info("capture.state state=ok source=%s", source.name)
        self._on_state("ok", f"audio flows from {source.name}")

    def _tell_failure(self, error: StreamgmmError) -> None:
        """Count what was lost so far, so that readers see time go on; say why, unless that was said before."""
        self._is_resuming = True
        self.n_moves += 1
        has_heard = self._last_block_s is not None
        if has_heard:
            self._ring.write_gap(self._take_lost_samples(), "device_lost")
        if str(error) != self._failed_for:
            self._failed_for = str(error)
            state: State = "recovering" if has_heard else "degraded"
            logger.warning("capture.state state=%s reason=%s", state, error)
            self._on_state(state, str(error))

    def _take_lost_samples(self, n_new_samples: int = 0) -> int:
        """What the source should have delivered since its last block, or since this was asked, but for the new ones."""
        if self._last_block_s is None:
            return 0
        now_s = self._clock()
        lost_samples = units.seconds_to_samples(now_s - self._last_block_s, self._sample_rate_hz) - n_new_samples
        self._last_block_s = now_s
        return max(0, lost_samples)
