"""The kinds of sinks, and the places that name them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamgmm.cli.parsers import run
from streamgmm.settings.loading import load_config
from streamgmm.settings.output import OutputSection, SinkSection, sections_of_sinks
from streamgmm.settings.schema import fields_of, reason
from streamgmm.sinks.registry import SETTINGS_OF_SOME, SINK_KINDS, find_kind, find_kind_of

MANUAL = Path(__file__).parent.parent.parent / "docs" / "manual.md"


@pytest.mark.parametrize("kind", SINK_KINDS.values(), ids=SINK_KINDS)
def test_every_kind_is_named_where_users_look(kind):
    texts = [reason(fields_of(OutputSection)["sinks"]), run._DESCRIPTION, MANUAL.read_text()]
    assert [kind.prefix in text for text in texts] == [True, True, True]
    assert all(kind.form in text for text in texts[:2])


@pytest.mark.parametrize("kind", SINK_KINDS.values(), ids=SINK_KINDS)
def test_a_kind_accepts_its_own_form(kind):
    assert find_kind(kind.form) is kind
    assert kind.form.startswith(kind.scheme + ":")


def test_settings_of_some_kinds_are_null_unless_given():
    section = SinkSection(uri="stdout:")
    assert {name: getattr(section, name) for name in SETTINGS_OF_SOME} == dict.fromkeys(SETTINGS_OF_SOME)
    common = {"uri", "labels", "records", "sources", "min_score"}
    assert fields_of(SinkSection).keys() == common | SETTINGS_OF_SOME


def test_the_settings_in_the_manual_are_valid(tmp_path):
    blocks = re.findall(r"^```yaml\n(.*?)^```$", MANUAL.read_text(), re.MULTILINE | re.DOTALL)
    configs = []
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.yaml").write_text(block)
        configs.append(load_config(tmp_path / f"{number}.yaml").config)
    kinds = [[find_kind_of(own).scheme for own in sections_of_sinks(config.output)] for config in configs]
    sinks = [["stdout", "https"], ["unix", "file", "exec"], ["stdout", "web"], ["stdout", "mqtt"]]
    assert kinds == [*sinks, ["stdout"], ["stdout"]]
    *_, of_sources, of_schedule = configs
    assert len(of_schedule.schedule) == 2
    assert of_sources.sources.keys() == {"kitchen", "left", "right", "yard", "porch"}
