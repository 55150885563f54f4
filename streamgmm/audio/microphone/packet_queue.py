"""Bounded hand-off of packets to one source."""

from __future__ import annotations

from collections import deque

from streamgmm.audio.microphone.capture_process import Packet

MAX_WAITING_BYTES = 8 * 1024 * 1024
"""Size of the packets that wait for a slow source: 22 s of two channels at 48 kHz, more than the pipe can hold."""


class PacketQueue:
    """Packets that wait for one source; drops the oldest if there are too many, and counts their frames.

    Attributes:
        packets: the packets, oldest first.
        is_closed: whether the source has ended.
    """

    def __init__(self) -> None:
        # Not locked: every change is made under the lock of the stream.
        self.packets: deque[Packet] = deque()
        self.is_closed = False
        self._n_bytes = 0

    @property
    def is_ready(self) -> bool:
        """Return whether `take` need not be waited for."""
        return bool(self.packets) or self.is_closed

    def put(self, packet: Packet) -> None:
        """Append a packet; what is dropped for it is counted in the packet that follows."""
        self.packets.append(packet)
        self._n_bytes += len(packet.interleaved)
        # The newest packet always stays, because it has to carry the count of what was dropped.
        while self._n_bytes > MAX_WAITING_BYTES and len(self.packets) > 1:
            oldest, following = self.packets.popleft(), self.packets[0]
            self._n_bytes -= len(oldest.interleaved)
            self.packets[0] = following._replace(
                n_dropped_frames=oldest.n_dropped_frames + oldest.n_frames + following.n_dropped_frames,
                has_overflowed=oldest.has_overflowed or following.has_overflowed,
            )

    def take(self) -> Packet | None:
        """Return the oldest packet; None once closed."""
        if self.is_closed or not self.packets:
            return None
        packet = self.packets.popleft()
        self._n_bytes -= len(packet.interleaved)
        return packet
