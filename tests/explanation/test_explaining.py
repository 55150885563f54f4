"""Explanations equal the records of a run, number by number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamgmm.errors import ConfigError, DataError, UsageError
from streamgmm.explanation.explaining import explain
from streamgmm.explanation.result import by_kind_and_band
from streamgmm.features.window import window_layout
from streamgmm.pipeline import Pipeline
from streamgmm.records import End, Start, Window
from streamgmm.settings.config import Config, ModelSection
from streamgmm.settings.decision import DecisionSection, LabelSection
from tests.explanation.explanation_rig import CONFIG, DURATION_S, FLOOR, SILENT_S, in_blocks, noise, random_model
from tests.model.model_rig import SPEC

HOP_S = SPEC.hop_samples / SPEC.sample_rate_hz
COVARIANCE_TYPES = ["diag", "full"]
AT_S = 2.7


def run(model, config=CONFIG):
    pipeline = Pipeline(model, config)
    return pipeline.push(noise()) + pipeline.flush()


def explained(model, config=CONFIG, at_s=AT_S, against=None, samples=None):
    return explain(in_blocks(noise() if samples is None else samples), model, config, at_s, against).explanation


def open_at(records, t):
    is_open = {}
    for record in records:
        if isinstance(record, Start | End) and record.t <= t:
            is_open[record.label] = isinstance(record, Start)
    return {label for label, yes in is_open.items() if yes}


@pytest.mark.parametrize("has_cepstra", [False, True])
def test_the_explanation_of_every_hop_equals_the_records_of_a_run(has_cepstra) -> None:
    model = random_model(has_cepstra=has_cepstra)
    records = run(model)
    for window in [record for record in records if isinstance(record, Window)][::8]:
        found = explained(model, at_s=window.t)
        assert (found.t, found.label, found.reject) == (window.t, window.label, window.reject)
        assert found.level_dbfs == pytest.approx(window.level_dbfs, abs=0.051)
        smoothed = {label: stand.smoothed_posterior or 0.0 for label, stand in found.labels.items()}
        assert smoothed == pytest.approx(window.scores, abs=5.1e-5)
        assert list(smoothed.values()) == sorted(smoothed.values(), reverse=True)
        if window.llr is not None:
            assert found.labels[found.best].llr == pytest.approx(window.llr, abs=5.1e-5)
        open_labels = {label for label, stand in found.labels.items() if stand.event_start_t is not None}
        assert open_labels == open_at(records, window.t)


@pytest.mark.parametrize("has_cepstra", [False, True])
def test_the_noise_gives_events_and_rejections(has_cepstra) -> None:
    """Ensure that the test above compares something."""
    records = run(random_model(has_cepstra=has_cepstra))
    assert {record.reject for record in records if isinstance(record, Window)} >= {None, "silence", "unknown"}
    assert sum(isinstance(record, Start) for record in records) > 1


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("has_cepstra", [False, True])
@pytest.mark.parametrize("against", [None, "background"])
def test_all_parts_together_are_the_ratio(covariance_type, has_cepstra, against) -> None:
    found = explained(random_model(has_cepstra=has_cepstra, covariance_type=covariance_type), against=against)
    comparison = found.comparison
    parts = [part.nats for part in comparison.parts]
    frames = comparison.frames or 0.0
    assert (comparison.frames is not None) == has_cepstra
    assert comparison.baseline + sum(parts) + frames + comparison.rest == pytest.approx(comparison.llr, abs=1e-9)
    assert abs(comparison.rest) < 1e-5
    llrs = {label: stand.llr for label, stand in found.labels.items()} | {"background": 0.0}
    assert comparison.llr == pytest.approx(llrs[comparison.label] - llrs[comparison.against])


def test_the_log_odds_are_those_of_the_posteriors_of_the_window() -> None:
    config = Config(decision=CONFIG.decision, model=ModelSection(priors={"dog": 3.0, "glass": 2.0, "owl": 0.2}))
    found = explained(random_model(), config)
    one, other = (found.labels[label].posterior for label in (found.comparison.label, found.comparison.against))
    assert found.comparison.log_odds == pytest.approx(np.log(one / other))
    assert found.comparison.log_prior_ratio != 0.0


def test_without_smoothing_both_posteriors_are_one() -> None:
    config = Config(decision=DecisionSection(smoothing="none", min_llr=-1e6))
    for stand in explained(random_model(), config).labels.values():
        assert stand.posterior == pytest.approx(stand.smoothed_posterior)


def test_the_other_label_is_the_best_of_the_window_beside_the_best() -> None:
    for at_s in np.arange(0.5, 4.0, 0.5):
        found = explained(random_model(), at_s=at_s)
        others = {label: stand.posterior for label, stand in found.labels.items() if label != found.best}
        assert found.comparison.against == max(others, key=others.__getitem__)


def test_gates_up_to_the_one_that_rejects() -> None:
    model = random_model()
    usual = explained(model)
    assert [gate.is_passed for gate in usual.gates] == [True, True, True, usual.reject is None]
    assert usual.gates[3].limit == FLOOR
    llr = usual.labels[usual.best].llr
    gates = explained(model, Config(decision=DecisionSection(min_llr=llr + 1.0))).gates
    assert [gate.is_passed for gate in gates] == [True, True, False, None]
    assert (gates[2].value, gates[2].limit) == (pytest.approx(llr), llr + 1.0)


def test_thresholds_are_those_of_each_label() -> None:
    config = Config(decision=DecisionSection(onset_threshold=0.8, labels={"owl": LabelSection(onset_threshold=0.9)}))
    stands = explained(random_model(), config).labels
    # That of `dog` is the model's own word.
    assert {label: stand.onset_threshold for label, stand in stands.items()} == {"dog": 0.7, "glass": 0.8, "owl": 0.9}


def test_in_silence_nothing_is_scored() -> None:
    found = explained(random_model(), at_s=SILENT_S[1] - HOP_S)
    assert (found.label, found.best, found.comparison, found.reject) == ("silence", None, None, "silence")
    assert [gate.is_passed for gate in found.gates] == [False, None, None, None]
    assert found.gates[0].value == found.level_dbfs < found.gates[0].limit
    assert all(stand.posterior is stand.smoothed_posterior is stand.llr is None for stand in found.labels.values())


def test_A17_a_window_with_nan_is_not_scored() -> None:
    samples = noise()
    samples[round(AT_S * SPEC.sample_rate_hz) - 5] = np.nan
    found = explained(random_model(), samples=samples)
    assert (found.label, found.best, found.comparison, found.reject) == ("unknown", None, None, "nonfinite")
    assert [gate.is_passed for gate in found.gates] == [True, False, None, None]


def test_the_only_label_is_compared_with_the_background() -> None:
    assert explained(random_model(("dog",))).comparison.against == "background"


def test_a_background_alone_has_nothing_to_be_compared_with() -> None:
    found = explained(random_model(("background",)))
    assert (found.best, found.comparison) == ("background", None)


@pytest.mark.parametrize("at_s", [0.0, HOP_S / 2, HOP_S])
def test_the_first_hop_is_a_window_that_is_not_whole(at_s) -> None:
    found = explained(random_model(), at_s=at_s)
    assert (found.start_t, found.t) == (0.0, HOP_S)
    assert found.window_share == pytest.approx(SPEC.hop_samples / SPEC.window_samples)


def test_the_moment_lies_in_its_hop() -> None:
    for at_s in np.linspace(0.3, 2.0, 6):
        found = explained(random_model(), at_s=at_s)
        assert found.t - HOP_S < at_s <= found.t


def test_the_end_belongs_to_the_recording_and_what_is_later_does_not() -> None:
    assert explained(random_model(), at_s=DURATION_S).t == DURATION_S
    with pytest.raises(UsageError, match=r"6.1 s is beyond the end \(the recording lasts 6.000 s\)"):
        explained(random_model(), at_s=6.1)


def test_an_empty_recording_is_rejected() -> None:
    with pytest.raises(DataError, match="holds no samples"):
        explained(random_model(), at_s=0.0, samples=np.zeros(0, np.float32))


def test_a_label_to_compare_with_must_be_another_of_the_model() -> None:
    model = random_model()
    with pytest.raises(UsageError, match=r"'glas': the model has no such label \(did you mean glass\?\)"):
        explained(model, against="glas")
    best = explained(model).best
    with pytest.raises(UsageError, match=f"'{best}': it is the best label itself"):
        explained(model, against=best)


def test_settings_of_an_unknown_label_are_rejected() -> None:
    with pytest.raises(ConfigError):
        explained(random_model(), Config(decision=DecisionSection(labels={"cat": LabelSection()})))


def test_little_is_kept_of_a_long_recording() -> None:
    long = np.tile(noise(), 10)
    surroundings = explain(in_blocks(long), random_model(), CONFIG, 50.0).surroundings
    rate_hz = SPEC.sample_rate_hz
    assert len(surroundings.samples) == (5.0 + SPEC.window_samples / rate_hz) * rate_hz
    first = surroundings.first_sample
    np.testing.assert_array_equal(surroundings.samples, long[first : first + len(surroundings.samples)])
    ends = [moment.scores.end_sample for moment in surroundings.moments]
    assert ends == list(range(ends[0], ends[-1] + 1, SPEC.hop_samples))
    assert ends[0] - SPEC.hop_samples <= first < ends[0]
    assert any(moment is surroundings.moment for moment in surroundings.moments)


def test_contributions_are_only_in_the_band_that_decides() -> None:
    """A projection that depends on band 2 only."""
    model = random_model()
    places = [place for block in window_layout(SPEC) for place in block.bands]
    is_looked_at = np.array([place == (2,) for place in places])
    projection = model.classifier.projection
    projection = replace(projection, matrix=projection.matrix * is_looked_at[:, np.newaxis])
    found = explained(replace(model, classifier=replace(model.classifier, projection=projection)))
    kinds, table = by_kind_and_band(found.comparison.parts, SPEC.n_bands)
    assert np.flatnonzero(table.any(axis=0)).tolist() == [2]
    speaking = {kind for kind, row in zip(kinds, table, strict=True) if row.any()}
    assert speaking == {"spectral shape", "modulation energies", "rising energy", "kurtosis", "tonality"}
