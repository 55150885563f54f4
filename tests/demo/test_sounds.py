from __future__ import annotations

import numpy as np
import pytest

from streamgmm.demo.sounds import LOWEST_RATE_HZ, SOUNDS, check_rate
from streamgmm.errors import UsageError

RATE_HZ = 16000


@pytest.fixture(scope="module")
def specimens() -> dict[str, list[np.ndarray]]:
    return {label: [make(np.random.default_rng(seed), RATE_HZ) for seed in range(6)] for label, make in SOUNDS.items()}


def band_powers(samples: np.ndarray, *edges_hz: float) -> list[float]:
    """Share of the power below the first edge, between the edges, and above the last."""
    powers = np.abs(np.fft.rfft(samples)) ** 2
    bins_hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    sums = np.bincount(np.digitize(bins_hz, edges_hz), weights=powers, minlength=len(edges_hz) + 1)
    return list(map(float, sums / sums.sum()))


def levels(samples: np.ndarray, window_s: float = 0.01) -> np.ndarray:
    """RMS of consecutive windows, relative to the loudest."""
    n_window = round(window_s * RATE_HZ)
    rows = samples[: len(samples) // n_window * n_window].reshape(-1, n_window).astype(float)
    rms = np.sqrt(np.mean(rows**2, axis=1))
    return np.asarray(rms / rms.max())


def n_impacts(samples: np.ndarray) -> int:
    """How often the level rises from a fifth to a half of the loudest, with a pause in between."""
    count, is_armed = 0, True
    for level in levels(samples):
        if is_armed and level > 0.5:
            count, is_armed = count + 1, False
        elif level < 0.2:
            is_armed = True
    return count


@pytest.mark.parametrize("label", SOUNDS)
def test_a_sound_is_finite_unclipped_float32_of_one_to_three_seconds(specimens, label: str):
    for samples in specimens[label]:
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert RATE_HZ <= len(samples) <= 3.2 * RATE_HZ
        assert np.all(np.isfinite(samples))
        assert np.max(np.abs(samples)) == pytest.approx(0.9)


@pytest.mark.parametrize("label", SOUNDS)
def test_the_same_seed_gives_the_same_samples_and_another_seed_others(specimens, label: str):
    again = SOUNDS[label](np.random.default_rng(0), RATE_HZ)
    assert np.array_equal(again, specimens[label][0])
    lengths_and_starts = {(len(samples), samples[1000].item()) for samples in specimens[label]}
    assert len(lengths_and_starts) == len(specimens[label])


@pytest.mark.parametrize("label", SOUNDS)
def test_a_sound_begins_at_once(specimens, label: str):
    for samples in specimens[label]:
        assert levels(samples)[:15].max() > 0.05


@pytest.mark.parametrize("sample_rate_hz", [8000, 22050, 48000])
@pytest.mark.parametrize("label", SOUNDS)
def test_every_rate_gives_the_same_kind_of_sound(label: str, sample_rate_hz: int):
    for seed in range(5):
        samples = SOUNDS[label](np.random.default_rng(seed), sample_rate_hz)
        assert np.max(np.abs(samples)) == pytest.approx(0.9)
        assert 1.0 <= len(samples) / sample_rate_hz <= 3.2


@pytest.mark.parametrize("label", ["bird_song", "smoke_alarm", "glass_breaking"])
def test_high_sounds_are_never_lost_at_the_lowest_rate(label: str):
    for seed in range(60):
        assert rms_of(SOUNDS[label](np.random.default_rng(seed), LOWEST_RATE_HZ)) > 0.01


def test_a_rate_too_low_for_the_sounds_is_rejected():
    check_rate(LOWEST_RATE_HZ)
    with pytest.raises(UsageError, match="at least 8000 Hz"):
        check_rate(LOWEST_RATE_HZ - 1)


def test_the_smoke_alarm_is_three_beeps_near_3_khz(specimens):
    for samples in specimens["smoke_alarm"]:
        assert band_powers(samples, 2700, 3500)[1] > 0.85
        assert n_impacts(samples) == 3


def test_the_siren_lies_between_400_hz_and_its_overtones_and_never_pauses(specimens):
    for samples in specimens["siren"]:
        assert band_powers(samples, 380)[0] < 0.02
        assert levels(samples, 0.05)[3:-3].min() > 0.1


def test_knocks_can_be_counted_and_are_dull(specimens):
    for samples in specimens["knocking"]:
        assert 3 <= n_impacts(samples) <= 8
        assert band_powers(samples, 1600)[0] > 0.8


def test_footsteps_are_slower_and_deeper_than_knocks(specimens):
    for samples in specimens["footsteps"]:
        assert 3 <= n_impacts(samples) <= 5
        assert band_powers(samples, 450)[0] > 0.5


def test_the_engine_is_low_and_steady(specimens):
    for samples in specimens["engine"]:
        assert band_powers(samples, 700)[0] > 0.6
        assert levels(samples, 0.1)[2:-3].min() > 0.2


def test_running_water_is_a_broad_noise_without_pauses(specimens):
    for samples in specimens["running_water"]:
        low, middle, high = band_powers(samples, 350, 4000)
        assert middle > 0.6
        assert low < 0.1
        assert high > 0.01
        assert levels(samples, 0.1)[2:-3].min() > 0.15


def test_the_phone_beats_about_twenty_times_a_second(specimens):
    for samples in specimens["phone_ring"]:
        envelope = levels(samples, 0.005)[: round(1.0 / 0.005)]
        spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
        # One gong is a little louder than the other, so half the rate may win.
        assert 8 <= np.argmax(spectrum[5:60]) + 5 <= 26


def test_the_bird_sings_high_and_in_syllables(specimens):
    for samples in specimens["bird_song"]:
        assert band_powers(samples, 1800)[0] < 0.02
        assert n_impacts(samples) >= 6


def test_the_doorbell_falls_by_a_major_third(specimens):
    for samples in specimens["doorbell"]:
        first, second = samples[1600:5600], samples[-RATE_HZ // 4 * 3 :]
        pitches_hz = [np.argmax(np.abs(np.fft.rfft(part, RATE_HZ))) for part in (first, second)]
        ratio = pitches_hz[0] / pitches_hz[1]
        assert ratio == pytest.approx(1.25, abs=0.05) or ratio == pytest.approx(1.0, abs=0.05)
        assert 450 < pitches_hz[1] < 850


def test_glass_begins_with_its_crash_and_ends_in_high_shards(specimens):
    for samples in specimens["glass_breaking"]:
        assert np.argmax(levels(samples)) < 30
        assert band_powers(samples, 700)[0] < 0.1
        assert rms_of(samples[-RATE_HZ // 4 :]) < 0.1 * rms_of(samples[: RATE_HZ // 4])


def rms_of(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))
