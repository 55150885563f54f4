from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings

from streamgmm.settings.config import Config
from streamgmm.settings.loading import load_config
from streamgmm.settings.text import annotated_yaml, plain_yaml
from tests.settings.config_strategies import configs

PROJECT = Path(__file__).parents[2]


def test_config_yaml_of_the_project_is_what_the_code_says() -> None:
    path = PROJECT / "config.yaml"
    expected = annotated_yaml(Config())
    if os.environ.get("STREAMGMM_REGENERATE"):
        path.write_text(expected, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == expected, "run once with STREAMGMM_REGENERATE=1"


def test_config_yaml_sets_every_setting_to_its_default() -> None:
    loaded = load_config(PROJECT / "config.yaml")
    assert loaded.config == Config()
    n_empty = 2  # model.priors and decision.labels; `sources` has no settings at all
    n_lists = 1  # `schedule` is a setting itself, and has none here
    n_settings = sum(map(len, yaml.safe_load(annotated_yaml(Config())).values())) - n_empty + n_lists
    assert len(loaded.explicit_keys) == n_settings


def test_lines_fit_a_page() -> None:
    assert max(map(len, annotated_yaml(Config()).splitlines())) <= 100


def test_each_setting_stands_between_its_reason_and_its_range() -> None:
    lines = annotated_yaml(Config()).splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith("  ring_s:"))
    assert lines[index - 1] == "  # audio kept while the worker is busy; hops are skipped once half of it waits"
    assert lines[index] == "  ring_s: 30                      # a number from 2 to 600 s"


@pytest.mark.parametrize("write", [annotated_yaml, plain_yaml])
@settings(deadline=None)
@given(config=configs())
def test_what_is_written_is_read_back_equal(write: Callable[[Config], str], config: Config) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(write(config).encode())
        assert load_config(path).config == config
