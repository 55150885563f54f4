from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.decision.anomaly import (
    OFFSET_FACTOR,
    SMOOTHING_S,
    AnomalyJudge,
    anomaly_density,
    anomaly_settings,
    check_anomaly_label,
    event_labels,
    without_anomalies,
)
from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.decider import Decider, Timing
from streamgmm.decision.events import LabelRule
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.rules import make_rules
from streamgmm.errors import ConfigError
from streamgmm.features.spec import FeatureSpec
from streamgmm.model.density import AlarmTail
from streamgmm.records import End, Start
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection, LabelSection
from tests.decision.decider_streams import BARK, LABELS, NOTHING, make_hop
from tests.model.density_rig import make_density
from tests.model.model_rig import make_model
from tests.narrowing import of_type, one, only

SPEC = FeatureSpec(sample_rate_hz=1000, window_s=1.0, hop_s=0.1, min_hz=30.0)
HOP = SPEC.hop_samples
N_WINDOW_HOPS = SPEC.window_samples // HOP
TAIL = AlarmTail(level=1.0, per_hour=100.0, scale=0.1)
SECTION = DecisionSection(
    smoothing="none", onset_threshold=0.6, min_duration_s=0.0, hangover_s=0.0, max_false_anomalies_per_hour=5.0
)
USUAL, STRANGE = 0.5, 3.0


def make_judge(section: DecisionSection = SECTION) -> AnomalyJudge:
    rules = make_rules(LABELS, section, {}, SPEC.sample_rate_hz)
    return AnomalyJudge(BayesRule(LABELS, np.zeros(len(LABELS)), 1.0), section, SPEC, TAIL, rules)


def make_decider(section: DecisionSection = SECTION) -> Decider:
    overrides = {"anomaly": anomaly_settings(section, SPEC)}
    rules = make_rules((*LABELS, "anomaly"), section, overrides, SPEC.sample_rate_hz)
    timing = Timing(SPEC.sample_rate_hz, HOP, SPEC.window_samples, HOP)
    return Decider(make_judge(section), rules, timing, run_id="run", windows=False)


def hop(i: int, strangeness: float, log_likelihoods: tuple[float, ...] = NOTHING, **changes: float) -> HopScores:
    plain: HopScores = make_hop(i, log_likelihoods, level_dbfs=changes.pop("level_dbfs", -30.0), levels_db=[-30.0])
    return plain._replace(end_sample=(i + 1) * HOP, strangeness=strangeness, **changes)  # type: ignore[arg-type]


def scores_of(judge: AnomalyJudge, *hops: HopScores) -> list[float]:
    return [float(judge.update(one).scores[-1]) for one in hops]


@given(levels=st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=30))
def test_the_score_is_that_of_the_exponential_mean(levels: list[float]) -> None:
    gain, mean, expected = 1.0 - math.exp(-HOP / SPEC.sample_rate_hz / SMOOTHING_S), levels[0], []
    for level in levels:
        mean += gain * (level - mean)
        expected.append(1.0 / (1.0 + TAIL.per_hour * math.exp(-(mean - TAIL.level) / TAIL.scale)))
    found = scores_of(make_judge(), *(hop(i, level) for i, level in enumerate(levels)))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_the_other_labels_are_judged_as_without_it() -> None:
    plain = replace_budget(0.0)
    from_plain = make_judge(plain)
    for i, likelihoods in enumerate([BARK, NOTHING, BARK]):
        judgement = make_judge().update(hop(i, STRANGE, likelihoods))
        assert judgement.verdict == from_plain.update(hop(i, USUAL, likelihoods)).verdict
        assert len(judgement.scores) == len(judgement.posteriors) == len(LABELS) + 1


def replace_budget(budget: float) -> DecisionSection:
    return DecisionSection(smoothing="none", onset_threshold=0.6, max_false_anomalies_per_hour=budget)


def test_silence_has_no_score_and_begins_the_mean_again() -> None:
    judge = make_judge()
    after = [hop(i, USUAL) for i in range(2, 2 + N_WINDOW_HOPS)]
    found = scores_of(judge, hop(0, STRANGE), hop(1, STRANGE, level_dbfs=-90.0), *after)
    # A window with the silence in it has no score either.
    assert found[1:] == [0.0] * N_WINDOW_HOPS + [TAIL.score(USUAL)]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_is_not_finite_has_no_score_and_leaves_the_mean(broken: float) -> None:
    judge, whole = make_judge(), make_judge()
    found = scores_of(judge, hop(0, STRANGE), hop(1, broken), hop(2, USUAL))
    assert found[1] == 0.0
    assert found[2] == scores_of(whole, hop(0, STRANGE), hop(1, USUAL))[1]


def test_a_window_that_is_not_whole_is_never_strange() -> None:
    assert scores_of(make_judge(), hop(0, STRANGE, window_share=0.9)) == [0.0]


def test_a_reset_forgets_the_mean_and_the_claims() -> None:
    judge = make_judge()
    scores_of(judge, hop(0, STRANGE, BARK))
    judge.reset()
    assert scores_of(judge, hop(1, USUAL)) == [TAIL.score(USUAL)]


def test_a_class_claims_its_sound_until_it_has_left_the_window() -> None:
    judge = make_judge()
    likelihoods = [NOTHING, BARK, *[NOTHING] * (N_WINDOW_HOPS + 2)]
    found = scores_of(judge, *(hop(i, STRANGE, own) for i, own in enumerate(likelihoods)))
    assert found[0] > 0.9
    assert found[1 : 2 + N_WINDOW_HOPS] == [0.0] * (1 + N_WINDOW_HOPS)
    assert found[2 + N_WINDOW_HOPS] > 0.9


def test_the_background_claims_nothing_though_it_wins() -> None:
    assert scores_of(make_judge(), hop(0, STRANGE, (0.0, 0.0, 50.0)))[0] > 0.9


def test_a_class_below_its_offset_threshold_claims_nothing() -> None:
    # The posterior of the bark is 0.27, below the offset threshold of 0.4.
    assert scores_of(make_judge(), hop(0, STRANGE, (0.5, 0.5, 1.0)))[0] > 0.9


def test_a_class_between_its_thresholds_claims_its_sound_already() -> None:
    # The posterior is 0.58: below the onset threshold, which a clear sound reaches some hops later.
    assert scores_of(make_judge(), hop(0, STRANGE, (1.0, 0.0, 0.0))) == [0.0]


def test_a_claim_lasts_while_the_score_is_above_the_offset_threshold() -> None:
    judge = make_judge()
    hops = [hop(0, STRANGE, BARK), *(hop(i, STRANGE, (1.0, 0.0, 0.0)) for i in range(1, 3 * N_WINDOW_HOPS))]
    assert scores_of(judge, *hops) == [0.0] * len(hops)


def test_a_strange_sound_makes_an_event_with_the_fields_of_any() -> None:
    decider = make_decider()
    records = [record for i in range(30) for record in decider.update(hop(i, STRANGE if 5 <= i < 20 else USUAL))]
    start, end = one(records, Start), one(records, End)
    assert (start.label, end.label, start.id) == ("anomaly", "anomaly", end.id)
    assert start.threshold == pytest.approx(1.0 / 6.0, abs=1e-6)
    assert start.score > 0.9
    assert math.isnan(start.llr)
    assert end.reason == "offset"


def test_a_sound_that_is_strange_for_too_short_makes_none() -> None:
    decider = make_decider()
    records = [record for i in range(30) for record in decider.update(hop(i, STRANGE if 5 <= i < 7 else USUAL))]
    assert only(records, Start) == []


def test_a_class_wins_over_the_anomaly_that_it_would_be() -> None:
    decider = make_decider()
    hops = [hop(i, STRANGE if 5 <= i < 25 else USUAL, BARK if 9 <= i < 20 else NOTHING) for i in range(50)]
    records = [record for own in hops for record in decider.update(own)]
    assert [start.label for start in only(records, Start)] == ["bark"]


def test_an_anomaly_gives_way_to_a_class() -> None:
    decider = make_decider()
    hops = [hop(i, STRANGE if i >= 5 else USUAL, BARK if i >= 25 else NOTHING) for i in range(50)]
    records = [record for own in hops for record in decider.update(own)]
    assert [start.label for start in only(records, Start)] == ["anomaly", "bark"]
    assert one(records, End).label == "anomaly"


def test_the_budget_gives_both_thresholds() -> None:
    found = anomaly_settings(SECTION, SPEC)
    assert found.onset_threshold == pytest.approx(1.0 / (1.0 + 5.0), abs=1e-6)
    assert found.offset_threshold == pytest.approx(1.0 / (1.0 + OFFSET_FACTOR * 5.0), abs=1e-6)
    assert of_type(found.min_duration_s, float) >= 0.7


def test_a_longer_minimum_of_the_settings_holds_for_anomalies_too() -> None:
    section = DecisionSection(min_duration_s=3.0, max_false_anomalies_per_hour=1.0)
    assert anomaly_settings(section, SPEC).min_duration_s == 3.0


def test_settings_of_the_label_go_before_the_budget() -> None:
    section = DecisionSection(max_false_anomalies_per_hour=5.0, labels={"anomaly": LabelSection(min_duration_s=2.0)})
    overrides = {"anomaly": anomaly_settings(section, SPEC)}
    rule: LabelRule = make_rules(("bark", "anomaly"), section, overrides, 1000)[1]
    assert rule.min_duration_samples == 2000
    assert rule.onset_threshold == pytest.approx(1.0 / 6.0, abs=1e-6)


def test_its_settings_without_a_budget_are_those_of_no_label() -> None:
    section = DecisionSection(labels={"anomaly": LabelSection(min_duration_s=2.0)})
    with pytest.raises(ConfigError, match="no such label"):
        make_rules(("bark",), section, {}, 1000)


def test_labels_that_are_reported() -> None:
    model = make_model()
    assert event_labels(model, DecisionSection()) == ("dog", "glass")
    assert event_labels(model, SECTION) == ("dog", "glass", "anomaly")


def test_without_anomalies_their_settings_are_gone() -> None:
    section = DecisionSection(max_false_anomalies_per_hour=5.0, labels={"anomaly": LabelSection(min_duration_s=2.0)})
    assert without_anomalies(Config(decision=section)) == Config()


def test_a_model_without_a_background_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"model 'yard' was not taught a background.*`background` and train again"):
        anomaly_density(make_model(), SECTION)
    assert anomaly_density(make_model(), DecisionSection()) is None


def test_the_density_is_not_used_unless_asked_for() -> None:
    model = replace(make_model(), density=make_density())
    assert anomaly_density(model, DecisionSection()) is None
    assert anomaly_density(model, SECTION) is model.density


@pytest.mark.parametrize("label", ["anomaly", "Anomaly", "ANOMALY"])
def test_a_class_of_that_name_is_refused_only_if_anomalies_are_on(label: str) -> None:
    check_anomaly_label([label], DecisionSection())
    with pytest.raises(ConfigError, match="rename it and train again"):
        check_anomaly_label(["dog", label], SECTION)
