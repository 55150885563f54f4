from __future__ import annotations

import numpy as np
import pytest

from streamgmm.training.extraction import transmission
from streamgmm.training.extraction.transmission import microphone_gains, room_response, transmitted

RATE_HZ = 16000


def noise(n_samples: int = 2 * RATE_HZ) -> np.ndarray:
    return np.random.default_rng(7).normal(0.0, 0.1, n_samples).astype(np.float32)


def without_microphone(monkeypatch) -> None:
    monkeypatch.setattr(transmission, "microphone_gains", lambda frequencies_hz, rng: np.ones(len(frequencies_hz)))


def gains_of(seed: int, rate_hz: int = RATE_HZ) -> tuple[np.ndarray, np.ndarray]:
    frequencies_hz = np.linspace(0.0, rate_hz / 2, 4001)
    return frequencies_hz, microphone_gains(frequencies_hz, np.random.default_rng(seed))


@pytest.mark.parametrize("n_samples", [1, 2, 777, 2 * RATE_HZ])
def test_the_output_is_as_long_as_the_input(n_samples):
    heard = transmitted(noise(n_samples), RATE_HZ, np.random.default_rng(0))
    assert heard.shape == (n_samples,)
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()


def test_equal_draws_are_equal_and_others_are_not():
    first, again, other = (transmitted(noise(), RATE_HZ, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-3)


def test_a_room_alone_is_a_convolution_with_its_response(monkeypatch):
    without_microphone(monkeypatch)
    monkeypatch.setattr(transmission, "ROOM_SHARE", 1.0)
    monkeypatch.setattr(transmission, "REVERBERATION_RANGE_S", (0.3, 0.3))
    monkeypatch.setattr(transmission, "DIRECT_RANGE_DB", (5.0, 5.0))
    samples = noise(4000)
    samples[0] = 0.0
    heard = transmitted(samples, RATE_HZ, np.random.default_rng(3))
    drawn = np.random.default_rng(3)
    drawn.uniform(size=3)  # whether there is a room, its time and the level
    response = room_response(0.3, 5.0, RATE_HZ, drawn)
    assert np.allclose(heard, np.convolve(samples, response)[: len(samples)], atol=1e-5)


def test_some_copies_have_no_room(monkeypatch):
    without_microphone(monkeypatch)
    samples = noise(4000)
    heard = [transmitted(samples, RATE_HZ, np.random.default_rng(seed)) for seed in range(200)]
    n_plain = sum(np.allclose(one, samples, atol=1e-6) for one in heard)
    assert n_plain == pytest.approx(200 * (1.0 - transmission.ROOM_SHARE), abs=25)


def test_the_response_is_causal(monkeypatch):
    without_microphone(monkeypatch)
    samples = noise()
    samples[:RATE_HZ] = 0.0
    heard = transmitted(samples, RATE_HZ, np.random.default_rng(4))
    assert np.abs(heard[:RATE_HZ]).max() < 1e-6


@pytest.mark.parametrize("direct_db", [-5.0, 0.0, 20.0])
@pytest.mark.parametrize("reverberation_s", [0.1, 1.0])
def test_a_room_answers_as_loud_and_as_long_as_it_should(direct_db, reverberation_s):
    response = room_response(reverberation_s, direct_db, RATE_HZ, np.random.default_rng(0))
    answer = response[1:]
    assert response[0] == 1.0
    assert not answer[: int(0.0019 * RATE_HZ)].any()
    assert -10 * np.log10(np.sum(answer**2)) == pytest.approx(direct_db, abs=1e-6)
    # Backward integration (Schroeder, 1965): from 5 to 25 dB below the whole a third of the time passes.
    decay_db = 10 * np.log10(np.cumsum(answer[::-1] ** 2)[::-1] / np.sum(answer**2))
    span_s = (np.argmax(decay_db < -25) - np.argmax(decay_db < -5)) / RATE_HZ
    assert 3 * span_s == pytest.approx(reverberation_s, rel=0.15)


def test_a_room_shorter_than_its_first_answer_has_none():
    assert room_response(0.001, 0.0, RATE_HZ, np.random.default_rng(0)).tolist() == [1.0] + [0.0] * 15


def test_half_of_the_microphones_end_early_and_none_below_a_telephone():
    n_early = 0
    for seed in range(200):
        frequencies_hz, gains = gains_of(seed)
        assert np.isfinite(gains).all()
        assert (gains >= 0.0).all()
        middle = gains[(frequencies_hz > 500) & (frequencies_hz < 3000)]
        assert 20 * np.log10(middle.max() / middle.min()) < 30
        n_early += gains[-1] < 0.03 * np.median(middle)
    assert 60 < n_early < 110


def test_half_of_the_microphones_cut_the_lowest_frequencies_steeply(monkeypatch):
    monkeypatch.setattr(transmission, "LOW_CUT_RANGE_HZ", (400.0, 400.0))
    falls_db = np.array([20 * np.diff(np.log10(np.interp([100.0, 200.0], *gains_of(seed))))[0] for seed in range(200)])
    steep = falls_db > 36.0
    assert steep.sum() == pytest.approx(100, abs=25)
    # Beside the cut there are slope and ripple.
    assert falls_db[steep].mean() == pytest.approx(60.0, abs=1.5)
    assert falls_db[~steep].mean() == pytest.approx(12.0, abs=1.5)


def test_at_a_low_rate_no_microphone_ends_early():
    for seed in range(50):
        frequencies_hz, gains = gains_of(seed, rate_hz=6000)
        assert 20 * np.log10(gains[-1] / gains[frequencies_hz > 1000].max()) > -30


def test_all_microphones_fall_towards_the_lowest_frequencies():
    for seed in range(50):
        frequencies_hz, gains = gains_of(seed)
        assert gains[0] < 1e-2
        assert gains[np.searchsorted(frequencies_hz, 3.0)] < gains[np.searchsorted(frequencies_hz, 500.0)]


@pytest.mark.parametrize("seed", range(6))
def test_an_offset_begins_without_a_click(seed):
    samples = np.full(4000, 0.2, dtype=np.float32)
    samples[2000:] += noise(2000)
    heard = transmitted(samples, RATE_HZ, np.random.default_rng(seed))
    # A microphone of no phase is heard a little before it sounds.
    assert np.ptp(heard[:1000]) < 5e-3
    assert np.ptp(heard[2000:]) > 0.05
