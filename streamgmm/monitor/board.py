"""What the records of a daemon tell of each source, for a screen that is drawn at any moment."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from streamgmm.client.conversation import Record
from streamgmm.monitor.fields import Fields, printable

MAX_PAST_EVENTS = 100
MAX_OPEN_EVENTS = 1000
MAX_SOURCES = 1000
"""Limits of what is kept, whatever a peer sends."""

FRESH_S = 3.0
"""Time for which a `window` describes the present (s); a microphone that is gone sends no other."""


class OpenEvent(NamedTuple):
    """An event that has started."""

    label: str
    moment: str
    start_t: float | None
    max_score: float


class PastEvent(NamedTuple):
    """An event that has ended; a number that the daemon did not give is None."""

    source: str
    label: str
    moment: str
    duration_s: float | None
    max_score: float | None


@dataclass
class SourceView:
    """The present of one source.

    Attributes:
        name: name of the source.
        model: name of its model.
        labels: labels of the model, in its order.
        rate_hz: sample rate of counts of samples.
        state: state of the source, in one word.
        detail: reason of the state.
        t: stream time of the last record (s).
        level_dbfs: last level known; None before the first.
        answer: label of the last window, or the gate's.
        reject: gate that rejected the best label of the last window; empty if it passed.
        scores: score of each label in the last window.
        thresholds: score that starts an event, for each label that can start one.
        spectrum_db: level of each band in the last window, lowest first; empty if it is not known.
        window_s: monotonic time of the last window (s); None before the first.
        events: open events by id.
        lost_samples: lost samples by reason.
    """

    name: str
    model: str = ""
    labels: list[str] = field(default_factory=list)
    rate_hz: float = 0.0
    state: str = "running"
    detail: str = ""
    t: float = 0.0
    level_dbfs: float | None = None
    answer: str = ""
    reject: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    spectrum_db: list[float] = field(default_factory=list)
    window_s: float | None = None
    events: dict[str, OpenEvent] = field(default_factory=dict)
    lost_samples: Counter[str] = field(default_factory=Counter)

    @property
    def best_label(self) -> str:
        """The label with the highest score in the last window; empty before the first."""
        return max(self.scores, key=self.scores.__getitem__, default="")


class Board:
    """All sources of a daemon, updated record by record. Not thread-safe.

    Args:
        place: address of the daemon, or the source without a daemon.
        verb: state of a connection without failure.
        clock: monotonic time (s).

    Attributes:
        sources: the sources by name.
        past: ended events, the last one first.
        n_dropped: records that this program was too slow for.
        failure: why there is no connection at present; empty while there is one.
        retry_s: monotonic time of the next attempt to connect (s).
        is_over: whether nothing follows.
        notice: last line of the log of a run without a daemon.
    """

    def __init__(self, place: str, verb: str = "connected", clock: Callable[[], float] = time.monotonic) -> None:
        self.place = printable(place)
        self.verb = verb
        self.clock = clock
        self.sources: dict[str, SourceView] = {}
        self.past: deque[PastEvent] = deque(maxlen=MAX_PAST_EVENTS)
        self.n_dropped = 0
        self.failure = ""
        self.retry_s = 0.0
        self.is_over = False
        self.notice = ""

    def apply(self, record: Record) -> None:
        """Take in a record; one of an unknown type is ignored."""
        self.failure = ""
        fields = Fields(record)
        kind, name = fields.text("type"), fields.text("source")
        if kind == "hello":
            self._begin(name, fields)
        elif kind == "dropped":
            # Of this subscriber, not of a source.
            self.n_dropped += int(fields.number("count") or 0)
        elif kind == "error":
            self.notice = fields.text("message")
        elif kind in _CHANGES and (name in self.sources or len(self.sources) < MAX_SOURCES):
            # A sink may be restricted to types of records without `hello`.
            view = self.sources.setdefault(name, SourceView(name))
            view.t = fields.number("t") or view.t
            # A recording reports no states, and a monitor that comes before its first sample is greeted with this one.
            if view.state == "starting" and kind in _SIGNS_OF_SOUND:
                view.state, view.detail = "running", ""
            _CHANGES[kind](self, view, fields)

    def lose(self, reason: str, wait_s: float) -> None:
        """Note that the connection is lost, and that the next attempt follows in `wait_s` seconds."""
        self.failure = reason
        self.retry_s = self.clock() + wait_s

    def is_fresh(self, view: SourceView) -> bool:
        """Return whether the last window of a source describes the present."""
        return view.window_s is not None and self.clock() - view.window_s <= FRESH_S

    def _begin(self, name: str, fields: Fields) -> None:
        # The greeting repeats the open events, and a restart has ended all others.
        present = fields.texts("sources") or [name]
        kept = {own: view for own, view in self.sources.items() if own in present}
        view = SourceView(name)
        self.sources = dict(list({**kept, name: view}.items())[:MAX_SOURCES])
        view.rate_hz = fields.number("sample_rate_hz") or 0.0
        self._model(view, fields)

    def _model(self, view: SourceView, fields: Fields) -> None:
        view.model = fields.within("model").text("name")
        view.labels = fields.texts("labels")
        view.scores, view.thresholds = {}, {}

    def _status(self, view: SourceView, fields: Fields) -> None:
        view.state, view.detail = fields.text("state"), fields.text("detail")
        health = fields.within("health")
        level_dbfs = health.number("level_dbfs")
        view.level_dbfs = view.level_dbfs if level_dbfs is None else level_dbfs
        if lost := health.numbers("lost_samples"):
            view.lost_samples = Counter({reason: int(count) for reason, count in lost.items()})

    def _window(self, view: SourceView, fields: Fields) -> None:
        view.window_s = self.clock()
        view.level_dbfs = fields.number("level_dbfs")
        view.answer, view.reject = fields.text("label"), fields.text("reject")
        view.scores = fields.numbers("scores")
        # A daemon of an earlier version does not send them; those of `start` are kept then.
        view.thresholds = fields.numbers("thresholds") or view.thresholds
        view.spectrum_db = fields.levels("spectrum_db")

    def _start(self, view: SourceView, fields: Fields) -> None:
        label = fields.text("label")
        threshold = fields.number("threshold")
        if threshold is not None:
            view.thresholds[label] = threshold
        if len(view.events) < MAX_OPEN_EVENTS:
            event = OpenEvent(label, fields.moment("start"), fields.number("start_t"), fields.number("score") or 0.0)
            view.events[fields.text("id")] = event

    def _update(self, view: SourceView, fields: Fields) -> None:
        event = view.events.get(fields.text("id"))
        if event is not None:
            max_score = fields.number("max_score") or event.max_score
            view.events[fields.text("id")] = event._replace(max_score=max_score)

    def _end(self, view: SourceView, fields: Fields) -> None:
        view.events.pop(fields.text("id"), None)
        numbers = (fields.number("duration_s"), fields.number("max_score"))
        self.past.appendleft(PastEvent(view.name, fields.text("label"), fields.moment("start"), *numbers))

    def _gap(self, view: SourceView, fields: Fields) -> None:
        view.lost_samples[fields.text("reason")] += int(fields.number("lost_samples") or 0)

    def _heartbeat(self, view: SourceView, fields: Fields) -> None:
        """Nothing but the time, which every record has."""

    def _bye(self, view: SourceView, fields: Fields) -> None:
        view.state, view.detail = "ended", fields.text("reason")
        view.events.clear()
        view.window_s = None


_SIGNS_OF_SOUND = {"window", "start", "update", "end", "heartbeat"}
_CHANGES: dict[str, Callable[[Board, SourceView, Fields], None]] = {
    "model": Board._model,
    "status": Board._status,
    "window": Board._window,
    "start": Board._start,
    "update": Board._update,
    "end": Board._end,
    "gap": Board._gap,
    "heartbeat": Board._heartbeat,
    "bye": Board._bye,
}
