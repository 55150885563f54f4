from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.audio.reading import RecordingError
from streamgmm.demo.recordings import write_wav
from streamgmm.errors import DataError
from streamgmm.evaluation.conditions import (
    Conditions,
    Noise,
    NoiseKind,
    active_samples,
    apply_conditions,
    check_noise,
    conditions_text,
    keep_first,
    mix,
)
from streamgmm.features.extractor import extract
from streamgmm.features.spec import FeatureSpec
from streamgmm.training.extraction.extraction import active_windows
from tests.training.training_rig import RATE_HZ, make_clip

SPEC = FeatureSpec(sample_rate_hz=RATE_HZ)
HOP = SPEC.hop_samples
GATE_DBFS = -75.0


def db(power_ratio: float) -> float:
    return float(10 * np.log10(power_ratio))


def power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def with_pause(n_hops: int = 30) -> np.ndarray:
    """Noise whose middle third is digital silence."""
    samples = np.random.default_rng(1).normal(0.0, 0.1, n_hops * HOP + 77).astype(np.float32)
    samples[n_hops // 3 * HOP : 2 * n_hops // 3 * HOP] = 0.0
    return samples


def heard(samples: np.ndarray, conditions: Conditions, number: int = 0) -> np.ndarray:
    return apply_conditions(samples, make_clip("bell", number), conditions, SPEC, GATE_DBFS)


def test_clips_are_unchanged_by_default():
    samples = with_pause()
    assert heard(samples, Conditions()) is samples


@pytest.mark.parametrize("kind", ["white", "pink"])
@pytest.mark.parametrize("snr_db", [-5.0, 10.0])
def test_the_snr_is_that_of_the_sounding_part_exactly(kind, snr_db):
    samples = with_pause()
    added = heard(samples, Conditions(Noise(kind, snr_db))).astype(np.float64) - samples
    sounding = samples[samples != 0.0]
    assert db(power(sounding) / power(added)) == pytest.approx(snr_db, abs=1e-3)


@given(st.floats(-30, 60), st.integers(0, 99))
def test_mixing_against_plain_numpy(snr_db, seed):
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.2, 500).astype(np.float32)
    noise = rng.uniform(-3, 3, 500)
    is_active = rng.random(500) < 0.5
    wanted_power = np.var(samples[is_active], dtype=np.float64) / 10 ** (snr_db / 10)
    expected = samples + noise * np.sqrt(wanted_power / np.var(noise))
    assert mix(samples, noise, is_active, snr_db) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(Noise("white", 10.0)),
        Conditions(room_s=0.5),
        Conditions(band_hz=(300.0, 3400.0)),
        Conditions(gain_db=-6.0),
    ],
    ids=["noise", "room", "band", "gain"],
)
def test_conditions_are_the_same_for_a_clip_with_an_offset(conditions):
    plain, moved = (heard(with_pause() + np.float32(offset), conditions) for offset in (0.0, 0.05))
    difference = moved.astype(np.float64) - plain
    assert np.ptp(difference) < 1e-4


def test_pink_noise_has_equal_power_per_octave_and_white_noise_per_hertz():
    samples = np.random.default_rng(0).normal(0, 0.1, 20 * RATE_HZ).astype(np.float32)
    ratios_db: dict[NoiseKind, float] = {"pink": 0.0, "white": 3.01}
    for kind, ratio_db in ratios_db.items():
        spectrum = np.abs(np.fft.rfft(heard(samples, Conditions(Noise(kind, 0.0))) - samples)) ** 2
        low, high = (spectrum[20 * hz : 40 * hz].sum() for hz in (500, 1000))
        assert db(high / low) == pytest.approx(ratio_db, abs=0.3)


def test_the_same_clip_gets_the_same_noise_and_another_clip_another():
    samples, noisy = with_pause(), Conditions(Noise("white", 10.0))
    assert np.array_equal(heard(samples, noisy), heard(samples, noisy))
    assert not np.array_equal(heard(samples, noisy), heard(samples, noisy, number=1))


@pytest.mark.parametrize("gain_db", [-20.0, 6.0])
def test_gain_is_on_samples_and_nothing_is_clipped(gain_db):
    samples = 5 * with_pause()
    assert heard(samples, Conditions(gain_db=gain_db)) == pytest.approx(samples * 10 ** (gain_db / 20), rel=1e-6)


def test_activity_is_that_of_training():
    samples = np.concatenate([with_pause(), 1e-3 * with_pause()])
    own = active_samples(samples, "bell", SPEC, GATE_DBFS)
    levels_dbfs = extract(samples, SPEC).levels_dbfs
    trained = active_windows(levels_dbfs, "bell", GATE_DBFS)
    assert own[::HOP].tolist() == trained[: len(own[::HOP])].tolist()
    assert 0 < own.mean() < 1


def test_only_the_first_active_seconds_are_kept_with_their_pauses():
    samples = with_pause()
    samples[: 2 * HOP] = 0.0
    kept = heard(samples, Conditions(first_active_s=12 * HOP / RATE_HZ))
    # Eight active hops, a pause of ten, four active hops.
    assert np.array_equal(kept, samples[2 * HOP : 24 * HOP])


def test_a_clip_with_too_little_sound_is_kept_from_its_first_active_sample():
    samples = with_pause()
    samples[:HOP] = 0.0
    assert np.array_equal(heard(samples, Conditions(first_active_s=60.0)), samples[HOP:])


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 50))
def test_keeping_against_a_plain_loop(flags, n_wanted):
    kept, n_active = [], 0
    for place, flag in enumerate(flags):
        if n_active < n_wanted and (flag or n_active):
            kept.append(place)
            n_active += flag
    expected = kept if any(flags) else list(range(len(flags)))
    assert keep_first(np.arange(len(flags), dtype=np.float32), np.array(flags), n_wanted).tolist() == expected


def test_a_silent_clip_stays_silent():
    silence = np.zeros(5 * HOP, np.float32)
    assert np.array_equal(heard(silence, Conditions(Noise("pink", 0.0), 0.1, -6.0)), silence)


@pytest.fixture
def fan(tmp_path: Path) -> Path:
    path = tmp_path / "fan.wav"
    write_wav(path, np.random.default_rng(2).uniform(-0.5, 0.5, 10 * 2 * RATE_HZ).astype(np.float32), 2 * RATE_HZ)
    return path


def test_noise_of_a_recording_is_converted_and_differs_from_clip_to_clip(fan):
    samples, noisy = with_pause(), Conditions(Noise("file", 10.0, fan))
    added = [heard(samples, noisy, number).astype(np.float64) - samples for number in (0, 0, 1)]
    assert np.array_equal(added[0], added[1])
    assert not np.array_equal(added[0], added[2])
    sounding = samples[samples != 0.0]
    assert db(power(sounding) / power(added[0])) == pytest.approx(10.0, abs=1e-3)


def test_noise_shorter_than_a_clip_is_rejected_before_and_during_the_work(fan):
    long = np.ones(11 * RATE_HZ, np.float32)
    with pytest.raises(DataError, match=r"fan\.wav: is shorter than a clip of 11 s \(give a longer recording"):
        heard(long, Conditions(Noise("file", 10.0, fan)))
    clips = [make_clip("bell", 0), make_clip("bell", 1)]
    check_noise(Noise("file", 10.0, fan), clips)
    check_noise(None, clips)
    write_wav(fan, np.ones(RATE_HZ // 2, np.float32), RATE_HZ)
    with pytest.raises(DataError, match=r"is shorter than bell/0\.wav of 1 s"):
        check_noise(Noise("file", 10.0, fan), clips)


def test_noise_that_is_not_a_recording_or_silent_is_rejected(tmp_path):
    with pytest.raises(RecordingError, match="no such file"):
        check_noise(Noise("file", 10.0, tmp_path / "none.wav"), [make_clip("bell", 0)])
    write_wav(tmp_path / "zeros.wav", np.zeros(20 * RATE_HZ, np.float32), RATE_HZ)
    with pytest.raises(DataError, match="is silent from"):
        heard(with_pause(), Conditions(Noise("file", 10.0, tmp_path / "zeros.wav")))


def test_conditions_in_words_and_in_json():
    everything = Conditions(Noise("file", 10.0, Path("a\nb.wav")), 1.0, -20.0, 0.5, (300.0, 3400.0))
    assert everything.described() == {
        "room_s": 0.5,
        "noise": r"a\nb.wav",
        "snr_db": 10.0,
        "low_hz": 300.0,
        "high_hz": 3400.0,
        "first_active_s": 1.0,
        "gain_db": -20.0,
    }
    assert conditions_text(everything.described()) == (
        r"in a room of 0.5 s reverberation, a\nb.wav noise at 10 dB SNR, only 300 to 3400 Hz, "
        "first 1 active seconds, gain -20 dB"
    )
    assert conditions_text(Conditions().described()) == ""


def test_a_room_goes_on_after_the_sound_and_falls_by_60_db_in_the_reverberation_time():
    samples = np.zeros(2 * RATE_HZ, np.float32)
    samples[100] = 1.0
    room = heard(samples, Conditions(room_s=0.5))
    assert room.shape == samples.shape
    assert np.abs(room[:100]).max() < 1e-6
    assert room[100] == pytest.approx(1.0, abs=1e-5)
    answer = room[101:]
    assert db(np.sum(answer.astype(float) ** 2)) == pytest.approx(0.0, abs=0.01)
    early, late = (power(answer[int(t * RATE_HZ) : int((t + 0.1) * RATE_HZ)]) for t in (0.05, 0.35))
    assert db(early / late) == pytest.approx(60 * 0.3 / 0.5, abs=2.0)
    assert np.array_equal(room, heard(samples, Conditions(room_s=0.5)))
    assert not np.array_equal(room, heard(samples, Conditions(room_s=0.5), number=1))


def test_noise_in_a_room_is_not_what_the_room_was_drawn_from():
    silent = np.zeros(RATE_HZ, np.float32)
    silent[0] = 1.0
    room = heard(silent, Conditions(room_s=0.5))[1:]
    both = heard(silent, Conditions(Noise("white", 0.0), room_s=0.5))[1:]
    first = slice(int(0.01 * RATE_HZ), int(0.1 * RATE_HZ))
    assert abs(np.corrcoef(room[first], (both - room)[first])[0, 1]) < 0.2


def test_a_band_is_kept_and_the_rest_is_attenuated():
    times_s = np.arange(RATE_HZ) / RATE_HZ
    for frequency_hz, gain_db in ((100.0, -70.0), (1000.0, 0.0), (3500.0, -35.0)):
        tone = np.sin(2 * np.pi * frequency_hz * times_s).astype(np.float32)
        out = heard(tone, Conditions(band_hz=(300.0, 2000.0)))[RATE_HZ // 2 :]
        assert db(2 * power(out)) < gain_db + 1 if gain_db else abs(db(2 * power(out))) < 0.1


def test_a_band_that_reaches_beyond_half_the_rate_has_no_upper_end():
    samples = with_pause()
    assert np.array_equal(
        heard(samples, Conditions(band_hz=(300.0, RATE_HZ / 2))), heard(samples, Conditions(band_hz=(300.0, 90000.0)))
    )
