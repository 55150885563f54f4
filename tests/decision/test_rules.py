"""The sources of the thresholds and times of a label, in order of precedence."""

from __future__ import annotations

import pytest

from streamgmm.decision.events import LabelRule
from streamgmm.decision.rules import make_rules
from streamgmm.errors import ConfigError
from streamgmm.settings.decision import DecisionSection, LabelSection

RATE_HZ = 16000
COMMON = DecisionSection(
    onset_threshold=0.7,
    offset_threshold=0.5,
    min_duration_s=0.1,
    hangover_s=0.2,
    refractory_s=0.3,
    max_duration_s=60.0,
)


def rule_of(section=COMMON, overrides=None, label="bark") -> LabelRule:
    rules = make_rules(["bark", "door"], section, overrides or {}, RATE_HZ)
    return dict(zip(["bark", "door"], rules, strict=True))[label]


def with_labels(**labels) -> DecisionSection:
    return DecisionSection(onset_threshold=0.7, offset_threshold=0.5, labels=labels)


def test_common_settings_are_those_of_every_label():
    expected = LabelRule(0.7, 0.5, 1600, 3200, 4800, 960_000)
    assert make_rules(["bark", "door"], COMMON, {}, RATE_HZ) == [expected, expected]


def test_model_goes_before_the_common_settings():
    overrides = {"bark": LabelSection(onset_threshold=0.9, hangover_s=1.0)}
    assert rule_of(overrides=overrides) == LabelRule(0.9, 0.5, 1600, 16000, 4800, 960_000)
    assert rule_of(overrides=overrides, label="door").onset_threshold == 0.7


def test_configuration_of_a_label_goes_before_the_model():
    section = with_labels(bark=LabelSection(onset_threshold=0.8))
    overrides = {"bark": LabelSection(onset_threshold=0.9, offset_threshold=0.6)}
    assert rule_of(section, overrides)[:2] == (0.8, 0.6)


def test_zero_is_a_setting_and_not_a_missing_one():
    section = with_labels(bark=LabelSection(offset_threshold=0.0, hangover_s=0.0, min_duration_s=0.0))
    rule = rule_of(section)
    assert (rule.offset_threshold, rule.hangover_samples, rule.min_duration_samples) == (0.0, 0, 0)


def test_low_onset_threshold_takes_the_offset_threshold_of_elsewhere_along():
    assert rule_of(overrides={"bark": LabelSection(onset_threshold=0.3)})[:2] == (0.3, 0.3)
    section = with_labels(bark=LabelSection(onset_threshold=0.6))
    assert rule_of(section, {"bark": LabelSection(offset_threshold=0.8)})[:2] == (0.6, 0.6)


def test_settings_of_labels_that_the_model_may_name_but_lacks_are_ignored():
    assert rule_of(overrides={"cat": LabelSection(onset_threshold=0.9)}).onset_threshold == 0.7


def test_C3_every_unknown_label_is_told_at_once():
    section = with_labels(brak=LabelSection(onset_threshold=0.9), xyz=LabelSection())
    with pytest.raises(ConfigError) as caught:
        rule_of(section)
    assert caught.value.problems == [
        "decision.labels.brak: the model has no such label (did you mean bark?)",
        "decision.labels.xyz: the model has no such label (it has bark, door)",
    ]
