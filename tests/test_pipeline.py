"""The same samples give the same records to the last bit, however they are cut; nothing is lost on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm import units
from streamgmm.analyser import Analyser
from streamgmm.decision.clip import vote_weight
from streamgmm.listening.clips import decide_clip
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.records import End, Gap, Record, Start, Window
from streamgmm.settings.config import Config
from tests.bells_rig import CONFIG, LABELS, SPEC, lines, make_bells, make_samples


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return make_samples()


@pytest.fixture(scope="module", params=[False, True], ids=["windows", "frames"])
def model(samples: np.ndarray, request: pytest.FixtureRequest) -> Model:
    return make_bells(samples, has_frames=request.param)


def whole(model: Model, samples: np.ndarray) -> list[Record]:
    pipeline = Pipeline(model, CONFIG, "run")
    return pipeline.push(samples) + pipeline.flush()


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_records_are_bit_identical_for_any_block_sizes(model: Model, samples: np.ndarray, data: st.DataObject) -> None:
    largest = data.draw(st.sampled_from([300, 5000, 40000]))
    pipeline, records, start = Pipeline(model, CONFIG, "run"), [], 0
    while start < len(samples):
        n = data.draw(st.integers(1 if largest > 300 else 100, largest))
        records += pipeline.push(samples[start : start + n])
        start += n
    assert lines(records + pipeline.flush()) == lines(whole(model, samples))


def test_one_sample_at_a_time_is_no_exception(model: Model, samples: np.ndarray) -> None:
    pipeline = Pipeline(model, CONFIG, "run")
    records = [record for i in range(5000) for record in pipeline.push(samples[i : i + 1])]
    assert lines(records + pipeline.flush()) == lines(whole(model, samples[:5000]))


def test_the_scene_makes_events_of_every_kind(model: Model, samples: np.ndarray) -> None:
    records = whole(model, samples)
    assert {record.label for record in records if isinstance(record, Start)} == set(LABELS)
    starts = [record.id for record in records if isinstance(record, Start)]
    ends = [record for record in records if isinstance(record, End)]
    assert sorted(starts) == sorted(end.id for end in ends)
    for end in ends:
        assert 0.0 <= end.start_t <= end.end_t <= len(samples) / SPEC.sample_rate_hz
        assert end.duration_s == pytest.approx(end.end_t - end.start_t, abs=2e-6)


@pytest.mark.parametrize("offset", [0.0005, 0.05, -0.3])
def test_A27_the_records_with_an_offset_are_those_without(model: Model, samples: np.ndarray, offset: float) -> None:
    plain, moved = whole(model, samples), whole(model, (samples + offset).astype(np.float32))
    assert [type(record) for record in moved] == [type(record) for record in plain]
    for record, expected in zip(moved, plain, strict=True):
        assert record.t == expected.t
        assert getattr(record, "label", None) == getattr(expected, "label", None)
        assert getattr(record, "start_t", None) == getattr(expected, "start_t", None)
        if isinstance(record, Window) and isinstance(expected, Window):
            assert record.score == pytest.approx(expected.score, abs=2e-3)
            assert record.level_dbfs == pytest.approx(expected.level_dbfs, abs=0.2)


def test_a_second_run_and_a_reset_give_the_same(model: Model, samples: np.ndarray) -> None:
    pipeline = Pipeline(model, CONFIG, "run")
    first = pipeline.push(samples) + pipeline.flush()
    pipeline.reset()
    again = pipeline.push(samples) + pipeline.flush()
    # Ids go on, so that no two events of a run share one.
    assert [type(record) for record in first] == [type(record) for record in again]
    assert [record.t for record in first] == [record.t for record in again]


def test_the_halves_of_a_push_are_the_push(model: Model, samples: np.ndarray) -> None:
    whole, halves = Pipeline(model, CONFIG), Pipeline(model, CONFIG)
    records = []
    for block in np.array_split(samples, 7):
        observations = halves.analyser.observe(block)
        assert all((seen.cepstral_evidence is None) == (model.classifier.cepstra is None) for seen in observations)
        records += halves.decide([halves.analyser.score(seen) for seen in observations])
    records += halves.decide(map(halves.analyser.score, halves.analyser.observe_rest()))
    assert lines(records) == lines(whole.push(samples) + whole.decide(whole.analyser.flush()))


def test_every_sample_is_analysed_or_pending(model: Model, samples: np.ndarray) -> None:
    analyser = Analyser(model)
    for n in (1, 999, 1024, 1025, 5000):
        analyser.push(samples[:n])
    pushed = 1 + 999 + 1024 + 1025 + 5000
    assert analyser.analysed_samples + analyser.pending_samples == pushed
    analyser.flush()
    assert analyser.analysed_samples == pushed
    assert analyser.pending_samples == 0


def test_a_window_record_comes_with_every_hop(model: Model, samples: np.ndarray) -> None:
    windows = [record for record in whole(model, samples) if isinstance(record, Window)]
    assert len(windows) == -(-len(samples) // SPEC.hop_samples)
    assert windows[-1].t == units.samples_to_seconds(len(samples), SPEC.sample_rate_hz)


def test_a_window_record_has_the_level_of_each_band(model: Model, samples: np.ndarray) -> None:
    windows = [record for record in whole(model, np.append(samples, np.zeros(30_000))) if isinstance(record, Window)]
    assert {len(record.spectrum_db) for record in windows} == {SPEC.n_bands}
    assert max(map(max, (record.spectrum_db for record in windows))) <= 0
    assert max(windows[-1].spectrum_db) < -100  # digital silence
    alone = Pipeline(model, Config(decision=CONFIG.decision), "run", glimpses=True).push(samples[:30_000])
    assert all(record.spectrum_db for record in alone if isinstance(record, Window))


def test_a_gap_moves_time_on_by_what_was_lost(model: Model, samples: np.ndarray) -> None:
    pipeline = Pipeline(model, CONFIG, "run")
    pipeline.push(samples[:10000])
    records = pipeline.gap(4000, "device_lost")
    gap = next(record for record in records if isinstance(record, Gap))
    assert gap.lost_samples == 4000
    assert gap.t == 14000 / SPEC.sample_rate_hz
    assert pipeline.analyser.analysed_samples == 10000
    after = [record for record in pipeline.push(samples[:2048]) if isinstance(record, Window)]
    assert after[0].t == (14000 + SPEC.hop_samples) / SPEC.sample_rate_hz


def test_what_was_heard_before_a_gap_is_forgotten(model: Model, samples: np.ndarray) -> None:
    after_gap, fresh = Analyser(model), Analyser(model)
    after_gap.push(samples[:8192])
    after_gap.flush()
    after_gap.skip(100)
    for one, other in zip(after_gap.push(samples[:6000]), fresh.push(samples[:6000]), strict=True):
        np.testing.assert_array_equal(one.log_likelihoods, other.log_likelihoods)


def test_a_gap_of_unknown_length_is_a_gap(model: Model, samples: np.ndarray) -> None:
    pipeline = Pipeline(model, CONFIG, "run")
    pipeline.push(samples[:9000])
    assert any(isinstance(record, Gap) for record in pipeline.gap(0, "input_overflow"))


def test_A17_a_window_with_nan_is_unknown_and_the_stream_goes_on(model: Model, samples: np.ndarray) -> None:
    broken = samples.copy()
    broken[20000] = np.nan
    broken[30000] = 1e30
    windows = [record for record in whole(model, broken) if isinstance(record, Window)]
    refused = [window for window in windows if window.reject == "nonfinite"]
    assert refused
    assert {window.label for window in refused} == {"unknown"}
    assert refused[0].t <= 20000 / SPEC.sample_rate_hz + 2 * SPEC.hop_s
    assert windows[-1].reject != "nonfinite"
    assert b"NaN" not in lines(whole(model, broken))


def test_digital_silence_is_silence(model: Model) -> None:
    windows = [record for record in whole(model, np.zeros(20000, np.float32)) if isinstance(record, Window)]
    assert {window.label for window in windows} == {"silence"}


def test_a_clip_is_decided_by_the_frames_of_the_stream(model: Model, samples: np.ndarray) -> None:
    blocks = [samples[start : start + 700] for start in range(0, len(samples), 700)]
    assert decide_clip(blocks, model, CONFIG) == decide_clip([samples], model, CONFIG)
    decision = decide_clip([samples], model, CONFIG)
    analyser = Analyser(model)
    frames = [*analyser.push(samples), *analyser.flush()]
    voters = [frame for frame in frames if frame.level_dbfs >= -75.0]
    posteriors = [model.classifier.posterior(frame.log_likelihoods) for frame in voters]
    expected = np.average(
        posteriors, axis=0, weights=[vote_weight(frame.window_share, frame.window_level_dbfs) for frame in voters]
    )
    np.testing.assert_allclose(list(decision.scores.values()), expected, rtol=1e-12)


def test_a_clip_has_a_scale_and_a_weight_of_frames_of_its_own(model: Model, samples: np.ndarray) -> None:
    clips = model.classifier.clips._replace(likelihood_scale=0.01)
    if model.classifier.cepstra:
        clips = clips._replace(cepstral_weight=0.0)
    other = replace(model, classifier=replace(model.classifier, clips=clips))
    assert lines(whole(other, samples)) == lines(whole(model, samples))
    decision = decide_clip([samples], other, CONFIG)
    assert decision != decide_clip([samples], model, CONFIG)
    assert decision == decide_clip([samples], other.for_clips, CONFIG)


@pytest.mark.parametrize("n_before", [0, 1, 48_000, 48_001, 50_000, 51_111])
def test_D13_another_pipeline_goes_on_at_the_very_sample(model: Model, samples: np.ndarray, n_before: int) -> None:
    before, after = Pipeline(model, CONFIG, "run"), Pipeline(model, CONFIG, "run")
    old = before.push(samples[:n_before]) + before.decider.flush()
    new = after.continue_from(before) + after.push(samples[n_before:]) + after.flush()
    assert after.analyser.analysed_samples == after.analyser.end_sample == len(samples)
    # A begun hop is analysed as a whole, by the new one, which otherwise knows nothing of what was before.
    n_finished = n_before - n_before % SPEC.hop_samples
    fresh = [record for record in whole(model, samples[n_finished:]) if isinstance(record, Window)]
    windows = [record for record in new if isinstance(record, Window)]
    assert [(window.scores, window.llr) for window in windows] == [(window.scores, window.llr) for window in fresh]
    assert [window.t for window in windows] == pytest.approx([window.t + n_finished / 8000 for window in fresh])
    ids = [record.id for record in old + new if isinstance(record, Start)]
    assert len(ids) == len(set(ids))
    assert sorted(record.id for record in old + new if isinstance(record, End)) == sorted(ids)


def test_D13_losses_stay_in_the_time_that_another_pipeline_goes_on_with(model: Model, samples: np.ndarray) -> None:
    before, after = Pipeline(model, CONFIG), Pipeline(model, CONFIG)
    before.push(samples[:5000])
    before.gap(100_000, "device_lost")
    after.continue_from(before)
    after.push(samples[5000:])
    after.flush()
    assert after.analyser.analysed_samples == len(samples)
    assert after.analyser.end_sample == len(samples) + 100_000
