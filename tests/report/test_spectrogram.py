from __future__ import annotations

import numpy as np
import pytest

from streamgmm.report.spectrogram import LOWEST_SHOWN_HZ, band_edges_hz, band_levels_db

RATE_HZ = 16000


def sine(frequency_hz: float, duration_s: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ).astype(np.float32)


def test_bands_are_equally_wide_in_octaves_up_to_nyquist():
    edges_hz = band_edges_hz(7, RATE_HZ)
    assert (edges_hz[0], edges_hz[-1]) == pytest.approx((LOWEST_SHOWN_HZ, RATE_HZ / 2))
    assert np.ptp(np.diff(np.log2(edges_hz))) < 1e-9


@pytest.mark.parametrize("frequency_hz", [150.0, 440.0, 1000.0, 3000.0, 7000.0])
def test_a_tone_is_loudest_in_its_own_band(frequency_hz: float):
    levels_db = band_levels_db(sine(frequency_hz), RATE_HZ, n_bands=20, n_columns=10)
    edges_hz = band_edges_hz(20, RATE_HZ)
    band = int(np.argmax(levels_db[:, 5]))
    assert edges_hz[band] <= frequency_hz < edges_hz[band + 1]


def test_a_click_shows_in_its_column_however_short():
    samples = np.zeros(10 * RATE_HZ, np.float32)
    samples[round(3.25 * RATE_HZ)] = 1.0
    levels_db = band_levels_db(samples, RATE_HZ, n_bands=5, n_columns=20)
    assert np.argmax(levels_db.max(axis=0)) == 6
    assert levels_db.shape == (5, 20)


def test_ten_times_the_amplitude_is_twenty_decibels():
    quiet = band_levels_db(np.float32(0.01) * sine(1000), RATE_HZ, 8, 4)
    loud = band_levels_db(np.float32(0.1) * sine(1000), RATE_HZ, 8, 4)
    band = np.argmax(loud[:, 1])
    assert loud[band, 1] - quiet[band, 1] == pytest.approx(20.0, abs=0.01)


@pytest.mark.parametrize("n_samples", [1, 50, 700])
def test_silence_and_very_short_signals_stay_finite(n_samples: int):
    assert np.all(np.isfinite(band_levels_db(np.zeros(n_samples, np.float32), RATE_HZ, 6, 80)))
