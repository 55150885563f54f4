"""Parent's side of the capture child's protocol: start the child, and decode what it writes."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from streamgmm.audio.child import Child
from streamgmm.audio.microphone import capture_child
from streamgmm.audio.microphone.capture_child import BLOCK_HEADER, SAMPLE_BYTES
from streamgmm.audio.microphone.known_device import ServerSource
from streamgmm.audio.source_error import LiveSourceError

# Run by path, so that the package is not imported; -P, so that no module in the working directory is.
CAPTURE_COMMAND = (sys.executable, "-P", str(Path(capture_child.__file__).resolve()))

# Faults A6, A5 and A4 of docs/faults.md.
OPEN_TIMEOUT_S = 10.0
FIRST_BLOCK_TIMEOUT_S = 5.0
STALL_TIMEOUT_S = 2.0
MAX_PACKET_BYTES = 16 * 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024

CaptureReason = Literal[
    "no_library", "not_found", "ambiguous", "no_channel", "refused", "reopened",
    "open_timeout", "no_first_block", "stalled", "child_exit", "moved", "protocol",
]  # fmt: skip
"""Reasons why a microphone cannot be opened, or is lost; `reopened` for a source that needs a wider format."""


class CaptureError(LiveSourceError[CaptureReason]):
    """Raised when the microphone cannot be opened, or when it is lost."""

    hopeless_reasons = frozenset({"no_library", "no_channel", "ambiguous"})


class InputDevice(msgspec.Struct, frozen=True, kw_only=True):
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
        max_channels: number of channels that the device claims; 0 if it has no more than those recorded.
        server_source: source of the sound server behind the device; None if there is none, or if it is unknown.
    """

    device: str
    # Ranges, because a faulty child must not lead to a division by zero or to huge packets.
    sample_rate_hz: Annotated[int, Meta(ge=1000, le=384000)]
    n_channels: Annotated[int, Meta(ge=1, le=1024)]
    max_channels: int = 0
    server_source: ServerSource | None = None


class _Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    reason: CaptureReason
    error: str
    hint: str = ""


class _Devices(msgspec.Struct, frozen=True, kw_only=True, tag="devices"):
    devices: list[InputDevice]


class _Moved(msgspec.Struct, frozen=True, kw_only=True, tag="moved"):
    from_source: str
    to_source: str
    is_default: bool


class StreamMovedError(CaptureError):
    """Raised when the sound server has moved the stream to another source.

    Attributes:
        to_source: source to which the stream was moved.
        is_default: whether that is the default source.
    """

    def __init__(self, moved: _Moved) -> None:
        self.to_source, self.is_default = moved.to_source, moved.is_default
        super().__init__("moved", f"the sound server moved the stream from {moved.from_source!r} to {self.to_source!r}")


_answers: msgspec.json.Decoder[Opened | _Failed | _Devices] = msgspec.json.Decoder(Opened | _Failed | _Devices)


class Packet(NamedTuple):
    """Frames of one read of the device.

    Attributes:
        read_ns: monotonic time when the read returned (ns).
        n_frames: number of frames.
        n_pending_frames: number of frames that were still in the driver.
        has_overflowed: whether the driver reports lost input before these frames.
        interleaved: the frames, as interleaved float32.
        n_dropped_frames: number of frames just before these that the reader was too slow for.
    """

    read_ns: int
    n_frames: int
    n_pending_frames: int
    has_overflowed: bool
    interleaved: bytes
    n_dropped_frames: int = 0


class Timeouts(NamedTuple):
    """Longest waits for the capture process.

    Attributes:
        open_s: until the device is open (s).
        first_block_s: from then until the first packet (s).
        stall_s: between later packets (s).
    """

    open_s: float = OPEN_TIMEOUT_S
    first_block_s: float = FIRST_BLOCK_TIMEOUT_S
    stall_s: float = STALL_TIMEOUT_S


DEFAULT_TIMEOUTS = Timeouts()


class CaptureProcess:
    """Capture child that opens a device; one thread at a time reads it, and any thread may close it.

    Args:
        request: request to the child, see `capture_child`.
        where: name of the microphone in errors.
        command: program that implements the protocol of `capture_child`; the request is appended as last argument.
        timeouts: longest waits.

    Raises:
        SystemResourceError: the child cannot be started.
    """

    def __init__(self, request: Mapping[str, object], where: str, command: Sequence[str], timeouts: Timeouts) -> None:
        self._child = Child([*command, json.dumps(request)])
        self._where = where
        self._timeouts = timeouts
        self._frame_bytes = 0
        self._has_sound = False

    @property
    def pid(self) -> int:
        """Return the process id of the child."""
        return self._child.pid

    def read_opened(self) -> Opened | None:
        """Wait until the child has opened the device; None once closed.

        Raises:
            CaptureError: PortAudio or the device is missing, the device cannot be opened, or the child does not answer.
        """
        timeout_s = self._timeouts.open_s
        with _explained(self._child, self._where, "open_timeout", timeout_s):
            answer = _read_answer(self._child, timeout_s)
            if answer is None:
                return None
            if not isinstance(answer, Opened):
                raise CaptureError("protocol", "the capture process did not open a device")
            self._frame_bytes = answer.n_channels * SAMPLE_BYTES
            return answer

    def read_packet(self) -> Packet | None:
        """Wait for the next packet, and return it; None once closed.

        Raises:
            StreamMovedError: the sound server moved the stream.
            CaptureError: the device failed, the child died or sent an invalid header, or no packet came in time.
        """
        reason: CaptureReason = "stalled" if self._has_sound else "no_first_block"
        timeout_s = self._timeouts.stall_s if self._has_sound else self._timeouts.first_block_s
        with _explained(self._child, self._where, reason, timeout_s):
            packed = self._child.read_exactly(BLOCK_HEADER.size, timeout_s)
            if packed is None:
                return None
            # The size is checked before memory is allocated for it: the child may be faulty.
            read_ns, n_frames, n_pending_frames, has_overflowed = BLOCK_HEADER.unpack(packed)
            # No frames: a message follows, and its length is in the place of the pending frames.
            if n_frames == 0 < n_pending_frames <= MAX_ANSWER_BYTES:
                answer = self._child.read_exactly(n_pending_frames, timeout_s)
                if answer is None:
                    return None
                raise StreamMovedError(_decode_move(answer))
            if not 0 < n_frames * self._frame_bytes <= MAX_PACKET_BYTES:
                raise CaptureError("protocol", f"the capture process announced a block of {n_frames} frames")
            interleaved = self._child.read_exactly(n_frames * self._frame_bytes, timeout_s)
            # Later packets come regularly, so the shorter timeout applies to them.
            self._has_sound = True
        if interleaved is None:
            return None
        return Packet(read_ns, n_frames, n_pending_frames, has_overflowed, interleaved)

    def close(self) -> None:
        """Kill the child and wait for its end, for at most 0.1 s even if the sound server is frozen."""
        self._child.close()


def list_devices(timeout_s: float = OPEN_TIMEOUT_S, *, command: Sequence[str] = CAPTURE_COMMAND) -> list[InputDevice]:
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
def _explained(child: Child, where: str, timeout_reason: CaptureReason, timeout_s: float) -> Iterator[None]:
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


def _decode_move(answer: bytes) -> _Moved:
    try:
        return msgspec.json.decode(answer, type=_Moved)
    except msgspec.DecodeError as error:
        raise CaptureError("protocol", f"the capture process speaks another protocol: {error}") from error
