from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from streamgmm.demo.terminal import ASCII, BLOCKS, glyphs_for, result_table, timeline_text
from streamgmm.evaluation.matching import Matches, match_events, overlapping
from streamgmm.listening.events import Annotation, Detection

RATE_HZ = 8000
DURATION_S = 60
TRUTH = [Annotation("bell", 10.0, 20.0), Annotation("bell", 30.0, 40.0), Annotation("smoke_alarm", 45.0, 50.0)]
FOUND = [Detection("bell", 10.0, 20.0, 10.5, 0.9), Detection("smoke_alarm", 5.0, 8.0, 6.0, 0.9)]


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.001, DURATION_S * RATE_HZ)
    times_s = np.arange(10 * RATE_HZ) / RATE_HZ
    samples[10 * RATE_HZ : 20 * RATE_HZ] += 0.3 * np.sin(2 * np.pi * 1000 * times_s)
    return samples.astype(np.float32)


def matches() -> Matches:
    return match_events(TRUTH, FOUND, overlapping(0.2))


def lane(text: str, label: str) -> str:
    """The cells of a label's row, without its name and tally."""
    row = next(line for line in text.splitlines() if line.strip().startswith(label))
    return row.split(label, 1)[1][1:].rsplit(" ", row.count("+") + 1)[0]


@pytest.mark.parametrize("n_columns", [50, 72, 80, 100, 300])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_requested_or_100(samples, n_columns: int, encoding: str):
    text = timeline_text(samples, RATE_HZ, matches(), n_columns=n_columns, encoding=encoding).plain
    assert max(len(line) for line in text.splitlines()) <= min(n_columns, 100)
    text.encode(encoding)


def test_cells_show_what_is_true_found_or_both(samples):
    text = timeline_text(samples, RATE_HZ, matches(), encoding="ascii").plain
    bell, alarm = lane(text, "bell"), lane(text, "smoke_alarm")
    cells_per_s = bell.rindex("'") / 40
    assert bell.count("#") == pytest.approx(10 * cells_per_s, abs=2)
    assert bell.count("'") == pytest.approx(10 * cells_per_s, abs=2)
    assert bell.index("#") == pytest.approx(10 * cells_per_s, abs=2)
    assert bell.index("'") == pytest.approx(30 * cells_per_s, abs=2)
    assert alarm.index("_") == pytest.approx(5 * cells_per_s, abs=2)
    assert alarm.index("'") == pytest.approx(45 * cells_per_s, abs=2)
    assert "#" not in alarm


def test_every_row_ends_with_its_tally(samples):
    lines = timeline_text(samples, RATE_HZ, matches()).plain.splitlines()
    assert any(line.endswith(" 1/2") for line in lines)
    assert any(line.endswith(" 0/1 +1") for line in lines)


def test_mistakes_are_highlighted(samples):
    text = timeline_text(samples, RATE_HZ, matches())
    red = {text.plain[span.start : span.end].strip() for span in text.spans if span.style == "bold red"}
    assert {"▀", "▄", "1/2", "0/1 +1"} <= red
    assert "█" not in red


def test_the_spectrogram_shows_a_tone_where_it_sounds(samples):
    lines = timeline_text(samples, RATE_HZ, matches(), encoding="ascii").plain.splitlines()
    loudest = max((line for line in lines if " Hz " in line), key=lambda line: line.count("#"))
    centre_hz, cells = loudest.split(" Hz ", 1)
    assert 700 < int(centre_hz) < 1400
    assert cells.index("#") == pytest.approx(len(cells) / 6, abs=2)
    assert cells.rindex("#") == pytest.approx(len(cells) / 3, abs=2)


def test_a_short_event_still_fills_a_cell(samples):
    blink = match_events([Annotation("bell", 10.0, 10.01)], [], overlapping(0.2))
    assert lane(timeline_text(samples, RATE_HZ, blink).plain, "bell").count("▀") == 1


def test_an_event_at_the_very_end_stays_in_the_picture(samples):
    last = match_events([Annotation("bell", 59.99, 60.0)], [Detection("bell", 59.9, 60.5, 60.4, 0.9)], overlapping(0.2))
    assert "█" in lane(timeline_text(samples, RATE_HZ, last).plain, "bell")


def test_a_scene_without_events_is_only_a_spectrogram(samples):
    assert "1000" not in timeline_text(samples, RATE_HZ, Matches([], [], [])).plain.splitlines()[-1]


@pytest.mark.parametrize(
    ("encoding", "glyphs"),
    [("utf-8", BLOCKS), ("UTF-16", BLOCKS), ("cp437", BLOCKS), ("latin-1", ASCII), ("ascii", ASCII), ("?", ASCII)],
)
def test_blocks_where_the_encoding_has_them(encoding: str, glyphs):
    assert glyphs_for(encoding) is glyphs


def test_the_table_has_a_row_per_label_and_a_total():
    written = io.StringIO()
    console = Console(file=written, width=100)
    console.print(result_table(matches(), times_real_time=123.4))
    lines = written.getvalue().splitlines()
    rows = {
        cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.split("│")[1:-1]] for line in lines) if cells
    }
    assert rows["bell"] == ["2", "1", "1", "0", "0.50 s"]
    assert rows["smoke_alarm"] == ["1", "0", "1", "1", "-"]
    assert rows["all"] == ["3", "1", "2", "1", "0.50 s"]
    assert lines[-1].strip() == "123 times real time"
