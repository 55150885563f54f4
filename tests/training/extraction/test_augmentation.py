from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from streamgmm.training.extraction import augmentation
from streamgmm.training.extraction.augmentation import (
    SNR_RANGE_DB,
    background_copy,
    coloured_noise,
    noise_copy,
    speed_copies,
)

RATE_HZ = 8000


def tone(frequency_hz: float, n_samples: int = RATE_HZ) -> np.ndarray:
    # A phase of its own, so that no sample is zero and taken for silence.
    return (0.3 * np.sin(0.1 + 2 * np.pi * frequency_hz * np.arange(n_samples) / RATE_HZ)).astype(np.float32)


def strongest_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * RATE_HZ / len(samples))


def in_db(signal: np.ndarray, noise: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(signal, dtype=float)) / np.mean(np.square(noise, dtype=float))))


@pytest.mark.parametrize("n_copies", [0, 1, 2, 5])
def test_each_speed_copy_comes_from_a_part_of_the_range_of_its_own(n_copies):
    edges = np.geomspace(0.8, 1.25, n_copies + 1)
    for seed in range(10):
        copies = speed_copies(tone(500), n_copies, np.random.default_rng(seed))
        assert len(copies) == n_copies
        for copy, (slowest, fastest) in zip(copies, pairwise(edges), strict=True):
            assert slowest * 0.999 <= RATE_HZ / len(copy) <= fastest * 1.001


def test_a_faster_copy_is_shorter_and_higher():
    for copy in speed_copies(tone(500), 3, np.random.default_rng(0)):
        speed = RATE_HZ / len(copy)
        assert strongest_hz(copy) == pytest.approx(500 * speed, abs=2)
        assert copy.dtype == np.float32


def test_equal_seeds_give_equal_copies_and_others_do_not():
    first, again, other = (speed_copies(tone(500), 2, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert {len(copy) for copy in first} != {len(copy) for copy in other}
    noisy = [noise_copy(tone(500), RATE_HZ, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])


@pytest.mark.parametrize("snr_db", [0.0, 7.5, 25.0])
def test_noise_has_the_level_that_was_asked_for(monkeypatch, snr_db):
    monkeypatch.setattr(augmentation, "SNR_RANGE_DB", (snr_db, snr_db))
    samples = tone(500)
    noisy = noise_copy(samples, RATE_HZ, np.random.default_rng(0))
    assert in_db(samples, noisy - samples) == pytest.approx(snr_db, abs=0.01)
    assert noisy.dtype == np.float32


def test_noise_is_relative_to_the_sounding_part(monkeypatch):
    monkeypatch.setattr(augmentation, "SNR_RANGE_DB", (10.0, 10.0))
    sound = tone(500)
    samples = np.concatenate([np.zeros(3 * RATE_HZ, np.float32), sound])
    noise = noise_copy(samples, RATE_HZ, np.random.default_rng(0)) - samples
    assert in_db(sound, noise) == pytest.approx(10.0, abs=0.05)


def test_levels_of_noise_cover_the_range():
    samples = tone(500)
    rng = np.random.default_rng(0)
    levels_db = [in_db(samples, noise_copy(samples, RATE_HZ, rng) - samples) for _ in range(60)]
    assert -0.1 <= min(levels_db) < 3 < 22 < max(levels_db) <= 25.1


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_noise_falls_with_frequency_as_its_colour_says(exponent):
    noise = coloured_noise(2**16, RATE_HZ, exponent, np.random.default_rng(0))
    amplitudes = np.abs(np.fft.rfft(noise))
    frequencies_hz = np.fft.rfftfreq(2**16, 1 / RATE_HZ)
    is_heard = frequencies_hz > 50
    slope, _ = np.polyfit(np.log(frequencies_hz[is_heard]), np.log(amplitudes[is_heard]), 1)
    assert slope == pytest.approx(-exponent, abs=0.02)
    assert np.mean(noise**2) == pytest.approx(1.0)


@pytest.mark.parametrize("n_samples", [0, 1, 2, 7])
def test_the_shortest_recordings_are_no_trouble(n_samples):
    samples = np.zeros(n_samples, np.float32)
    assert np.array_equal(noise_copy(samples, RATE_HZ, np.random.default_rng(0)), samples)
    assert len(coloured_noise(n_samples, RATE_HZ, 1.0, np.random.default_rng(0))) == n_samples


def test_the_recording_itself_is_left_alone():
    samples = tone(500)
    samples.setflags(write=False)
    speed_copies(samples, 2, np.random.default_rng(0))
    noise_copy(samples, RATE_HZ, np.random.default_rng(0))


def test_a_background_copy_is_the_sound_and_the_background_at_a_level_of_the_range():
    rng = np.random.default_rng(0)
    sound, background = noise(4000, seed=1) * 0.1, noise(1500, seed=2)
    for seed in range(5):
        copy = background_copy(sound, background, np.random.default_rng(seed))
        added = copy.astype(float) - sound
        snr_db = 10 * np.log10(np.mean(sound.astype(float) ** 2) / np.mean(added**2))
        assert SNR_RANGE_DB[0] - 0.01 <= snr_db <= SNR_RANGE_DB[1] + 0.01
        # It is the background from some place on, repeated.
        correlations = [
            np.corrcoef(added[:1500], np.roll(background, -shift))[0, 1] for shift in range(len(background))
        ]
        assert max(correlations) == pytest.approx(1.0, abs=1e-4)
    assert np.array_equal(background_copy(sound, np.zeros(10, dtype=np.float32), rng), sound)


def noise(n_samples: int, seed: int):
    return np.random.default_rng(seed).normal(size=n_samples).astype(np.float32)
