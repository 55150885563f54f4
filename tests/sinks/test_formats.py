from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from streamgmm.records import Record, Stamper, encode_json
from streamgmm.settings.output import TextFormat
from streamgmm.sinks.formats import make_formatter
from tests.sinks.sink_rig import HELLO, end, start, status

STAMPER = Stamper("mic", datetime(2026, 1, 31, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text_format", "record", "line"),
    [
        ("text", start(1), b"1.500\tmic\tstart\tdoor\t0.7500\n"),
        ("text", end(2), b"3.250\tmic\tend\tdoor\t0.9000\n"),
        ("text", STAMPER.stamp(start(1)), b"2026-01-31T12:00:01.500Z\tmic\tstart\tdoor\t0.7500\n"),
        ("text", STAMPER.stamp(end(2)), b"2026-01-31T12:00:03.250Z\tmic\tend\tdoor\t0.9000\n"),
        ("label", start(1), b"door\n"),
        ("label", end(2), None),
        ("dcase", start(1), None),
        ("dcase", end(2), b"1.500\t3.250\tdoor\n"),
        ("audacity", end(2), b"1.500000\t3.250000\tdoor\n"),
    ],
)
def test_line_of_an_event(text_format: TextFormat, record: Record, line: bytes | None) -> None:
    assert make_formatter(text_format)(record) == line


@pytest.mark.parametrize("record", [HELLO, start(1), end(2), status(3)])
def test_jsonl_shows_every_record(record: Record) -> None:
    assert make_formatter("jsonl")(record) == encode_json(record)


@pytest.mark.parametrize("text_format", ["text", "label", "dcase", "audacity"])
def test_text_formats_show_events_only(text_format: TextFormat) -> None:
    assert [make_formatter(text_format)(record) for record in (HELLO, status(1))] == [None, None]


@pytest.mark.parametrize("text_format", ["dcase", "audacity"])
def test_filename_is_the_first_column(text_format: TextFormat) -> None:
    line = make_formatter(text_format, filename="a b.wav")(end(1))
    assert line is not None
    assert line.split(b"\t")[0] == b"a b.wav"
    assert line.count(b"\t") == 3


def test_file_name_that_is_not_utf8_is_escaped() -> None:
    assert make_formatter("dcase", filename="\udcff\x1b.wav")(end(1)) == b"\\udcff\\x1b.wav\t1.500\t3.250\tdoor\n"


@given(text=st.text(), text_format=st.sampled_from(["text", "label", "dcase", "audacity"]))
def test_no_text_breaks_a_line_or_a_column(text: str, text_format: TextFormat) -> None:
    n_columns = {"text": 5, "label": 1, "dcase": 4, "audacity": 4}[text_format]
    formatter = make_formatter(text_format, filename="a" + text)
    for record in (start(1, label=text), end(2, label=text)):
        line = formatter(structs.replace(record, source=text))
        if line is not None:
            assert line.endswith(b"\n")
            assert line[:-1].decode().replace("\t", "").isprintable()
            assert line.count(b"\t") == n_columns - 1
