"""From several channels to one."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from streamgmm.audio.source import Samples

Channel = int | Literal["mean"]
"""One channel, counted from 0, or the mean of all."""


def has_channel(n_channels: int, channel: Channel) -> bool:
    """Whether `channel` can be had from `n_channels` channels."""
    return channel == "mean" or 0 <= channel < n_channels


def to_mono(frames: npt.NDArray[np.float32], channel: Channel) -> Samples:
    """One channel, or the mean of all, of frames.

    The mean is taken over amplitudes: sound that all channels share keeps its level, the noise of
    each becomes less.

    Args:
        frames: float32, shape (n, n_channels).
        channel: must be one of them, see `has_channel`.

    Returns:
        float32, shape (n,), contiguous.
    """
    if frames.shape[1] == 1 or channel != "mean":
        return np.ascontiguousarray(frames[:, 0 if channel == "mean" else channel])
    # Numbers that are too large, or none, become infinite or no number, and are refused as such further on.
    with np.errstate(invalid="ignore", over="ignore"):
        samples: Samples = frames.mean(axis=1, dtype=np.float32)
    return samples
