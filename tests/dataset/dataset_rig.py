"""Small data sets for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 8000


def noise(seed: int, duration_s: float = 0.1, rate_hz: int = RATE_HZ, n_channels: int = 1) -> np.ndarray:
    """Noise that differs for each seed: float32, shape (n, n_channels)."""
    n_samples = round(duration_s * rate_hz)
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n_samples, n_channels)).astype(np.float32)


def write_recording(path: Path, seed: int, duration_s: float = 0.1, rate_hz: int = RATE_HZ) -> Path:
    """A 16-bit recording of noise, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise(seed, duration_s, rate_hz), rate_hz, subtype="PCM_16")
    return path


def write_classes(root: Path, *labels: str, n_clips: int = 2) -> Path:
    """A folder per label with `n_clips` different recordings each."""
    for i_label, label in enumerate(labels):
        for i_clip in range(n_clips):
            write_recording(root / label / f"{i_clip}.wav", seed=1000 * i_label + i_clip)
    return root
