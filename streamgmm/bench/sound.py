"""Sound to measure with: everyday recordings that come with streamgmm, one after the other."""

from __future__ import annotations

import numpy as np

from streamgmm.arrays import Samples
from streamgmm.audio.resample import resample
from streamgmm.world.world import World

NOISE_RMS = 1e-3
"""Of the microphone, below the recordings (full scale 1)."""


def make_sound(world: World, duration_s: float, rate_hz: int) -> Samples:
    """Return recordings of as many kinds as fit into `duration_s`, without pauses between them.

    Args:
        world: the recordings.
        duration_s: length of the result (s).
        rate_hz: its sample rate.

    Returns:
        float32, shape (n,), the same for the same arguments.
    """
    n_wanted = round(duration_s * world.rate_hz)
    n_all = sum(len(sound.samples) for sound in world.sounds)
    # Every k-th sound: neighbours are of one kind.
    stride = max(1, n_all // n_wanted)
    chosen = [sound.samples for first in range(stride) for sound in world.sounds[first::stride]]
    sound = np.resize(np.concatenate(chosen), n_wanted)
    noise = np.random.default_rng(0).standard_normal(n_wanted, dtype=np.float32)
    return resample(sound + np.float32(NOISE_RMS) * noise, world.rate_hz, rate_hz)
