"""Channel selection and mixing to mono, and detection of channels that lose sound in the mix."""

from __future__ import annotations

import logging
from typing import Literal, NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float32Array, Float64Array, Samples
from streamgmm.audio.source import MAX_PEAK

_mix_logger = logging.getLogger(__name__)

ChannelChoice = int | Literal["mean"]
"""Index of one channel, from 0, or the mean of all channels."""


def has_channel(n_channels: int, channel: ChannelChoice) -> bool:
    """Return whether `channel` can be taken from `n_channels` channels."""
    return channel == "mean" or 0 <= channel < n_channels


def to_mono(frames: Float32Array, channel: ChannelChoice) -> Samples:
    """Return one channel of the frames, or the mean of all channels.

    The mean is taken over amplitudes: sound that all channels share keeps its level, and independent
    noise is reduced.

    Args:
        frames: float32, shape (n, n_channels).
        channel: one that the frames have, see `has_channel`.

    Returns:
        float32, shape (n,), contiguous.
    """
    if frames.shape[1] == 1 or channel != "mean":
        return np.ascontiguousarray(frames[:, 0 if channel == "mean" else channel])
    # Values that are too large or not finite give inf or NaN here, which later stages reject.
    with np.errstate(invalid="ignore", over="ignore"):
        samples: Samples = frames.mean(axis=1, dtype=np.float32)
    return samples


MIN_LOSS_DB = 20.0
"""Smallest loss of level of the mean against its channels that is reported (dB)."""

TOTAL_LOSS_DB = 40.0
"""Loss from which on only rounding errors and noise remain in the mean (dB)."""

LOSS_PERIOD_S = 10.0
"""Interval at which the loss of a live source is evaluated (s)."""

# Mean squares: -80 dB of full scale, below which a channel is too soft to judge, and -120 dB, digital silence.
_HEARD_POWER = 1e-8
_DEAD_POWER = 1e-12
# Standard deviations of the level from block to block.
_STEADY_DB, _MOVING_DB = 2.0, 5.0
_MIN_BLOCKS = 10

LossKind = Literal["cancelled", "dead", "noisy"]


class MixLoss(NamedTuple):
    """Loss of sound when channels are mixed to mono.

    Attributes:
        kind: the channels cancel each other, one of them is silent, or one is so noisy that it masks another.
        text: message for the user, with advice.
        is_total: True if hardly any signal remains.
    """

    kind: LossKind
    text: str
    is_total: bool = False


class MixMeter:
    """Measure over many blocks how much of the channels is lost in their mean.

    A constant offset is ignored. A channel counts as noisy if its level is steady while that of another,
    softer channel varies.
    """

    def __init__(self) -> None:
        self._n_channels = 0
        self._reset(0)

    def observe(self, frames: Float32Array) -> None:
        """Add a block of frames, shape (n, n_channels), to the measurement."""
        n_frames, n_channels = frames.shape
        if not n_frames or n_channels < 2 or not np.isfinite(frames).all():
            return
        if n_channels != self._n_channels:
            self._reset(n_channels)
        rows = np.ascontiguousarray(frames.T, dtype=np.float64)
        rows -= rows.mean(axis=1, keepdims=True)
        # The power of the mean follows from the covariances; one matrix product is faster than averaging the frames.
        covariances = rows @ rows.T / n_frames
        # The last entry is the power of the mean. Rounding can make it slightly negative where channels cancel exactly.
        powers = np.maximum(np.append(covariances.diagonal(), covariances.sum() / n_channels**2), 0.0)
        levels_db = 10.0 * np.log10(powers + _DEAD_POWER)
        self._n_blocks += 1
        self._power_sums += powers
        self._level_sums_db += levels_db
        self._square_sums_db += np.square(levels_db)

    def loss(self) -> MixLoss | None:
        """Return the loss measured so far; None if it is negligible."""
        if not self._n_blocks:
            return None
        powers = self._power_sums / self._n_blocks
        channels, mixed = powers[:-1], powers[-1]
        best = int(channels.argmax())
        if channels[best] < _HEARD_POWER:
            return None
        if mixed < channels.mean() * 10.0 ** (-MIN_LOSS_DB / 10.0):
            what = f"the channels cancel each other: their mean is more than {MIN_LOSS_DB:.0f} dB softer than they are"
            is_total = bool(mixed < channels.mean() * 10.0 ** (-TOTAL_LOSS_DB / 10.0))
            return _loss("cancelled", what, best)._replace(is_total=is_total)
        if self._n_blocks >= _MIN_BLOCKS and (pair := self._noisy_pair(channels)):
            return _loss(
                "noisy", f"channel {pair[0]} is steady noise that hides channel {pair[1]} in their mean", pair[1]
            )
        # Last, because a dead channel only makes the mean softer, while the losses above hide the sound.
        dead = np.flatnonzero(channels < _DEAD_POWER)
        if dead.size:
            named = ", ".join(map(str, dead))
            return _loss("dead", f"nothing comes on channel {named}, and the mean of all is softer for it", best)
        return None

    def reset(self) -> None:
        """Discard all measurements."""
        self._reset(self._n_channels)

    def _noisy_pair(self, powers: Float64Array) -> tuple[int, int] | None:
        """Return the indices of a noisy channel and of the channel that it masks; None if there is no such pair."""
        # The level of steady noise varies little from block to block, that of sounds varies much.
        # Var(L) = E(L^2) - E(L)^2, per channel; the last entry is that of the mean.
        variances = self._square_sums_db / self._n_blocks - np.square(self._level_sums_db / self._n_blocks)
        spreads_db = np.sqrt(np.maximum(variances[:-1], 0.0))
        loud, moving = int(powers.argmax()), int(spreads_db.argmax())
        is_noisy = spreads_db[loud] < _STEADY_DB and spreads_db[moving] > _MOVING_DB
        return (loud, moving) if is_noisy and powers[moving] > _HEARD_POWER else None

    def _reset(self, n_channels: int) -> None:
        self._n_channels = n_channels
        self._n_blocks = 0
        # One entry for each channel, and one for their mean.
        self._power_sums = np.zeros(n_channels + 1)
        self._level_sums_db = np.zeros(n_channels + 1)
        self._square_sums_db = np.zeros(n_channels + 1)


class LiveMixer:
    """Mix the frames of a live source to mono; log a loss once, and samples out of range once.

    Args:
        channel: one channel, or the mean of all.
        rate_hz: sample rate of the frames.
    """

    def __init__(self, channel: ChannelChoice, rate_hz: int) -> None:
        self._channel: ChannelChoice = channel
        self._n_period = units.seconds_to_samples(LOSS_PERIOD_S, rate_hz)
        self._n_frames = 0
        self._meter: MixMeter | None = MixMeter() if channel == "mean" else None
        self._has_logged_range = False

    def mix(self, frames: Float32Array) -> Samples:
        """Mix frames of shape (n, n_channels) to mono as `to_mono` does, and log what is wrong with them."""
        peak = float(np.abs(frames).max(initial=0.0))
        if not peak <= MAX_PEAK and not self._has_logged_range:  # not `peak > MAX_PEAK`, which is False for NaN
            self._has_logged_range = True
            _mix_logger.warning("samples reach %.6g, but the full scale of a stream of floats is 1.0", peak)
        if self._meter is not None and frames.shape[1] > 1:
            self._watch(self._meter, frames)
        return to_mono(frames, self._channel)

    def _watch(self, meter: MixMeter, frames: Float32Array) -> None:
        meter.observe(frames)
        self._n_frames += len(frames)
        if self._n_frames < self._n_period:
            return
        self._n_frames = 0
        if loss := meter.loss():
            _mix_logger.warning("%s", loss.text)
            # A loss is logged once, so there is nothing more to measure.
            self._meter = None
        meter.reset()


def _loss(kind: LossKind, what: str, channel: int) -> MixLoss:
    return MixLoss(kind, f"{what}; hear one alone with --set source.channel={channel}")
