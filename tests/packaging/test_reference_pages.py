"""The pages of records and settings are those of the declarations; STREAMGMM_REGENERATE=1 renews them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamgmm.record_schema import records_schema
from streamgmm.settings.config import Config
from streamgmm.settings.schema import fields_of, is_section
from tests.packaging.reference_pages import WRITTEN, records_page, settings_page


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_the_page_is_what_the_declarations_say(path: Path) -> None:
    text = WRITTEN[path]()
    if os.environ.get("STREAMGMM_REGENERATE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "if this is meant, run once with STREAMGMM_REGENERATE=1"


def test_every_setting_has_a_row() -> None:
    page = settings_page()
    for name, annotation in fields_of(Config).items():
        keys = fields_of(type(getattr(Config(), name))) if is_section(annotation) else ()
        assert [key for key in keys or ("",) if f"| `{name}{'.' if key else ''}{key}`" not in page] == []


def test_every_key_of_every_record_has_a_row_in_its_part() -> None:
    page = records_page()
    parts = {part.partition("\n")[0]: part for part in page.split("\n## ")}
    for name, definition in records_schema()["$defs"].items():
        own = parts[definition["properties"].get("type", {"enum": [name]})["enum"][0]] + parts["Every record"]
        assert [key for key in definition["properties"] if f"| `{key}` |" not in own] == [], name
