"""Terminal output of the demo: a table of results, and a picture of the scene in characters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from streamgmm.arrays import BoolArray, Samples
from streamgmm.evaluation.matching import Matches, MatchSummary
from streamgmm.report.spectrogram import band_edges_hz, band_levels_db

WIDEST_COLUMNS = 100
NARROWEST_COLUMNS = 50
N_BANDS = 7
TICK_S = 10
ABOVE_USUAL_DB = 30.0

GOOD, BAD, FAINT = "green", "bold red", "dim"


def result_table(matches: Matches, times_real_time: float) -> Table:
    """Return a table of events, found, missed, false and median latency, with a row per label and one for all.

    Args:
        matches: events of the scene and detections.
        times_real_time: seconds of audio per second of processing, shown in the caption.
    """
    table = Table(caption=f"{times_real_time:.0f} times real time", caption_justify="left")
    table.add_column("sound")
    for heading in ("events", "found", "missed", "false", "latency"):
        table.add_column(heading, justify="right")
    for label in matches.labels:
        table.add_row(*_table_cells(matches.of_label(label)))
    table.add_section()
    table.add_row(*_table_cells(matches.in_total()), style="bold")
    return table


def _table_cells(result: MatchSummary) -> list[Text]:
    mistakes = [Text(str(count), style=BAD if count else FAINT) for count in (result.n_missed, result.n_false)]
    latency = "-" if result.latency_s is None else f"{result.latency_s:.2f} s"
    return [Text(result.label), Text(str(result.n_true)), Text(str(result.n_found)), *mistakes, Text(latency)]


class Glyphs(NamedTuple):
    """Characters to draw with: shades from faint to loud, and cells that are only true, only found, or both."""

    shades: str
    only_true: str
    only_found: str
    both: str


BLOCKS = Glyphs(" ░▒▓█", "▀", "▄", "█")
ASCII = Glyphs(" .:*#", "'", "_", "#")


def glyphs_for(encoding: str) -> Glyphs:
    """Return block characters where the encoding of the terminal has them, plain ASCII elsewhere."""
    try:
        "".join(BLOCKS).encode(encoding)
    # LookupError: Python does not know the encoding of the terminal.
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def timeline_text(
    samples: Samples, sample_rate_hz: int, matches: Matches, *, n_columns: int = WIDEST_COLUMNS, encoding: str = "utf-8"
) -> Text:
    """Return the scene as lines of coloured text, at most `n_columns` (50 to 100) wide.

    Each label has a row: the upper half of a cell is the truth, the lower half the detections, so that a full block
    means agreement. Found/true and the number of false events follow.
    """
    glyphs = glyphs_for(encoding)
    duration_s = len(samples) / sample_rate_hz
    results = [matches.of_label(label) for label in matches.labels]
    # Wide enough for every label, and for the frequencies of the spectrogram.
    n_margin = max([8, *(len(result.label) for result in results)]) + 1
    tallies = [f"{one.n_found}/{one.n_true}" + (f" +{one.n_false}" if one.n_false else "") for one in results]
    n_tally = max([0, *(len(tally) for tally in tallies)]) + 1
    n_cells = max(NARROWEST_COLUMNS, min(n_columns, WIDEST_COLUMNS)) - n_margin - n_tally
    text = _spectrogram(samples, sample_rate_hz, n_margin, n_cells, glyphs)
    text.append(_time_axis(duration_s, n_margin, n_cells), style=FAINT)
    for result, tally in zip(results, tallies, strict=True):
        text.append(f"{result.label:>{n_margin - 1}} ")
        text.append_text(_lane(matches, result.label, duration_s, n_cells, glyphs))
        text.append(f" {tally}\n", style=BAD if result.n_missed or result.n_false else GOOD)
    key = f"{glyphs.only_true} only true  {glyphs.only_found} only found  {glyphs.both} both   found/true +false"
    return text.append(" " * n_margin + key[: n_cells + n_tally], style=FAINT)


def _spectrogram(samples: Samples, sample_rate_hz: int, n_margin: int, n_cells: int, glyphs: Glyphs) -> Text:
    levels_db = band_levels_db(samples, sample_rate_hz, N_BANDS, n_cells)
    # Relative to the median level of each band: otherwise the rumble of the background hides everything else.
    above_db = levels_db - np.median(levels_db, axis=1, keepdims=True)
    shades = np.clip(above_db / ABOVE_USUAL_DB * len(glyphs.shades), 0, len(glyphs.shades) - 1).astype(int)
    edges_hz = band_edges_hz(N_BANDS, sample_rate_hz)
    text = Text()
    for band in reversed(range(N_BANDS)):
        # The geometric mean: bands are equally wide in octaves.
        centre_hz = np.sqrt(edges_hz[band] * edges_hz[band + 1])
        text.append(f"{centre_hz:>{n_margin - 4}.0f} Hz ", style=FAINT)
        text.append("".join(glyphs.shades[shade] for shade in shades[band]) + "\n", style="cyan")
    return text


def _time_axis(duration_s: float, n_margin: int, n_cells: int) -> str:
    line = [" "] * n_cells
    for tick_s in range(0, int(duration_s) + 1, TICK_S):
        caption = f"|{tick_s} s"
        cell = int(tick_s / duration_s * n_cells)
        if cell + len(caption) <= n_cells:
            line[cell : cell + len(caption)] = caption
    return " " * n_margin + "".join(line) + "\n"


def _lane(matches: Matches, label: str, duration_s: float, n_cells: int, glyphs: Glyphs) -> Text:
    """Return the row of one label, with mistakes highlighted."""
    pairs = [pair for pair in matches.pairs if pair.truth.label == label]
    missed = [(event.onset_s, event.offset_s) for event in matches.missed if event.label == label]
    false = [(event.onset_s, event.offset_s) for event in matches.false if event.label == label]
    true = missed + [(pair.truth.onset_s, pair.truth.offset_s) for pair in pairs]
    found = false + [(pair.found.onset_s, pair.found.offset_s) for pair in pairs]
    is_true, is_found, is_wrong = (_cells(spans_s, duration_s, n_cells) for spans_s in (true, found, missed + false))
    # Indexed by 0 to 3: neither, only true, only found, both.
    glyph_of = np.array([" ", glyphs.only_true, glyphs.only_found, glyphs.both])
    text = Text("".join(glyph_of[is_true + 2 * is_found]), style=GOOD)
    for cell in np.flatnonzero(is_wrong):
        text.stylize(BAD, int(cell), int(cell) + 1)
    return text


def _cells(spans_s: list[tuple[float, float]], duration_s: float, n_cells: int) -> BoolArray:
    """Return which cells the spans touch; a span shorter than a cell still fills one."""
    cells = np.zeros(n_cells, dtype=bool)
    for onset_s, offset_s in spans_s:
        first = int(onset_s / duration_s * n_cells)
        cells[first : max(first + 1, round(offset_s / duration_s * n_cells))] = True
    return cells
