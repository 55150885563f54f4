from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from streamgmm.settings.config import Config, NamedSourceSection
from streamgmm.settings.decision import DecisionSection, LabelSection
from streamgmm.settings.features import FeaturesSection
from streamgmm.settings.schema import describe, fields_of, is_section, reason
from tests.settings.config_strategies import configs

SECTIONS = {name: kind for name, kind in fields_of(Config).items() if is_section(kind)} | {"of one": NamedSourceSection}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_says_what_it_is_for_in_a_sentence(section: str) -> None:
    for name, annotation in fields_of(SECTIONS[section]).items():
        assert 10 < len(reason(annotation)) < 180, name


@pytest.mark.parametrize("section", SECTIONS)
def test_C4_every_number_has_a_range(section: str) -> None:
    for name, annotation in fields_of(SECTIONS[section]).items():
        wanted = describe(annotation)
        if "number" in wanted:
            assert "from" in wanted or ("above" in wanted and "up to" in wanted), f"{name}: {wanted}"


@pytest.mark.parametrize("section", [*SECTIONS, "labels"])
def test_a_unit_in_the_name_is_the_unit_of_the_setting(section: str) -> None:
    units = {"_s": "s", "_hz": "Hz", "_dbfs": "dBFS"}
    for name, annotation in fields_of(SECTIONS.get(section, LabelSection)).items():
        for suffix, unit in units.items():
            if name.endswith(suffix):
                assert f" {unit}" in describe(annotation), name


def test_a_label_may_decide_all_that_the_decision_section_decides_for_one_label() -> None:
    assert fields_of(LabelSection).keys() < fields_of(DecisionSection).keys()


def test_sections_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Config().source.uri = "mic:2"  # type: ignore[misc]


def test_an_event_cannot_end_above_where_it_starts() -> None:
    with pytest.raises(ValueError, match=r"offset_threshold \(0.8\) must not exceed onset_threshold \(0.7\)"):
        DecisionSection(offset_threshold=0.8)
    with pytest.raises(ValueError, match="offset_threshold of dog"):
        DecisionSection(labels={"dog": LabelSection(onset_threshold=0.3)})


def test_hops_leave_no_gap_between_windows() -> None:
    with pytest.raises(ValueError, match="hop_s"):
        FeaturesSection(window_s=0.1, hop_s=0.2)


@given(configs())
def test_msgspec_agrees_with_every_drawn_config(config: Config) -> None:
    assert msgspec.convert(msgspec.to_builtins(config), Config) == config
