"""Cuts a clip from a recording: its loudest part, levelled, with short fades."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from streamgmm.world.making.containers import read_sound

Mono = npt.NDArray[np.float64]

WORLD_RATE_HZ = 44_100
SLOT_SAMPLES = 66_150  # samples of a clip: 1.5 s
FADE_SAMPLES = 220  # samples: 5 ms
FRAME_SAMPLES = 441  # samples of a level measurement: 10 ms
PRE_ROLL_SAMPLES = 1_323  # samples kept before the loudest part, for its onset: 30 ms
STEP_SAMPLES = 14_553  # samples between the starts of joined short sounds, at least: 0.33 s
PEAK = 10.0 ** (-3.0 / 20.0)
MAX_GAIN_DB = 30.0
QUIET_DB = -50.0  # below the peak: taken for silence at both ends
ACTIVE_DB = -40.0  # below the peak: not counted as sound
MIN_ACTIVE_S = 0.3


class CutSound(NamedTuple):
    """A clip and how it came about."""

    samples: Mono  # as long as the sound is, at most SLOT_SAMPLES
    rate_hz: int  # of the recording
    gain_db: float


def levels(samples: Mono) -> Mono:
    """Return the RMS of each frame of 10 ms (the last one may be short)."""
    padded = np.pad(samples, (0, -len(samples) % FRAME_SAMPLES))
    result: Mono = np.sqrt(np.mean(padded.reshape(-1, FRAME_SAMPLES) ** 2, axis=1))
    return result


def trim(samples: Mono) -> Mono:
    """Remove silence from both ends."""
    level = levels(samples)
    loud = np.flatnonzero(level > level.max(initial=0.0) * 10.0 ** (QUIET_DB / 20.0))
    return samples[loud[0] * FRAME_SAMPLES : (loud[-1] + 1) * FRAME_SAMPLES] if len(loud) else samples[:0]


def active_seconds(samples: Mono) -> float:
    """Return how long the level stays within 40 dB of its maximum."""
    level = levels(samples)
    return float(np.sum(level > level.max(initial=0.0) * 10.0 ** (ACTIVE_DB / 20.0)) * FRAME_SAMPLES / WORLD_RATE_HZ)


def load(path: Path, member: str) -> tuple[Mono, int]:
    """Read a recording as mono at 44.1 kHz without its mean, and tell its own rate."""
    samples, rate = read_sound(path, member)
    mono = samples.mean(axis=1)
    # An offset would count as level, and would make the fades audible.
    mono = mono - mono.mean()
    if rate != WORLD_RATE_HZ:
        mono = soxr.resample(mono, rate, WORLD_RATE_HZ, quality="HQ")
    return np.asarray(mono, np.float64), rate


def join(parts: list[Mono]) -> Mono:
    """Place short sounds one after another, at least a third of a second from start to start."""
    starts = np.cumsum([0, *(max(STEP_SAMPLES, len(part)) for part in parts[:-1])])
    joined = np.zeros(int(starts[-1]) + len(parts[-1]))
    for start, part in zip(starts, parts, strict=True):
        joined[start : start + len(part)] += with_fades(part)
    return joined


def loudest(samples: Mono, rank: int) -> Mono:
    """Return the loudest 1.5 s, or the next loudest ones that do not overlap the louder ones.

    The root of the level counts, not its square, so that a lasting sound outweighs a single click.
    """
    if len(samples) <= SLOT_SAMPLES:
        return samples
    # Cumulative, shape (n_frames + 1,): a window of `width` frames is a difference of two values.
    loudness = np.concatenate([[0.0], np.cumsum(np.sqrt(levels(samples)))])
    width = SLOT_SAMPLES // FRAME_SAMPLES
    windows = loudness[width:] - loudness[:-width]
    for _ in range(rank):
        best = int(np.argmax(windows))
        # Levels are never negative, so -1 excludes every window that overlaps the louder one.
        windows[max(0, best - width) : best + width] = -1.0
    if windows.max() < 0.0:
        raise ValueError(f"the recording is too short for a part of rank {rank}")
    start = max(0, int(np.argmax(windows)) * FRAME_SAMPLES - PRE_ROLL_SAMPLES)
    return samples[start : start + SLOT_SAMPLES]


def with_fades(samples: Mono) -> Mono:
    """Fade in and out over 5 ms."""
    size = min(FADE_SAMPLES, len(samples) // 2)
    # Squared sine: its slope is zero at both ends, unlike that of a straight line.
    ramp = np.sin(np.linspace(0.0, np.pi / 2.0, size)) ** 2
    result = samples.copy()
    result[:size] *= ramp
    result[len(result) - size :] *= ramp[::-1]
    return result


def cut(files: list[tuple[Path, str]], rank: int) -> CutSound:
    """Cut a clip from a recording, or join short recordings (path and member of each) to one."""
    loaded = [load(path, member) for path, member in files]
    sound = join([trim(samples) for samples, _ in loaded]) if len(loaded) > 1 else loaded[0][0]
    # Trimmed first, so that silence is not part of the choice, and again, as the part may begin or end with silence.
    sound = with_fades(trim(loudest(trim(sound), rank)))
    if not len(sound) or active_seconds(sound) < MIN_ACTIVE_S:
        raise ValueError(f"{files[0][0]}: {active_seconds(sound) if len(sound) else 0.0:.2f} s of sound are too short")
    # Limited, because the noise of a very soft recording would be amplified with it.
    gain = min(PEAK / float(np.max(np.abs(sound))), 10.0 ** (MAX_GAIN_DB / 20.0))
    return CutSound(sound * gain, loaded[0][1], 20.0 * float(np.log10(gain)))
