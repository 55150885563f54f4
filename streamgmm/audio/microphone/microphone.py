"""Microphone source: read one channel of an input device, alone or beside other sources."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from streamgmm.audio.channels import ChannelChoice
from streamgmm.audio.microphone.capture_process import (
    CAPTURE_COMMAND,
    DEFAULT_TIMEOUTS,
    CaptureError,
    InputDevice,
    Opened,
    Timeouts,
    list_devices,
)
from streamgmm.audio.microphone.interface import Interface, Stream
from streamgmm.audio.microphone.known_device import KnownDevice
from streamgmm.audio.microphone.packet_converter import PacketConverter
from streamgmm.audio.microphone.packet_queue import PacketQueue
from streamgmm.audio.resample import warn_if_narrow
from streamgmm.audio.source import Block, Vitals

__all__ = ["CAPTURE_COMMAND", "CaptureError", "InputDevice", "InterfaceChannel", "Microphone", "list_devices"]


class InterfaceChannel:
    """Live `Source` for one channel of an interface, which other sources may read too.

    It does not recover from a failure: close it and open a new one.

    Args:
        interface: the input device.
        channel: index of one channel (from 0), or the mean of all.
    """

    is_live = True

    def __init__(self, interface: Interface, channel: ChannelChoice = "mean") -> None:
        self.name = interface.name
        self.opened: Opened | None = None
        self._interface = interface
        self._channel: ChannelChoice = channel
        # Lock order: this one, then that of the interface, then that of the stream.
        self._lock = threading.Lock()
        self._is_closed = False
        self._queue = PacketQueue()
        self._stream: Stream | None = None
        self._converter: PacketConverter | None = None
        self._blocks: deque[Block] = deque()
        self._wish = interface.want(channel)

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

    def open(self, sample_rate_hz: int, block_samples: int | None = None) -> None:
        """Wait until the device is open; start the capture child if no other source has (see `Source.open`).

        Raises:
            CaptureError: PortAudio or the device is missing, the device cannot be opened, it has no such channel, or
                the child does not answer.
            SystemResourceError: the child cannot be started.
        """
        opened = self._wait_until_open(sample_rate_hz, block_samples)
        if opened is None:
            return
        try:
            self._converter = PacketConverter(opened, self._channel, sample_rate_hz)
        except CaptureError as error:
            error.where = self.name
            raise
        warn_if_narrow(opened.sample_rate_hz, sample_rate_hz)
        self.opened = opened

    def _wait_until_open(self, sample_rate_hz: int, block_samples: int | None) -> Opened | None:
        while True:
            with self._lock:  # else a `close` in another thread could miss the stream
                if self._is_closed:
                    return None
                self._stream = self._interface.join(self._queue, sample_rate_hz, block_samples)
            try:
                return self._stream.wait_until_open(self._queue)
            except CaptureError as error:
                if error.reason != "reopened":  # another source has started a stream that is enough for both
                    raise
                self._queue = PacketQueue()

    def read(self) -> Block | None:
        """Wait for the next block and return it; None soon after `close`.

        A loss is reported with the block after it; its length is an estimate (see `PacketConverter`).

        Raises:
            CaptureError: the device failed, the child died, or no block came in time.
        """
        while not self._blocks:
            # `open` returns without a stream or a converter if the source was closed meanwhile.
            if (stream := self._stream) is None or (converter := self._converter) is None:
                return None
            packet = stream.read(self._queue)
            if packet is None:
                return None
            self._blocks.extend(converter.convert(packet))
        return self._blocks.popleft()

    def close(self) -> None:
        """Leave the interface; the last source to leave kills the child, and waits for its end for at most 0.1 s."""
        with self._lock:
            self._is_closed = True
        # Outside the lock: from now on `open` joins no stream, and leaving one may take 0.1 s.
        if self._stream is not None:
            self._stream.leave(self._queue)


class Microphone(InterfaceChannel):
    """Live `Source` for an input device that no other source reads.

    Args:
        device: name, index or None, see `Interface`.
        channel: index of one channel (from 0), or the mean of all.
        known: identity of the device from earlier microphones, updated by this one.
        command: program that implements the protocol of `capture_child`; the request is appended as last argument.
        timeouts: longest waits for the capture process.
    """

    def __init__(
        self,
        device: str | int | None = None,
        channel: ChannelChoice = "mean",
        *,
        known: KnownDevice | None = None,
        command: Sequence[str] = CAPTURE_COMMAND,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        super().__init__(Interface(device, known=known, command=command, timeouts=timeouts), channel)
