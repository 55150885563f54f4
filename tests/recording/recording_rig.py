"""Rooms and sounds in them, at 8000 Hz."""

from __future__ import annotations

import numpy as np

from streamgmm.recording.takes import Take, TakeCutter

RATE_HZ = 8000
ROOM = 1e-3
"""Amplitude of the room: -70 dBFS."""


def room(duration_s: float, seed: int = 0, amplitude: float = ROOM) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0.0, amplitude / 3.0, round(duration_s * RATE_HZ))
    return noise.astype(np.float32)


def beep(duration_s: float, amplitude: float = 0.1) -> np.ndarray:
    times_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * 440.0 * times_s)).astype(np.float32)


def scene(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)


def cut(cutter: TakeCutter, samples: np.ndarray, block_samples: int = 700) -> list[Take]:
    takes: list[Take] = []
    for begin in range(0, len(samples), block_samples):
        takes += cutter.push(samples[begin : begin + block_samples])
    return takes
