"""Audio interface: open an input device once, and hand its packets to every source that reads one of its channels."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Sequence
from weakref import WeakSet, WeakValueDictionary

from streamgmm.audio.channels import ChannelChoice
from streamgmm.audio.microphone.capture_process import (
    CAPTURE_COMMAND,
    DEFAULT_TIMEOUTS,
    CaptureError,
    CaptureProcess,
    Opened,
    Packet,
    StreamMovedError,
    Timeouts,
)
from streamgmm.audio.microphone.known_device import KnownDevice
from streamgmm.audio.microphone.packet_queue import PacketQueue
from streamgmm.errors import StreamgmmError

SHARED_REFUSAL_S = 0.4
"""Time for which the refusal of a device also answers the other sources that want to open it (s): shorter than the wait
of a source between two attempts of its own."""


class Stream:
    """One opening of a device, from the start of its capture process to a failure, or until no source reads it.

    There is no thread of its own: of the sources that wait for a packet, one reads the process, and hands the packet to
    all. A slow source therefore delays no other, and only its own queue overflows.

    Args:
        process: the capture process, just started.
        known: identity of the device, updated by the stream.
        sample_rate_hz: rate that was requested.
        n_channels: number of channels that was requested.

    Attributes:
        opened: format of the packets; None until the device is open.
        failure: error that ended the stream; None before.
        failed_s: monotonic time of the failure (s).
    """

    def __init__(self, process: CaptureProcess, known: KnownDevice, sample_rate_hz: int, n_channels: int) -> None:
        self.opened: Opened | None = None
        self.failure: StreamgmmError | None = None
        self.failed_s = 0.0
        self._process = process
        self._known = known
        self._sample_rate_hz = sample_rate_hz
        self._n_channels = n_channels
        # Guards the attributes below. Taken after the lock of the interface, and never before it.
        self._changed = threading.Condition()
        self._queues: list[PacketQueue] = []
        self._has_ended = False
        self._is_reading = False

    @property
    def pid(self) -> int:
        """Return the process id of the capture process."""
        return self._process.pid

    def is_enough_for(self, sample_rate_hz: int, n_channels: int) -> bool:
        """Return whether the format has this rate and number of channels, or as many as the device has."""
        opened = self.opened
        n_recorded = self._n_channels if opened is None else opened.n_channels
        # A device that is open with all its channels gains nothing by being opened again.
        is_whole = opened is not None and opened.n_channels >= opened.max_channels
        return sample_rate_hz <= self._sample_rate_hz and (n_channels <= n_recorded or is_whole)

    def add(self, queue: PacketQueue) -> bool:
        """Hand packets to one more source from now on; return False if the stream has ended."""
        with self._changed:
            if not self._has_ended:
                self._queues.append(queue)
            return not self._has_ended

    def leave(self, queue: PacketQueue) -> None:
        """End a source, whose reader returns soon; the last one ends the capture process."""
        with self._changed:
            queue.is_closed = True
            self._queues = [other for other in self._queues if other is not queue]
            self._has_ended |= not self._queues
            self._changed.notify_all()
            if not self._has_ended:
                return
        # Outside the lock: ending the process may take 0.1 s, and its reader needs the lock to return.
        self._process.close()

    def fail(self, error: StreamgmmError) -> None:
        """End the stream; every source gets the packets that wait for it, and then a copy of `error`."""
        with self._changed:
            if self.failure is None:
                self.failure, self.failed_s = error, time.monotonic()
            self._has_ended = True
            self._changed.notify_all()
        self._process.close()

    def wait_until_open(self, queue: PacketQueue) -> Opened | None:
        """Wait until the device is open, and return its format; None once the source has ended.

        Raises:
            StreamgmmError: the device cannot be opened.
        """
        self._wait(queue, lambda: self.opened is not None or queue.is_closed)
        return None if queue.is_closed else self.opened

    def read(self, queue: PacketQueue) -> Packet | None:
        """Wait for the next packet of a source, and return it; None once the source has ended.

        Raises:
            StreamgmmError: the stream has ended.
        """
        self._wait(queue, lambda: queue.is_ready)
        with self._changed:
            return queue.take()

    def _wait(self, queue: PacketQueue, is_done: Callable[[], bool]) -> None:
        """Wait until `is_done`, and read the process meanwhile if no other source does."""
        while True:
            with self._changed:
                # When no source reads the process any more, one of those that wait takes over.
                self._changed.wait_for(lambda: is_done() or self.failure is not None or not self._is_reading)
                if is_done():
                    return
                if self.failure is not None:
                    queue.is_closed = True  # reported once
                    raise copy.copy(self.failure)  # each thread adds its own traceback
                self._is_reading = True
            try:
                # Without the lock: a read may take seconds, and sources must be able to leave meanwhile.
                self._read_process()
            except StreamgmmError as error:
                self.fail(error)
            finally:
                with self._changed:
                    self._is_reading = False
                    self._changed.notify_all()

    def _read_process(self) -> None:
        if self.opened is None:
            if (opened := self._process.read_opened()) is not None:
                self._known.learn(opened.device, opened.server_source, opened.sample_rate_hz, opened.n_channels)
                # No notification needed: the caller notifies all when it stops reading.
                self.opened = opened
            return
        try:
            packet = self._process.read_packet()
        except StreamMovedError as error:
            # Noted before the error ends the stream, because the next request depends on it.
            self._known.follow(error.to_source, is_default=error.is_default)
            raise
        if packet is not None:
            with self._changed:
                for queue in self._queues:
                    queue.put(packet)


class Wish:
    """Wish of a source, or of the plan of one, for a channel; it lasts as long as the object.

    Args:
        channel: index of the channel (from 0), or the mean of all.
    """

    def __init__(self, channel: ChannelChoice) -> None:
        self.channel: ChannelChoice = channel

    @property
    def n_channels(self) -> int:
        """Number of channels to open, from the first on, so that this one is among them."""
        return 1 if self.channel == "mean" else self.channel + 1


class Interface:
    """Input device whose channels several sources read.

    The device is opened when the first source wants it, with all of its channels (of a device with very many: as many
    as the sources need), and closed when the last one leaves. A source that needs a higher rate or more channels than
    were opened ends the stream, and all sources open the device again.

    Args:
        device: name or part of a name, in any case, of a source of the sound server or else of a device; index of a
            device; None for the default device.
        known: identity of the device from earlier openings, updated by each.
        command: program that implements the protocol of `capture_child`; the request is appended as last argument.
        timeouts: longest waits for the capture process.

    Attributes:
        name: name of the device as configured, for errors.
    """

    def __init__(
        self,
        device: str | int | None = None,
        *,
        known: KnownDevice | None = None,
        command: Sequence[str] = CAPTURE_COMMAND,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self.name = "mic" if device is None else f"mic:{device}"
        self._device = device
        self._known = known or KnownDevice()
        self._command = tuple(command)
        self._timeouts = timeouts
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._sample_rate_hz = 0
        self._n_block_frames: int | None = None
        self._wishes: WeakSet[Wish] = WeakSet()

    def want(self, channel: ChannelChoice) -> Wish:
        """Open the device with this channel from the next time on, if it has it, as long as the wish is kept."""
        wish = Wish(channel)
        with self._lock:
            self._wishes.add(wish)
        return wish

    @property
    def _n_wanted(self) -> int:
        # Only those that somebody keeps: a plan that a reload rejects, or a source that is dropped, wants nothing.
        return max((wish.n_channels for wish in self._wishes), default=1)

    def join(self, queue: PacketQueue, sample_rate_hz: int, block_samples: int | None = None) -> Stream:
        """Return the stream of the device, to which `queue` now belongs; start it if there is none.

        Args:
            queue: gets the packets.
            sample_rate_hz: least rate of the packets.
            block_samples: length of packets, if the device is not open yet; None for as short as it can.

        Raises:
            StreamgmmError: the device was refused to another source just now, or the child cannot be started.
        """
        with self._lock:
            # The highest rate of all sources: the others resample, and no content is missing for any.
            self._sample_rate_hz = max(self._sample_rate_hz, sample_rate_hz)
            # Of a source that resamples, hops do not end with packets: it would have to wait for the next one.
            self._n_block_frames = block_samples if sample_rate_hz == self._sample_rate_hz else None
            stream = self._stream
            if stream is not None and not stream.is_enough_for(self._sample_rate_hz, self._n_wanted):
                stream.fail(CaptureError("reopened", "opened again for another source of it", where=self.name))
            elif stream is not None and (refusal := _refusal_just_now(stream)) is not None:
                raise copy.copy(refusal)
            # A stream can end at any time: `add` tests and joins under one lock.
            if stream is None or not stream.add(queue):
                self._stream = stream = self._start()
                stream.add(queue)
            return stream

    def _start(self) -> Stream:
        request = self._known.request(self._device)
        request |= {"n_channels": self._n_wanted, "sample_rate_hz": self._sample_rate_hz}
        if self._n_block_frames is not None:
            request["n_block_frames"] = self._n_block_frames
        process = CaptureProcess(request, self.name, self._command, self._timeouts)
        return Stream(process, self._known, self._sample_rate_hz, self._n_wanted)


def _refusal_just_now(stream: Stream) -> StreamgmmError | None:
    is_current = stream.opened is None and time.monotonic() - stream.failed_s < SHARED_REFUSAL_S
    return stream.failure if is_current else None


# Weak: an interface lasts as long as plans and sources refer to it.
_interfaces: WeakValueDictionary[str | int | None, Interface] = WeakValueDictionary()


def shared_interface(device: str | int | None) -> Interface:
    """Return the interface of a device, the same one for all sources of this process that name the device alike."""
    key = device.casefold() if isinstance(device, str) else device
    return _interfaces.setdefault(key, Interface(device))
