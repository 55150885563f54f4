"""Draw a board as lines of a terminal of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.text import Text

from streamgmm.monitor.board import Board, PastEvent, SourceView
from streamgmm.wording import shorten

GOOD, BAD, WARNING, FAINT, TITLE = "green", "bold red", "yellow", "dim", "reverse"
HEALTHY = {"ok", "quiet", "running"}
_STATE_STYLES = {**dict.fromkeys(HEALTHY, GOOD), "ended": FAINT}
BOTTOM_DBFS = -90.0
NARROW_COLUMNS = 40
"""Width below which there are numbers and no bars."""

MAX_PAST_LINES = 5
"""Most lines that sources leave free for ended events; without need of their own, they leave more."""

_GATES = {
    "silence": "silence: the level is below the gate",
    "background": "background: it resembles the background more than {label}",
    "unknown": "unknown: it resembles no label enough to be {label}",
    "nonfinite": "nonfinite: the features are not finite",
}
NO_WINDOWS = "no window records: run the daemon with --windows (output.windows: true) to see level and scores"


class Glyphs(NamedTuple):
    """Characters of bars: lit and unlit cells, the mark of a threshold, and columns of rising height."""

    lit: str
    unlit: str
    mark: str
    heights: str


BLOCKS = Glyphs("█", "·", "┃", " ▁▂▃▄▅▆▇█")
ASCII = Glyphs("#", ".", "|", " .:-=+*%#")


class Size(NamedTuple):
    """Size of the terminal (characters)."""

    width: int
    height: int


def draw(board: Board, size: Size, glyphs: Glyphs = BLOCKS) -> list[Text]:
    """Return at most `size.height` lines: the connection, each source, and the events that ended last."""
    sources = list(board.sources.values())
    body = max(0, size.height - 2)
    # Each source gets the same share of what is left beside the events; at least a line.
    share = max(1, (body - min(MAX_PAST_LINES, body // 3)) // max(1, len(sources)))
    lines = [line for view in sources for line in _source_lines(board, view, share, size.width, glyphs)]
    if len(sources) > body > 0:
        lines[body - 1 :] = [Text(f"... and {len(sources) - body + 1} more sources", FAINT)]
    lines += [Text(), *_past_lines(board.past, several=len(sources) > 1)]
    lines = [_title(board), *lines[:body]]
    lines += [Text() for _ in range(size.height - 1 - len(lines))]
    lines.append(Text(board.notice or "q quits", FAINT))
    for line in lines:
        line.truncate(size.width, overflow="ellipsis")
    lines[0].pad_right(max(0, size.width - lines[0].cell_len))
    return lines[: size.height]


def connection_text(board: Board) -> str:
    """Return the state of the connection in words."""
    if board.is_over:
        return "ended"
    if board.failure:
        wait_s = board.retry_s - board.clock()
        when = f" in {wait_s:.0f} s" if wait_s >= 1.0 else ""
        return f"reconnecting{when}: {board.failure}"
    return board.verb if board.sources else f"{board.verb}, no record yet"


def answer_text(view: SourceView) -> str:
    """Return the answer for the last window, or the gate that rejected the best label."""
    if view.reject:
        return f"rejected as {_GATES.get(view.reject, view.reject).format(label=view.best_label)}"
    return f"answer {view.answer}"


def lost_text(view: SourceView) -> str:
    """Return how much audio was lost and why; empty if none was."""
    if not (total := sum(view.lost_samples.values())):
        return ""
    amount = f"{total / view.rate_hz:.1f} s" if view.rate_hz > 0.0 else f"{total} samples"
    return f"lost {amount} ({', '.join(sorted(view.lost_samples))})"


def past_text(event: PastEvent) -> str:
    """Return an ended event with its duration and its highest score."""
    duration = "" if event.duration_s is None else f"  {event.duration_s:.1f} s"
    return f"{event.label}{duration}{'' if event.max_score is None else f'  {event.max_score:.2f}'}"


def bar(share: float, n_cells: int, glyphs: Glyphs, mark: float | None = None) -> str:
    """Return a bar of `n_cells` cells, lit up to `share` (0 to 1), with a mark at `mark` (0 to 1)."""
    n_lit = round(n_cells * min(1.0, max(0.0, share)))
    cells = [glyphs.lit] * n_lit + [glyphs.unlit] * (n_cells - n_lit)
    if mark is not None and cells:
        cells[min(n_cells - 1, max(0, round(n_cells * mark)))] = glyphs.mark
    return "".join(cells)


def _title(board: Board) -> Text:
    dropped = f"  {board.n_dropped} records missed" if board.n_dropped else ""
    style = f"{TITLE} {BAD}" if board.failure else TITLE
    # First, because a narrow terminal shows no more.
    return Text(f"{connection_text(board)}{dropped}  {board.place}", style)


def _source_lines(board: Board, view: SourceView, n_lines: int, width: int, glyphs: Glyphs) -> list[Text]:
    """Return at most `n_lines` lines of a source, the more important ones if there are more."""
    head = _head(board, view, width, is_alone=n_lines == 1)
    more: list[Text] = []
    if view.state not in HEALTHY and view.detail:
        more.append(Text(f"  {view.detail}", WARNING))
    more += [Text(f"  sounding {event.label} since {event.moment}", GOOD) for event in view.events.values()]
    if not board.is_fresh(view):
        if view.window_s is None and view.state in HEALTHY:
            more.append(Text(f"  {NO_WINDOWS}", FAINT))
        return [head, *more][:n_lines]
    more = [_level_line(view, width, glyphs), *more, Text(f"  {answer_text(view)}", FAINT if view.reject else GOOD)]
    n_bars = n_lines - 1 - len(more)
    # The spectrum is for the eye: it takes only a line that is left.
    if view.spectrum_db and n_bars > len(view.scores):
        more.insert(1, _spectrum_line(view, width, glyphs))
        n_bars -= 1
    # Bars come second to the rest only where there is no room for both.
    return [head, *more[:1], *_score_lines(view, max(0, n_bars), width, glyphs), *more[1:]][:n_lines]


def _head(board: Board, view: SourceView, width: int, *, is_alone: bool) -> Text:
    # Short enough that the state is seen, however long the path of a recording is.
    head = Text(shorten(view.name or "-", max(4, width // 2)), "bold").append("  ")
    head.append(view.state, _STATE_STYLES.get(view.state, BAD))
    if is_alone and board.is_fresh(view):
        head.append(f"  {view.best_label} {view.scores.get(view.best_label, 0.0):.2f}  {view.answer}")
    if is_alone and view.events:
        head.append(f"  sounding {', '.join(event.label for event in view.events.values())}", GOOD)
    if lost := lost_text(view):
        head.append(f"  {lost}", WARNING)
    if view.level_dbfs is not None and not board.is_fresh(view):
        head.append(f"  last level {view.level_dbfs:.1f} dBFS", FAINT)
    return head.append(f"  {view.t:.0f} s  {view.model}", FAINT)


def _level_line(view: SourceView, width: int, glyphs: Glyphs) -> Text:
    if view.level_dbfs is None:
        return Text("  level not finite", BAD)
    line = Text(f"  {'level':<{_name_width(view, width)}} {view.level_dbfs:6.1f}")
    share = 1.0 - view.level_dbfs / BOTTOM_DBFS
    return _with_bar(line, bar(share, _n_cells(line, width), glyphs), "cyan")


def _spectrum_line(view: SourceView, width: int, glyphs: Glyphs) -> Text:
    top = len(glyphs.heights) - 1
    shares = (max(0.0, 1.0 - max(level_db, BOTTOM_DBFS) / BOTTOM_DBFS) for level_db in view.spectrum_db)
    line = Text(f"  {'spectrum':<{_name_width(view, width)}}         ")
    return line.append("".join(glyphs.heights[min(top, round(top * share))] for share in shares), "cyan")


def _score_lines(view: SourceView, n_lines: int, width: int, glyphs: Glyphs) -> Iterator[Text]:
    """Yield a line for each of the labels with the highest scores, in the order of the model, so that they stay."""
    ranked = sorted(view.scores, key=view.scores.__getitem__, reverse=True)[:n_lines]
    places = {label: place for place, label in enumerate(view.labels)}
    for label in sorted(ranked, key=lambda label: places.get(label, len(places))):
        score, threshold = view.scores[label], view.thresholds.get(label)
        line = Text(f"  {label[: _name_width(view, width)]:<{_name_width(view, width)}} {score:6.2f}")
        is_above = threshold is not None and score >= threshold
        yield _with_bar(line, bar(score, _n_cells(line, width), glyphs, threshold), GOOD if is_above else "blue")


def _with_bar(line: Text, cells: str, style: str) -> Text:
    return line.append("  ").append(cells, style) if cells else line


def _n_cells(line: Text, width: int) -> int:
    return 0 if width < NARROW_COLUMNS else width - line.cell_len - 3


def _name_width(view: SourceView, width: int) -> int:
    return max(5, min(width // 3, max(map(len, view.scores), default=5)))


def _past_lines(past: Iterable[PastEvent], *, several: bool) -> Iterator[Text]:
    for event in past:
        source = f"  {event.source}" if several else ""
        yield Text(f"{event.moment}{source}  {past_text(event)}")
