from __future__ import annotations

import numpy as np
import pytest

from streamgmm.demo.synthesis import (
    band_noise,
    faded,
    finished,
    harmonics,
    in_random_room,
    placed,
    power_law_noise,
    rms,
    struck_body,
    time_axis_s,
    with_rms,
)

RATE_HZ = 16000


def power_share(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    powers = np.abs(np.fft.rfft(samples)) ** 2
    bins_hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    return float(powers[(bins_hz >= low_hz) & (bins_hz <= high_hz)].sum() / powers.sum())


def test_a_steady_fundamental_gives_the_textbook_sum_of_sines():
    times_s = (np.arange(RATE_HZ) + 1) / RATE_HZ
    expected = np.sin(2 * np.pi * 200 * times_s) + 0.5 * np.sin(2 * np.pi * 400 * times_s)
    assert harmonics(np.full(RATE_HZ, 200.0), (1.0, 0.5), RATE_HZ) == pytest.approx(expected, abs=1e-9)


def test_overtones_beyond_the_highest_frequency_are_mute_instead_of_aliased():
    tone = harmonics(np.full(RATE_HZ, 3000.0), (1.0, 1.0, 1.0), RATE_HZ)
    assert power_share(tone, 2990, 3010) + power_share(tone, 5990, 6010) == pytest.approx(1.0)


def test_a_struck_body_falls_to_one_e_th_in_its_decay_time():
    body = struck_body((500.0,), (0.1,), RATE_HZ)
    cycle = RATE_HZ // 500
    n_decay = RATE_HZ // 10
    assert rms(body[n_decay : n_decay + cycle]) / rms(body[:cycle]) == pytest.approx(np.exp(-1), rel=1e-3)
    assert rms(body[-cycle:]) < 0.003 * rms(body[:cycle])


def test_band_noise_has_its_power_in_the_band():
    noise = band_noise(np.random.default_rng(0), RATE_HZ, 1000.0, 2000.0, RATE_HZ)
    assert rms(noise) == pytest.approx(1.0)
    assert power_share(noise, 800, 2500) > 0.9


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_falls_by_its_exponent(exponent: float):
    noise = power_law_noise(np.random.default_rng(0), 40 * RATE_HZ, exponent, RATE_HZ)
    powers = np.abs(np.fft.rfft(noise)) ** 2
    # Mean power of one bin in octaves five octaves apart.
    octave_means = [powers[first : 2 * first].mean() for first in (2**12, 2**17)]
    assert np.log2(octave_means[0] / octave_means[1]) / 5 == pytest.approx(exponent, abs=0.1)


def test_brown_noise_has_no_infrasound():
    noise = power_law_noise(np.random.default_rng(0), 2**18, 2.0, RATE_HZ)
    assert power_share(noise, 0, 29) < 1e-12


def test_a_fade_begins_and_ends_in_silence_and_leaves_the_middle():
    samples = faded(np.ones(RATE_HZ), 0.1, 0.2, RATE_HZ)
    assert samples[0] == pytest.approx(0.0, abs=1e-4)
    assert samples[-1] == pytest.approx(0.0, abs=1e-4)
    assert np.all(samples[1600:-3200] == 1.0)
    assert np.all(np.diff(samples[:1600]) > 0)


def test_a_fade_longer_than_the_sound_keeps_its_length():
    assert len(faded(np.ones(10), 0.1, 0.1, RATE_HZ)) == 10


def test_parts_are_added_where_they_are_placed():
    total = placed([(1.0, np.array([1.0, 2.0])), (1.25, np.array([10.0, 20.0]))], 4)
    assert total.tolist() == [0, 0, 0, 0, 1, 12, 20]


def test_a_room_keeps_the_direct_sound_first_and_adds_a_weaker_tail():
    click = np.zeros(RATE_HZ)
    click[0] = 1.0
    heard = in_random_room(np.random.default_rng(1), click, RATE_HZ)
    assert np.argmax(np.abs(heard)) == 0
    assert 0.0 < rms(heard[1:]) * np.sqrt(len(heard) - 1) < 0.6


def test_levels():
    assert rms(with_rms(np.array([3.0, -4.0]), 0.1)) == pytest.approx(0.1)
    assert with_rms(np.zeros(3), 0.1).tolist() == [0, 0, 0]
    assert rms(np.zeros(0)) == 0.0


def test_finished_turns_down_but_never_up():
    assert np.max(np.abs(finished(np.array([0.5, -3.0])))) == pytest.approx(0.9)
    assert finished(np.array([0.25])).tolist() == [0.25]
    assert finished(np.zeros(2)).dtype == np.float32


def test_time_axis_counts_samples():
    assert time_axis_s(0.5, 8).tolist() == [0, 0.125, 0.25, 0.375]
