"""Print what happens line by line, for pipes, logs and terminals that cannot be drawn on."""

from __future__ import annotations

from collections.abc import Callable

from streamgmm.client.conversation import Record
from streamgmm.monitor.board import Board, SourceView
from streamgmm.monitor.drawing import answer_text, lost_text, past_text
from streamgmm.monitor.fields import Fields

WINDOW_S = 1.0
"""Stream time between two lines of a source about its windows (s)."""

N_SCORES = 3


class LinePrinter:
    """Print a line for each change, and one a second for the windows of each source.

    Args:
        board: keeps what the lines need to know of earlier records.
        show: prints one line.
    """

    def __init__(self, board: Board, show: Callable[[str], None]) -> None:
        self._board = board
        self._show = show
        self._next_window_t: dict[str, float] = {}

    def apply(self, record: Record) -> None:
        """Take in a record, and print what it tells."""
        n_dropped = self._board.n_dropped
        self._board.apply(record)
        fields = Fields(record)
        if self._board.n_dropped > n_dropped:
            self._show(f"{self._board.n_dropped - n_dropped} records missed: this program was too slow")
        view = self._board.sources.get(fields.text("source"))
        if view is not None and (text := self._describe(view, fields)):
            self._show("  ".join(filter(None, [fields.moment(""), view.name, text])))

    def lose(self, reason: str, wait_s: float) -> None:
        """Print that the connection is lost."""
        self._show(f"reconnecting in {wait_s:.1f} s: {reason}")

    def _describe(self, view: SourceView, fields: Fields) -> str:
        match fields.text("type"):
            case "hello" | "model" as kind:
                return f"{kind}  {view.model}: {', '.join(view.labels)}"
            case "status" | "bye":
                level = "" if view.level_dbfs is None else f"  level {view.level_dbfs:.1f} dBFS"
                return "  ".join(filter(None, [f"{view.state}: {view.detail}{level}", lost_text(view)]))
            case "start":
                label, score = fields.text("label"), fields.number("score") or 0.0
                return f"start  {label}  {score:.2f}  threshold {view.thresholds.get(label, 0.0):.2f}"
            case "end":
                return f"end  {past_text(self._board.past[0])}"
            case "gap":
                return f"gap  {lost_text(view)}"
            case "window" if view.t >= self._next_window_t.get(view.name, view.t) or self._has_restarted(view):
                self._next_window_t[view.name] = view.t + WINDOW_S
                return _window_text(view)
        return ""

    def _has_restarted(self, view: SourceView) -> bool:
        # Stream time begins from zero with each run.
        return self._next_window_t[view.name] > view.t + WINDOW_S


def _window_text(view: SourceView) -> str:
    level = "level not finite" if view.level_dbfs is None else f"level {view.level_dbfs:.1f} dBFS"
    ranked = sorted(view.scores, key=view.scores.__getitem__, reverse=True)[:N_SCORES]
    scores = [f"{label} {view.scores[label]:.2f}{_threshold_text(view, label)}" for label in ranked]
    return "  ".join([level, *scores, answer_text(view)])


def _threshold_text(view: SourceView, label: str) -> str:
    # A label that starts no event, such as `background`, has none.
    threshold = view.thresholds.get(label)
    return "" if threshold is None else f"/{threshold:.2f}"
