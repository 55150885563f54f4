"""The stream of vectors: the same bits for any blocks, finite for any sound, honest about NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.features.extractor import FeatureStream, extract
from streamgmm.features.low_cut import low_cut
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.transform import WaveletTransform
from streamgmm.features.window import n_features
from streamgmm.units import SILENCE_DBFS
from tests.narrowing import present

pytestmark = pytest.mark.usefixtures("each_kernel")

SPEC = FeatureSpec(sample_rate_hz=8000, window_s=0.5, n_bands=8)
SAMPLES = (0.1 * np.random.default_rng(1).normal(size=20_000)).astype(np.float32)


def signature(frames):
    return [
        (
            f.end_sample,
            f.level_dbfs,
            f.window_level_dbfs,
            f.frame_levels_db.tobytes(),
            None if f.vector is None else f.vector.tobytes(),
        )
        for f in frames
    ]


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, SAMPLES.size), max_size=12))
def test_streams_are_bit_identical_for_any_block_sizes(cuts) -> None:
    whole, cut = FeatureStream(SPEC), FeatureStream(SPEC)
    frames, n_pushed = [], 0
    for block in np.split(SAMPLES, sorted(cuts)):
        frames += cut.push(block)
        n_pushed += block.size
        assert cut.end_sample + cut.n_pending_samples == n_pushed
    assert signature(frames + cut.flush()) == signature(whole.push(SAMPLES) + whole.flush())
    assert cut.end_sample == SAMPLES.size


@pytest.mark.parametrize("hop_s", [0.016, 0.12])
def test_A17_exactly_the_hops_that_hold_a_nan_have_no_vector(hop_s) -> None:
    spec = FeatureSpec(sample_rate_hz=8000, window_s=0.5, hop_s=hop_s)
    spoilt, bridged = SAMPLES.copy(), SAMPLES.copy()
    position = 3 * spec.hop_samples - 1
    others = SAMPLES[position + 1 - spec.hop_samples : position]
    spoilt[position], bridged[position] = np.nan, others.mean(dtype=np.float64)
    frames, clean = FeatureStream(spec).push(spoilt), FeatureStream(spec).push(bridged)
    last_felt = (position + WaveletTransform(spec).memory_samples) // spec.hop_samples
    last = last_felt + spec.window_samples // spec.hop_samples - 1
    assert [i for i, frame in enumerate(frames) if frame.vector is None] == list(range(2, min(last + 1, len(frames))))
    assert last + 1 < len(frames)
    assert signature(frames[last + 1 :]) == signature(clean[last + 1 :])


def test_A17_a_loss_of_audio_ends_the_refusal() -> None:
    stream = FeatureStream(SPEC)
    stream.push(np.full(SPEC.hop_samples, np.inf, dtype=np.float32))
    stream.forget()
    assert stream.push(SAMPLES[: SPEC.hop_samples])[0].vector is not None


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1000.5])
def test_A17_a_sample_that_is_usable_before_its_offset_is_subtracted_stays_so(bad) -> None:
    # 990 + 990 is beyond the largest sample, and no sample is: only the bad one costs vectors.
    samples = np.full(20 * SPEC.hop_samples, 990.0, dtype=np.float32)
    samples[::2] = -990.0
    samples[: SPEC.hop_samples] = 990.0
    assert all(hop.vector is not None for hop in FeatureStream(SPEC).push(samples))
    samples[3 * SPEC.hop_samples] = bad
    hops = FeatureStream(SPEC).push(samples)
    assert [hop.vector is None for hop in hops[:5]] == [False] * 3 + [True] * 2
    assert hops[-1].vector is not None


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(9000, dtype=np.float32),
        np.full(9000, 0.5, dtype=np.float32),
        np.sign(np.sin(np.arange(9000) * 0.3)).astype(np.float32),
        np.full(9000, 1e-40, dtype=np.float32),
    ],
    ids=["silence", "dc", "square", "denormals"],
)
def test_A18_A19_vectors_are_finite(samples) -> None:
    assert np.isfinite(extract(samples, SPEC).vectors).all()


@pytest.mark.parametrize("gain", [0.1, 10.0])
def test_vectors_do_not_depend_on_the_gain(gain) -> None:
    vectors = extract(SAMPLES, SPEC).vectors
    np.testing.assert_allclose(extract(SAMPLES * np.float32(gain), SPEC).vectors, vectors, atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(
    sample_rate_hz=st.integers(8000, 48000),
    hop_s=st.floats(0.016, 0.3),
    window_s=st.floats(0.3, 2.0),
    n_bands=st.integers(8, 64),
)
def test_n_features_is_the_length_of_a_vector(sample_rate_hz, hop_s, window_s, n_bands) -> None:
    spec = FeatureSpec(sample_rate_hz=sample_rate_hz, hop_s=hop_s, window_s=window_s, n_bands=n_bands)
    (frame,) = FeatureStream(spec).push(np.ones(spec.hop_samples, dtype=np.float32))
    assert present(frame.vector).shape == (n_features(spec),)


def test_the_level_of_a_window_is_that_of_all_its_hops_and_what_was_not_heard_is_silence() -> None:
    n_samples = SPEC.window_samples // SPEC.hop_samples * SPEC.hop_samples
    stream = FeatureStream(SPEC)
    audible = low_cut(SAMPLES, SPEC).astype(np.float64)
    for frame in [*stream.push(SAMPLES), *stream.flush()]:
        heard = audible[max(0, frame.end_sample - n_samples) : frame.end_sample]
        if frame.end_sample % SPEC.hop_samples:  # the last hop is completed with silence
            heard = heard[-(n_samples - SPEC.hop_samples + frame.end_sample % SPEC.hop_samples) :]
        assert frame.window_level_dbfs == pytest.approx(10 * np.log10(np.sum(heard**2) / n_samples), abs=1e-4)
    stream.forget()
    assert stream.push(SAMPLES)[0].window_level_dbfs == extract(SAMPLES, SPEC).window_levels_dbfs[0]


SLOW_MOVEMENTS = {
    "offset of 16 steps of 16 bits": lambda t: np.full(t.size, 0.0005),
    "offset": lambda t: np.full(t.size, 0.05),
    "negative offset": lambda t: np.full(t.size, -0.4),
    "drift": lambda t: 0.02 + 0.03 * t,
    "decay": lambda t: 0.5 * np.exp(-t / 0.2),
    "quick decay": lambda t: -0.3 * np.exp(-t / 0.07),
    "slow decay": lambda t: 0.9 * np.exp(-t / 3.0),
    "2 Hz": lambda t: 0.3 * np.cos(2 * np.pi * 2.0 * t),
    "7 Hz": lambda t: 0.1 * np.sin(2 * np.pi * 7.0 * t + 1.0),
    "10 Hz": lambda t: 0.05 * np.sin(2 * np.pi * 10.0 * t + 2.0),
}
"""What microphones add below the lowest band, as a function of the time in seconds."""


@pytest.mark.parametrize("movement", SLOW_MOVEMENTS.values(), ids=SLOW_MOVEMENTS)
@pytest.mark.parametrize("sample_rate_hz", [8000, 16000, 44100, 48000])
def test_A27_a_silent_room_is_as_silent_with_what_no_band_hears(movement, sample_rate_hz) -> None:
    spec = FeatureSpec(sample_rate_hz=sample_rate_hz)
    room = np.random.default_rng(2).normal(0.0, 10.0 ** (-85 / 20), 4 * sample_rate_hz + 99)
    times_s = np.arange(room.size) / sample_rate_hz
    quiet = extract(room.astype(np.float32), spec)
    moved = extract((room + movement(times_s)).astype(np.float32), spec)
    assert moved.levels_dbfs == pytest.approx(quiet.levels_dbfs, abs=1.5)
    assert moved.window_levels_dbfs == pytest.approx(quiet.window_levels_dbfs, abs=1.5)


@pytest.mark.parametrize("offset", [0.0005, 0.05, -0.3])
def test_an_offset_changes_neither_vectors_nor_levels(offset) -> None:
    spec = FeatureSpec(sample_rate_hz=16000)
    sound = np.random.default_rng(3).normal(0.0, 0.01, 30_000) * np.sin(np.arange(30_000) / 2e3)
    plain, moved = (extract((sound + added).astype(np.float32), spec, has_cepstra=True) for added in (0.0, offset))
    assert moved.levels_dbfs == pytest.approx(plain.levels_dbfs, abs=0.01)
    np.testing.assert_allclose(moved.vectors, plain.vectors, atol=2e-3)
    np.testing.assert_allclose(moved.cepstra, plain.cepstra, atol=2e-3)


def test_an_offset_alone_is_digital_silence_from_the_first_hop_to_the_last() -> None:
    offset, silence = (extract(np.full(9999, value, dtype=np.float32), SPEC) for value in (0.25, 0.0))
    assert offset.vectors.tobytes() == silence.vectors.tobytes()
    assert offset.levels_dbfs.tobytes() == silence.levels_dbfs.tobytes()


def test_A27_after_a_loss_another_offset_is_no_click() -> None:
    stream = FeatureStream(SPEC)
    stream.push(np.full(3 * SPEC.hop_samples, 0.3, dtype=np.float32))
    stream.forget()
    frames = stream.push(np.full(3 * SPEC.hop_samples, -0.2, dtype=np.float32))
    assert [frame.level_dbfs for frame in frames] == [SILENCE_DBFS] * 3


def test_reset_starts_anew() -> None:
    stream = FeatureStream(SPEC)
    first = stream.push(SAMPLES)
    stream.reset()
    assert signature(stream.push(SAMPLES)) == signature(first)
