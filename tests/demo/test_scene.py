from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from streamgmm.demo.recordings import TRAINING_STREAM, render_clip
from streamgmm.demo.scene import (
    GAP_S,
    SCENE_STREAM,
    SyntheticScene,
    audible_span,
    changing_background,
    make_scene,
)
from streamgmm.demo.sounds import SOUNDS
from streamgmm.demo.synthesis import rms
from streamgmm.errors import UsageError

RATE_HZ = 16000


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return make_scene(75.0, seed=1, sample_rate_hz=RATE_HZ)


def slice_of(scene: SyntheticScene, onset_s: float, offset_s: float) -> np.ndarray:
    return scene.samples[round(onset_s * RATE_HZ) : round(offset_s * RATE_HZ)]


def test_a_scene_is_unclipped_float32_of_the_requested_length(scene: SyntheticScene):
    assert scene.samples.dtype == np.float32
    assert scene.samples.shape == (75 * RATE_HZ,)
    assert np.all(np.isfinite(scene.samples))
    assert np.max(np.abs(scene.samples)) <= 0.9001


def test_events_are_in_order_apart_and_within_the_scene(scene: SyntheticScene):
    assert scene.events[0].onset_s >= GAP_S[0]
    assert scene.events[-1].offset_s <= 75.0
    for event in scene.events:
        assert 0.3 < event.offset_s - event.onset_s < 3.5
    for earlier, later in pairwise(scene.events):
        assert GAP_S[0] - 1e-3 <= later.onset_s - earlier.offset_s <= GAP_S[1] + 1e-3


@pytest.mark.parametrize("seed", range(6))
def test_every_label_occurs_and_none_much_more_than_another(seed: int):
    counts = Counter(event.label for event in make_scene(60.0, seed, 8000).events)
    assert set(counts) == set(SOUNDS)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_energy_rises_at_every_onset(scene: SyntheticScene):
    for event in scene.events:
        before = rms(slice_of(scene, event.onset_s - 0.15, event.onset_s))
        after = rms(slice_of(scene, event.onset_s, event.onset_s + 0.3))
        assert after > 1.3 * before, event


def test_the_background_never_stops(scene: SyntheticScene):
    hundredths = scene.samples.reshape(-1, RATE_HZ // 100)
    assert np.sqrt(np.mean(hundredths.astype(float) ** 2, axis=1)).min() > 1e-5


def test_the_same_seed_gives_the_same_scene_and_another_seed_another(scene: SyntheticScene):
    again = make_scene(75.0, seed=1, sample_rate_hz=RATE_HZ)
    assert np.array_equal(again.samples, scene.samples)
    assert again.events == scene.events
    assert make_scene(75.0, seed=2, sample_rate_hz=RATE_HZ).events != scene.events


def test_no_scene_shares_its_random_numbers_with_a_training_clip():
    assert SCENE_STREAM != TRAINING_STREAM
    scene_numbers = np.random.default_rng((SCENE_STREAM, 0)).random(4)
    training_numbers = np.random.default_rng((TRAINING_STREAM, 0, 0, 0)).random(4)
    assert not np.array_equal(scene_numbers, training_numbers)


@pytest.mark.parametrize("duration_s", [0.0, 59.9, -1.0, float("nan")])
def test_a_scene_too_short_for_all_sounds_is_rejected(duration_s: float):
    with pytest.raises(UsageError, match="too short"):
        make_scene(duration_s, 0, RATE_HZ)


def test_the_background_changes_without_a_seam():
    noise = changing_background(np.random.default_rng(0), 65 * RATE_HZ, RATE_HZ)
    levels_db = 20 * np.log10(np.sqrt(np.mean(noise.reshape(-1, RATE_HZ) ** 2, axis=1)))
    assert noise.shape == (65 * RATE_HZ,)
    assert np.max(np.abs(np.diff(levels_db))) < 8
    assert np.all((levels_db > -65) & (levels_db < -40))


def test_the_audible_span_is_what_a_slow_search_finds():
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(RATE_HZ) * np.exp(-np.arange(RATE_HZ) / 2000)
    samples[:800] = 0.0
    hops = [samples[first : first + 160] for first in range(0, RATE_HZ, 160)]
    loudest = max(float(np.sum(hop**2)) for hop in hops)
    audible = [i for i, hop in enumerate(hops) if float(np.sum(hop**2)) > loudest / 100]
    assert audible_span(samples, RATE_HZ) == (audible[0] * 160, (audible[-1] + 1) * 160)


def test_scenes_contain_no_training_clip(scene: SyntheticScene):
    clip = render_clip("siren", np.random.default_rng((TRAINING_STREAM, 1, 0, 0)), RATE_HZ)
    piece = clip[RATE_HZ // 2 : RATE_HZ].astype(float)
    n_fast = 2 ** int(np.ceil(np.log2(len(scene.samples) + len(piece))))
    spectrum = np.fft.rfft(scene.samples, n_fast) * np.conj(np.fft.rfft(piece, n_fast))
    correlations = np.abs(np.fft.irfft(spectrum))
    sums = np.concatenate([[0.0], np.cumsum(scene.samples.astype(float) ** 2)])
    n_places = len(scene.samples) - len(piece)
    energies = sums[len(piece) : len(piece) + n_places] - sums[:n_places]
    normalised = correlations[:n_places] / np.sqrt(energies * np.sum(piece**2))
    assert normalised.max() < 0.9
