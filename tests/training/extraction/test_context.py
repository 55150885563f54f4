from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from streamgmm.errors import DataError
from streamgmm.features.extractor import extract
from streamgmm.features.spec import FeatureSpec
from streamgmm.training.extraction import context as context_module
from streamgmm.training.extraction.context import (
    FILLED_COVER,
    LEAD_S,
    active_rms,
    choose_bed,
    loudest_part,
    noise_bed,
    put_in_context,
    recorded_bed,
    world_bed,
)
from tests.narrowing import present

RATE_HZ = 8000
SPEC = FeatureSpec(sample_rate_hz=RATE_HZ, n_bands=8)


def tone(seconds: float, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def silent_bed(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(n_samples)


def test_the_loudest_part_is_the_one_with_the_most_energy():
    samples = np.concatenate([tone(1.0, 0.1), tone(0.5), tone(1.0, 0.1)])
    assert np.array_equal(loudest_part(samples, RATE_HZ // 2), samples[RATE_HZ : RATE_HZ + RATE_HZ // 2])
    assert loudest_part(samples[:100], 200) is not None
    assert len(loudest_part(samples[:100], 200)) == 100


@pytest.mark.parametrize("pause_s", [0.0, 3.0])
def test_pauses_do_not_count_for_the_level(pause_s):
    sound = np.concatenate([tone(1.0), np.zeros(int(pause_s * RATE_HZ), dtype=np.float32)])
    assert active_rms(sound, RATE_HZ) == pytest.approx(0.3 / np.sqrt(2), rel=0.01)


def test_the_level_of_silence_and_of_a_sample_is_a_number():
    assert active_rms(np.zeros(5, dtype=np.float32), RATE_HZ) > 0.0
    assert active_rms(np.ones(1, dtype=np.float32), RATE_HZ) > 0.0


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_a_sound_lies_above_the_rest_by_its_level(snr_db):
    heard = put_in_context(
        tone(2.0), SPEC, partial(noise_bed, sample_rate_hz=RATE_HZ), snr_db, rng(), has_cepstra=False
    )
    before = heard.levels_dbfs[: int(LEAD_S / (SPEC.hop_samples / RATE_HZ))]
    during = heard.levels_dbfs[heard.covers >= 0.99]
    expected_db = 10 * np.log10(1 + 10 ** (snr_db / 10))
    assert np.median(during) - np.median(before) == pytest.approx(expected_db, abs=1.5)
    assert heard.snr_db == snr_db


def test_windows_are_those_of_a_stream_and_covered_where_the_sound_is():
    heard = put_in_context(tone(0.4), SPEC, silent_bed, 6.0, rng(), has_cepstra=True)
    lead, tail = np.zeros(int(LEAD_S * RATE_HZ), np.float32), np.zeros(RATE_HZ // 2, np.float32)
    streamed = extract(np.concatenate([lead, tone(0.4), tail]), SPEC, has_cepstra=True)
    np.testing.assert_array_equal(heard.vectors, streamed.vectors.astype(np.float32))
    # The sound is shorter than a window, so some windows hold it all.
    assert heard.covers.max() == 1.0
    assert heard.covers[0] == 0.0
    window_s, end_s = SPEC.window_samples / RATE_HZ, streamed.end_s[heard.covers.argmax()]
    assert end_s - window_s <= LEAD_S < LEAD_S + 0.4 <= end_s + 1e-9
    assert (heard.covers >= FILLED_COVER).any()
    assert heard.cepstra is not None
    assert heard.cepstra.spans[-1, 1] == len(heard.cepstra.vectors)


@pytest.mark.parametrize("window_s", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("sound_s", [0.3, 5.0])
def test_most_windows_of_a_sound_are_whole_whatever_their_length(window_s, sound_s):
    spec = FeatureSpec(sample_rate_hz=RATE_HZ, n_bands=8, window_s=window_s)
    heard = put_in_context(tone(sound_s), spec, silent_bed, 6.0, rng(), has_cepstra=False)
    is_whole = (1 + np.arange(len(heard.covers))) * spec.hop_samples >= spec.window_samples
    of_sound = heard.covers >= FILLED_COVER
    # In a stream all are, so what is learnt from the others is learnt for nothing.
    assert is_whole[of_sound].mean() > 0.6
    # The sound has ended in the last of them.
    assert heard.covers[-1] < 1.0 or sound_s < window_s / 2


def test_frames_of_the_hops_that_hold_the_sound_are_told_from_the_others():
    noise = partial(noise_bed, sample_rate_hz=RATE_HZ)
    cepstra = present(put_in_context(tone(1.0), SPEC, noise, 20.0, rng(), has_cepstra=True).cepstra)
    frame_s, hop_s = SPEC.frame_samples / RATE_HZ, SPEC.hop_samples / RATE_HZ
    assert 1.0 - 2 * frame_s <= len(cepstra.copies) * frame_s <= 1.0 + 2 * hop_s
    is_of_sound = (cepstra.vectors[:, np.newaxis] == cepstra.copies).all(axis=2).any(axis=1)
    # A hop completes frames whose slopes waited for it, and begins up to a hop before the sound.
    assert np.flatnonzero(is_of_sound)[0] * frame_s == pytest.approx(LEAD_S, abs=hop_s + 0.1)
    assert not is_of_sound.all()


def test_a_bed_is_the_users_background_where_there_is_one():
    recording = tone(0.5)
    bed = choose_bed([recording], RATE_HZ, rng(), has_world=True)
    made = bed(3 * RATE_HZ, rng())
    assert len(made) == 3 * RATE_HZ
    assert np.std(made) == pytest.approx(1.0, rel=0.02)
    # A tone repeated with its whole periods has one peak in the spectrum.
    assert np.abs(np.fft.rfft(made)).argmax() == 3 * 440


def test_without_a_background_the_bed_is_of_the_world_or_noise():
    kinds = {choose_bed([], RATE_HZ, rng(), has_world=has_world).func for has_world in (True, False)}  # type: ignore[attr-defined]
    assert kinds == {world_bed, noise_bed}


def test_a_damaged_world_leaves_noise(monkeypatch):
    def broken(kinds):
        raise DataError("cut")

    context_module.lasting_sounds.cache_clear()
    monkeypatch.setattr(context_module, "read_world", broken)
    assert np.isfinite(world_bed(1000, rng(), sample_rate_hz=RATE_HZ)).all()
    context_module.lasting_sounds.cache_clear()


def test_a_silent_background_adds_nothing():
    assert not recorded_bed(100, rng(), recording=np.zeros(10, np.float32)).any()


def rng() -> np.random.Generator:
    return np.random.default_rng(3)
