"""Microphone source: run the capture process, and convert its blocks to mono at the model's rate."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, NoReturn

import msgspec
import numpy as np
from msgspec import Meta

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio import capture_child
from streamgmm.audio.capture_child import BLOCK_HEADER, SAMPLE_BYTES
from streamgmm.audio.channels import Channel, LiveMixer, has_channel
from streamgmm.audio.child import Child
from streamgmm.audio.flow import FlowMeter
from streamgmm.audio.known_device import KnownDevice, ServerSource
from streamgmm.audio.resample import Resampler, warn_if_narrow
from streamgmm.audio.source import Block, Vitals
from streamgmm.errors import DeviceError
from streamgmm.records import GapReason

# Run by path, so that the package is not imported; -P, so that no module in the working directory is.
CAPTURE_COMMAND = (sys.executable, "-P", str(Path(capture_child.__file__).resolve()))

OPEN_TIMEOUT_S = 10.0
FIRST_BLOCK_TIMEOUT_S = 5.0
STALL_TIMEOUT_S = 2.0
MAX_BLOCK_BYTES = 16 * 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024

_NO_SAMPLES: Samples = np.zeros(0, np.float32)

Reason = Literal[
    "no_library", "not_found", "ambiguous", "no_channel", "refused",
    "open_timeout", "no_first_block", "stalled", "child_exit", "moved", "protocol",
]  # fmt: skip

# Waiting does not help with these; other failures may end when the device is plugged in again.
_HOPELESS = frozenset[Reason]({"no_library", "no_channel", "ambiguous"})
_STALLS = frozenset[Reason]({"open_timeout", "no_first_block", "stalled"})


class CaptureError(DeviceError):
    """Raised when the microphone cannot be opened, or when it is lost.

    Args:
        reason: reason as a keyword, for counters and logs.
        what: description of the problem in one line.
        where: name of the source.
        hint: advice for the user.
    """

    def __init__(self, reason: Reason, what: str, *, where: str = "", hint: str = "") -> None:
        self.reason = reason
        self.is_hopeless = reason in _HOPELESS
        self.is_stall = reason in _STALLS
        super().__init__(what, where=where, hint=hint)


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """Input device of this machine, or source of its sound server.

    Attributes:
        index: index in PortAudio's list, which may change when devices are plugged in or removed; None for a source.
        name: name in PortAudio, or on the sound server.
        host_api: ALSA or another host API of PortAudio, or the name of the sound server.
        max_channels: number of channels that it claims; 32 or more is an alias of a sound server.
        default_rate_hz: preferred sample rate.
        is_default: True if it is opened when no device is named.
        description: name of a source for people.
        is_monitor: True if a source records what an output plays.
    """

    index: int | None
    name: str
    host_api: str
    max_channels: int
    default_rate_hz: int
    is_default: bool
    description: str = ""
    is_monitor: bool = False


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """Device and format that the capture process has opened.

    Attributes:
        device: full name of the device.
        sample_rate_hz: sample rate of the device; blocks are resampled if the model's rate differs.
        n_channels: number of recorded channels.
        server_source: source of the sound server behind the device; None if there is none, or if it is unknown.
    """

    device: str
    sample_rate_hz: Annotated[int, Meta(ge=1000, le=384000)]
    n_channels: Annotated[int, Meta(ge=1, le=1024)]
    server_source: ServerSource | None = None


class _Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    reason: Reason
    error: str
    hint: str = ""


class _Devices(msgspec.Struct, frozen=True, kw_only=True, tag="devices"):
    devices: list[Device]


class _Moved(msgspec.Struct, frozen=True, kw_only=True, tag="moved"):
    from_source: str
    to_source: str
    is_default: bool


_answers: msgspec.json.Decoder[Opened | _Failed | _Devices] = msgspec.json.Decoder(Opened | _Failed | _Devices)


class _BlockHeader(NamedTuple):
    read_ns: int
    n_frames: int
    n_pending_frames: int
    has_overflowed: bool


class Microphone:
    """Live `Source` for one input device.

    A microphone does not recover from a failure: close it and open a new one.

    Args:
        device: name or part of a name, in any case, of a source of the sound server or else of a device; index of a
            device; None for the default device.
        channel: index of one channel (from 0), or the mean of all.
        known: identity of the device from earlier microphones, updated by this one.
        command: program that implements the protocol of `capture_child`; the request is appended as last argument.
        open_timeout_s: longest time until the device is open (s).
        first_block_timeout_s: longest time from then until the first block (s).
        stall_timeout_s: longest time between later blocks (s).
    """

    is_live = True

    def __init__(
        self,
        device: str | int | None = None,
        channel: Channel = "mean",
        *,
        known: KnownDevice | None = None,
        command: Sequence[str] = CAPTURE_COMMAND,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        first_block_timeout_s: float = FIRST_BLOCK_TIMEOUT_S,
        stall_timeout_s: float = STALL_TIMEOUT_S,
    ) -> None:
        self.name = "mic" if device is None else f"mic:{device}"
        self.opened: Opened | None = None
        self._device = device
        self._known = known or KnownDevice()
        self._channel: Channel = channel
        self._command = tuple(command)
        self._open_timeout_s = open_timeout_s
        self._first_block_timeout_s = first_block_timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._lock = threading.Lock()
        self._is_closed = False
        self._child: Child | None = None
        self._converter: _Converter | None = None
        self._blocks: deque[Block] = deque()

    def vitals(self) -> Vitals:
        """Return the device with the source behind it, and its clock; the drift is known after a minute."""
        if self._converter is None:
            return Vitals(self._describe())
        return Vitals(self._describe(), self._converter.heard_until_s, self._converter.drift_ppm)

    def _describe(self) -> str:
        if self.opened is None:
            return self.name
        source = self.opened.server_source
        names = [self.opened.device, source and source.name]
        return f"{self.name} ({', '.join(name for name in names if name)})"

    def open(self, sample_rate_hz: int) -> None:
        """Start the capture child and wait until it has opened the device.

        Raises:
            CaptureError: PortAudio or the device is missing, the device cannot be opened, or the child does not answer.
            SystemResourceError: the child cannot be started.
        """
        device = self._known.request(self._device)
        request = {**device, "channel": self._channel, "sample_rate_hz": sample_rate_hz}
        with self._lock:  # else a `close` in another thread could miss the child
            if self._is_closed:
                return
            self._child = Child([*self._command, json.dumps(request)])
        with _explained(self._child, self.name, "open_timeout", self._open_timeout_s):
            answer = _read_answer(self._child, self._open_timeout_s)
            if answer is None:
                return
            if not isinstance(answer, Opened):
                raise CaptureError("protocol", "the capture process did not open a device")
            self.opened = answer
            warn_if_narrow(answer.sample_rate_hz, sample_rate_hz)
            self._converter = _Converter(answer, self._channel, sample_rate_hz)
        self._known.learn(answer.device, answer.server_source, answer.sample_rate_hz, answer.n_channels)

    def read(self) -> Block | None:
        """Wait for the next block and return it; None soon after `close`.

        A loss is reported with the block after it; its length is an estimate (see `_Converter`).

        Raises:
            CaptureError: the device failed, the child died, or no block came in time.
        """
        while not self._blocks:
            if (child := self._child) is None or (converter := self._converter) is None:
                return None
            is_first = converter.previous is None
            timeout_s = self._first_block_timeout_s if is_first else self._stall_timeout_s
            with _explained(child, self.name, "no_first_block" if is_first else "stalled", timeout_s):
                packet = self._read_packet(child, converter.frame_bytes, timeout_s)
                if packet is None:
                    return None
                self._blocks.extend(converter.convert(*packet))
        return self._blocks.popleft()

    def _read_packet(self, child: Child, frame_bytes: int, timeout_s: float) -> tuple[_BlockHeader, bytes] | None:
        """Read the header and the interleaved frames of the next block; None once closed.

        Raises:
            CaptureError: the sound server moved the stream, or the header is invalid.
        """
        packed = child.read_exactly(BLOCK_HEADER.size, timeout_s)
        if packed is None:
            return None
        # The size is checked before memory is allocated for it: the child may be faulty.
        header = _BlockHeader(*BLOCK_HEADER.unpack(packed))
        if 0 < header.n_frames * frame_bytes <= MAX_BLOCK_BYTES:
            interleaved = child.read_exactly(header.n_frames * frame_bytes, timeout_s)
            return None if interleaved is None else (header, interleaved)
        if header.n_frames == 0 < header.n_pending_frames <= MAX_ANSWER_BYTES:
            answer = child.read_exactly(header.n_pending_frames, timeout_s)
            return None if answer is None else self._end_of_move(answer)
        raise CaptureError("protocol", f"the capture process announced a block of {header.n_frames} frames")

    def _end_of_move(self, answer: bytes) -> NoReturn:
        try:
            moved = msgspec.json.decode(answer, type=_Moved)
        except msgspec.DecodeError as error:
            raise CaptureError("protocol", f"the capture process speaks another protocol: {error}") from error
        self._known.follow(moved.to_source, is_default=moved.is_default)
        what = f"the sound server moved the stream from {moved.from_source!r} to {moved.to_source!r}"
        raise CaptureError("moved", what)

    def close(self) -> None:
        """Kill the child and wait for its end, for at most 0.1 s even if the sound server is frozen."""
        with self._lock:
            self._is_closed = True
        if self._child is not None:
            self._child.close()


def list_devices(timeout_s: float = OPEN_TIMEOUT_S, *, command: Sequence[str] = CAPTURE_COMMAND) -> list[Device]:
    """List the input devices of this machine, in a separate process.

    Raises:
        CaptureError: PortAudio is missing, or the process does not answer within `timeout_s`.
        SystemResourceError: the process cannot be started.
    """
    child = Child([*command, json.dumps({"list": True})])
    with contextlib.closing(child), _explained(child, "devices", "open_timeout", timeout_s):
        answer = _read_answer(child, timeout_s)
        if not isinstance(answer, _Devices):
            raise CaptureError("protocol", "the capture process did not list devices")
        return answer.devices


@contextlib.contextmanager
def _explained(child: Child, where: str, timeout_reason: Reason, timeout_s: float) -> Iterator[None]:
    """Convert every failure of `child` to a `CaptureError`, after killing the child."""
    try:
        yield
    except TimeoutError:
        child.close()
        hint = "is the sound server frozen?"
        raise CaptureError(timeout_reason, f"no answer for {timeout_s:g} s", where=where, hint=hint) from None
    except EOFError:
        end = child.describe_end()  # before `close`, whose signal would replace the reason
        child.close()
        raise CaptureError("child_exit", f"the capture process ended: {end}", where=where) from None
    except CaptureError as error:
        child.close()
        error.where = where
        raise


def _read_answer(child: Child, timeout_s: float) -> Opened | _Devices | None:
    """Read the first line of `child` and decode it; None once closed.

    Raises:
        CaptureError: the child reports a failure, or the line is not of the protocol.
    """
    line = child.read_line(timeout_s)
    if line is None:
        return None
    try:
        answer = _answers.decode(line)
    except msgspec.DecodeError as error:
        raise CaptureError("protocol", f"the capture process speaks another protocol: {error}") from error
    if isinstance(answer, _Failed):
        raise CaptureError(answer.reason, answer.error, hint=answer.hint)
    return answer


class _Converter:
    """Convert interleaved frames of the device to mono blocks at the model's rate.

    PortAudio reports that it lost input, but not how much. It then restarts the device, so all sound that was due
    since the previous read and did not come is lost: the time between both reads by the monotonic clock, minus
    the frames read now and the growth of the frames pending in the driver. One interval is too short for
    clock drift to matter; the error is that of one driver period, some milliseconds.

    PortAudio does not report every loss. Sound that a `FlowMeter` finds missing counts as lost if it does not come
    within about a second; until then the following blocks are held back, so that the gap is reported in its place.
    """

    def __init__(self, opened: Opened, channel: Channel, sample_rate_hz: int) -> None:
        if not has_channel(opened.n_channels, channel):
            raise CaptureError("no_channel", f"channel {channel} is not among the {opened.n_channels} recorded")
        self.frame_bytes = opened.n_channels * SAMPLE_BYTES
        self.previous: _BlockHeader | None = None
        self.heard_until_s: float | None = None
        self._n_channels = opened.n_channels
        self._mixer = LiveMixer(channel, opened.sample_rate_hz)
        self._device_rate_hz = opened.sample_rate_hz
        self._sample_rate_hz = sample_rate_hz
        self._resampler = Resampler(opened.sample_rate_hz, sample_rate_hz)
        self._flow = FlowMeter(opened.sample_rate_hz)
        self._held: list[Block] = []

    @property
    def drift_ppm(self) -> float | None:
        """Return the deviation of the sample rate from nominal (ppm), positive if fast; None in the first minute."""
        return self._flow.drift_ppm

    def convert(self, header: _BlockHeader, interleaved: bytes) -> list[Block]:
        """Convert one received block, and return the blocks that are ready now: usually one, or none."""
        overflow_s = self._overflow_s(header) if header.has_overflowed else 0.0
        self.previous = header
        self._flow.forgive(overflow_s)  # before `observe`, or the meter would report the same loss again
        missing_s = self._flow.observe(header.read_ns / 1e9, header.n_frames, header.n_pending_frames)
        frames = np.frombuffer(interleaved, dtype=np.float32).reshape(-1, self._n_channels)
        samples = self._resampler.push(self._mixer.mix(frames))
        reason: GapReason | None = "input_overflow" if header.has_overflowed else None
        block = Block(samples, units.seconds_to_samples(overflow_s, self._sample_rate_hz), reason)
        return self._release(block, missing_s)

    def _release(self, block: Block, missing_s: float) -> list[Block]:
        if len(block.samples) or block.gap_reason:  # a block may be empty while the resampler fills
            self._held.append(block)
        if self._flow.is_doubtful:
            return []
        # Pending frames are not delivered yet: the last delivered sample reached the driver before them.
        if self.previous is not None:
            self.heard_until_s = self.previous.read_ns / 1e9 - self.previous.n_pending_frames / self._device_rate_hz
        blocks, self._held = self._held, []
        if missing_s > 0.0:
            lost_samples = units.seconds_to_samples(missing_s, self._sample_rate_hz)
            blocks.insert(0, Block(_NO_SAMPLES, lost_samples, "driver_loss"))
        return blocks

    def _overflow_s(self, header: _BlockHeader) -> float:
        if self.previous is None:
            return 0.0
        elapsed_s = (header.read_ns - self.previous.read_ns) / 1e9
        n_grown_frames = header.n_pending_frames - self.previous.n_pending_frames
        return max(0.0, elapsed_s - (header.n_frames + n_grown_frames) / self._device_rate_hz)
