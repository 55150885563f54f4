"""Conversion of one microphone channel: interleaved frames of the device to mono blocks at the model's rate."""

from __future__ import annotations

import numpy as np

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio.channels import ChannelChoice, LiveMixer, has_channel
from streamgmm.audio.flow import FlowMeter
from streamgmm.audio.microphone.capture_process import CaptureError, Opened, Packet
from streamgmm.audio.resample import Resampler
from streamgmm.audio.source import Block
from streamgmm.records import GapReason

_NO_SAMPLES: Samples = np.zeros(0, np.float32)


class PacketConverter:
    """Convert packets of an interface to the blocks of one source.

    PortAudio reports that it lost input, but not how much. It then restarts the device, so all sound that was due
    since the previous read and did not come is lost: the time between both reads by the monotonic clock, minus
    the frames read now and the growth of the frames pending in the driver. One interval is too short for
    clock drift to matter; the error is that of one driver period, some milliseconds.

    PortAudio does not report every loss. Sound that a `FlowMeter` finds missing counts as lost if it does not come
    within about a second; until then the following blocks are held back, so that the gap is reported in its place.

    Frames that were dropped because the source read too slowly are counted exactly, and are lost to it alone.

    Args:
        opened: format of the packets.
        channel: one channel, or the mean of all.
        sample_rate_hz: rate of the blocks.

    Attributes:
        heard_until_s: monotonic time when the last sample that was returned reached the driver (s); None before that.

    Raises:
        CaptureError: the device has no such channel.
    """

    def __init__(self, opened: Opened, channel: ChannelChoice, sample_rate_hz: int) -> None:
        if not has_channel(opened.n_channels, channel):
            hint = f"0 to {opened.n_channels - 1} or mean"
            raise CaptureError("no_channel", f"{opened.device!r} has no channel {channel}", hint=hint)
        self.heard_until_s: float | None = None
        self._previous: Packet | None = None
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

    def convert(self, packet: Packet) -> list[Block]:
        """Convert one packet, and return the blocks that are ready now: usually one, or none."""
        overflow_s = self._overflow_s(packet) if packet.has_overflowed else 0.0
        # Only the times and counts of the previous packet are needed: do not keep its sound.
        self._previous = packet._replace(interleaved=b"")
        self._flow.forgive(overflow_s)  # before `observe`, or the meter would report the same loss again
        n_came_frames = packet.n_frames + packet.n_dropped_frames
        # The driver did deliver the dropped frames: they must not count as its loss too.
        missing_s = self._flow.observe(packet.read_ns / 1e9, n_came_frames, packet.n_pending_frames)
        # A read-only view, shape (n_frames, n_channels): no copy of the packet.
        frames = np.frombuffer(packet.interleaved, dtype=np.float32).reshape(-1, self._n_channels)
        samples = self._resampler.push(self._mixer.mix(frames))
        reason: GapReason | None = "input_overflow" if packet.has_overflowed or packet.n_dropped_frames else None
        lost_s = overflow_s + packet.n_dropped_frames / self._device_rate_hz
        block = Block(samples, units.seconds_to_samples(lost_s, self._sample_rate_hz), reason)
        return self._release(block, missing_s)

    def _release(self, block: Block, missing_s: float) -> list[Block]:
        if len(block.samples) or block.gap_reason:  # a block may be empty while the resampler fills
            self._held.append(block)
        if self._flow.is_doubtful:
            return []
        # Pending frames are not delivered yet: the last delivered sample reached the driver before them.
        if self._previous is not None:
            self.heard_until_s = self._previous.read_ns / 1e9 - self._previous.n_pending_frames / self._device_rate_hz
        blocks, self._held = self._held, []
        if missing_s > 0.0:
            lost_samples = units.seconds_to_samples(missing_s, self._sample_rate_hz)
            # First, because the held blocks came after the loss.
            blocks.insert(0, Block(_NO_SAMPLES, lost_samples, "driver_loss"))
        return blocks

    def _overflow_s(self, packet: Packet) -> float:
        if self._previous is None:
            return 0.0
        elapsed_s = (packet.read_ns - self._previous.read_ns) / 1e9
        n_grown_frames = packet.n_pending_frames - self._previous.n_pending_frames
        n_came_frames = packet.n_frames + packet.n_dropped_frames
        # Never negative: a burst after a pause brings more sound than time has passed.
        return max(0.0, elapsed_s - (n_came_frames + n_grown_frames) / self._device_rate_hz)
