"""Capture thread: read a source into the ring, and reopen the source after failures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

from streamgmm import units
from streamgmm.audio.choosing import PlannedSource
from streamgmm.audio.ring import Ring
from streamgmm.audio.source import Block, Source
from streamgmm.errors import DeviceError, StreamgmmError
from streamgmm.service.clocks import Clocks
from streamgmm.service.health import CaptureState
from streamgmm.service.sleep_clock import SleepClock

logger = logging.getLogger("streamgmm.capture")

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0
"""Longest wait between attempts (s). Waits double from the first up to this, and attempts never stop: a microphone may
be plugged in again days later."""

OnState = Callable[[CaptureState, str], None]


class ResumedError(DeviceError):
    """Raised after the machine slept: a device may deliver stale sound then, so it is opened again."""


class CaptureListener(NamedTuple):
    """Callbacks of a capture, all called from its thread.

    Attributes:
        on_state: receives each new state and its reason.
        on_move: called at every step, so that a watchdog sees progress.
        on_failure: receives the exception that ends the capture for good, before the ring is ended.
    """

    on_state: OnState
    on_move: Callable[[], None] = lambda: None
    on_failure: Callable[[BaseException], None] = lambda error: None


class Capture:
    """Read a source into a ring until the source ends or is stopped; reopen a live source when it fails.

    States: `degraded` until the first sound of a source that is missing; `lost` or `stalled` when a source fails
    that delivered sound before, then `recovering` while it is opened again; otherwise `ok`.

    Args:
        source: the source to read.
        ring: receives the samples, and is ended when no more will come.
        sample_rate_hz: rate of the ring's samples.
        listener: callbacks, called from the capture thread.
        clocks: clocks of the run.
        is_device_required: whether a live source that is missing at the start is an error; otherwise the capture
            waits for it.
        block_samples: length in which the reader of the ring needs sound; None for as short as the source can.

    Attributes:
        source: the source that is being read, or was read last; None before the first one and after `run` has ended.
        n_reopened: number of times that sound resumed after a failure.
        is_over: whether `run` has ended.
        first_heard_s: monotonic time when the first sample was recorded (s), which is before its block was delivered;
            None until then.
    """

    def __init__(
        self,
        source: PlannedSource,
        ring: Ring,
        sample_rate_hz: int,
        listener: CaptureListener,
        clocks: Clocks,
        *,
        is_device_required: bool,
        block_samples: int | None = None,
    ) -> None:
        self._make_source = source.make
        self._ring = ring
        self._sample_rate_hz = sample_rate_hz
        self._on_state = listener.on_state
        self._is_device_required = is_device_required
        self._block_samples = block_samples
        self._clock = clocks.monotonic
        self._wait = clocks.wait
        self._on_move = listener.on_move
        self._on_failure = listener.on_failure
        self._sleep_clock = SleepClock(clocks.monotonic, clocks.boot)
        self._stopping = threading.Event()
        # Protects `source`, and makes one step of its assignment and the check for a stop.
        self._lock = threading.Lock()
        self.source: Source | None = None
        self.n_reopened = 0
        self.is_over = False
        self.first_heard_s: float | None = None
        self._delay_s = FIRST_DELAY_S
        self._said: tuple[CaptureState, str] | None = None
        self._last_block_s: float | None = None
        self._is_resuming = True

    def run(self) -> None:
        """Capture until the end; call once, in a dedicated thread.

        Raises:
            StreamgmmError: the source failed, and waiting will not help.
        """
        try:
            while (error := self._run_source()) is not None:
                self._tell_failure(error)
                # Waits for the event instead of sleeping, so that `stop` ends the wait at once.
                if self._wait(self._stopping, FIRST_DELAY_S if error.has_waited else self._delay_s):
                    break
                self._delay_s = min(2.0 * self._delay_s, LONGEST_DELAY_S)
                self._on_move()
                self._say_recovering()
        except BaseException as error:
            self._on_failure(error)
            raise
        finally:
            with self._lock:
                self.source = None
            self.is_over = True
            self._ring.end()

    @property
    def drift_ppm(self) -> float | None:
        """Clock drift of the source relative to its nominal rate (parts per million); None if unknown."""
        source = self.source
        # The capture thread may set the attribute to None at any moment, so it is read once.
        return None if source is None else source.vitals().drift_ppm

    def stop(self) -> None:
        """Make `run` return soon; may be called from any thread."""
        with self._lock:
            self._stopping.set()
            source = self.source
        # Outside the lock: closing a device may take long, and the capture thread needs the lock to end.
        if source is not None:
            source.close()

    def _run_source(self) -> StreamgmmError | None:
        """Read one source to its end; return the error if a retry may help, None at the end.

        Raises:
            StreamgmmError: the source failed, and a retry will not help.
        """
        source = self._make_source()
        # Under the lock, `stop` either finds the source and closes it, or prevents that it is opened.
        with self._lock:
            if self._stopping.is_set():
                return None
            self.source = source
        try:
            source.open(self._sample_rate_hz, self._block_samples)
            self._on_move()
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
            return error.may_heal
        # Nothing has worked yet: an error that waiting cannot heal must be reported at once, not retried forever.
        return error.may_heal and not error.is_hopeless and not self._is_device_required

    def _deliver(self, block: Block, source: Source) -> bool:
        self._on_move()
        if source.is_live and (slept_s := self._take_slept_s()):
            raise ResumedError(f"the machine slept for {slept_s:.1f} s", where=source.name)
        if self._is_resuming:
            self._resume(source, len(block.samples) + block.lost_samples)
        self._last_block_s = self._heard_until_s(source)
        # Before the samples, because the loss precedes them.
        if block.gap_reason is not None:
            logger.warning("capture.gap reason=%s lost_samples=%d", block.gap_reason, block.lost_samples)
            self._ring.write_gap(block.lost_samples, block.gap_reason)
        return self._ring.write(block.samples)

    def _resume(self, source: Source, n_samples: int) -> None:
        """Handle the first block of a source, which accounts for `n_samples`: count the loss before it, report `ok`."""
        self._is_resuming = False
        self._delay_s = FIRST_DELAY_S
        self.n_reopened += self._last_block_s is not None
        if self.first_heard_s is None:
            duration_s = units.samples_to_seconds(n_samples, self._sample_rate_hz)
            self.first_heard_s = self._heard_until_s(source) - duration_s
        if lost_samples := self._take_lost_samples(self._heard_until_s(source), n_samples):
            self._ring.write_gap(lost_samples, "device_lost")
        self._say("ok", f"audio flows from {source.vitals().description}")

    def _tell_failure(self, error: StreamgmmError) -> None:
        """Count the samples lost so far, so that stream time advances for readers, and report `error` if it is new."""
        self._on_move()
        is_first, self._is_resuming = not self._is_resuming, True
        has_heard = self._last_block_s is not None
        if has_heard:
            # A device that is gone after the machine slept is expected, not an alarm.
            # Called in any case, because it also records the gap of the sleep; the monotonic clock below does not count
            # sleep.
            is_first = not self._take_slept_s() and is_first
            # Also if no sample was lost: a gap of length 0 marks the interruption.
            self._ring.write_gap(self._take_lost_samples(self._clock()), "device_lost")
        self._say(self._state_after(error, is_first) if has_heard else "degraded", str(error))

    def _state_after(self, error: StreamgmmError, is_first: bool) -> CaptureState:
        if not is_first or isinstance(error, ResumedError):
            return "recovering"
        return "stalled" if error.is_stall else "lost"

    def _say_recovering(self) -> None:
        if self._said is not None and self._said[0] in ("lost", "stalled"):
            self._say("recovering", f"opening it again after: {self._said[1]}")

    def _say(self, state: CaptureState, detail: str) -> None:
        if (state, detail) != self._said:
            self._said = (state, detail)
            self._on_state(state, detail)

    def _take_slept_s(self) -> float:
        """Return and log how long the machine has slept since the last call (s); record a gap if sound came before."""
        slept_s = self._sleep_clock.take_slept_s()
        if slept_s:
            logger.warning("system.resumed slept_s=%.1f", slept_s)
            if self._last_block_s is not None:
                self._ring.write_gap(units.seconds_to_samples(slept_s, self._sample_rate_hz), "suspend")
        return slept_s

    def _heard_until_s(self, source: Source) -> float:
        """Return the monotonic time when the last delivered sample was recorded (s); a driver may hold later ones."""
        until_s = source.vitals().heard_until_s
        return self._clock() if until_s is None else until_s

    def _take_lost_samples(self, now_s: float, n_new_samples: int = 0) -> int:
        """Return how many samples are missing since the last block or call, without the `n_new_samples` just received.

        Computed from elapsed time, as a device that is gone cannot report what it lost.
        """
        if self._last_block_s is None:
            return 0
        lost_samples = units.seconds_to_samples(now_s - self._last_block_s, self._sample_rate_hz) - n_new_samples
        self._last_block_s = now_s
        # Clocks and samples do not agree exactly, and a surplus is not a loss.
        return max(0, lost_samples)
