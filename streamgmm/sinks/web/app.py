"""What the server answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from streamgmm.errors import StreamgmmError
from streamgmm.sinks.web.clips import ClipAnswers
from streamgmm.sinks.web.feed import Feed
from streamgmm.sinks.web.guard import Guard
from streamgmm.sinks.web.metrics import Metrics
from streamgmm.sinks.web.request import Request
from streamgmm.sinks.web.sources import Sources
from streamgmm.sinks.web.viewers import Viewer, Viewers, message_of

STATIC = Path(__file__).parent / "static"
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/clips.js": ("clips.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Every file there is; a path of a request is never a path of a file."""

MAX_SEQ_DIGITS = 18
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Disconnect = Callable[[tuple[str, int]], None]


class Answers:
    """Answers to requests.

    Args:
        sources: what is known.
        metrics: metrics.
        viewers: streams of records.
        feed: tells whether the daemon is alive.
        disconnect: ends the connection of an address at once.
    """

    def __init__(
        self, sources: Sources, metrics: Metrics, viewers: Viewers, feed: Feed, disconnect: Disconnect
    ) -> None:
        self._sources, self._metrics, self._viewers, self._feed = sources, metrics, viewers, feed
        self._disconnect = disconnect

    async def health(self, request: HttpRequest) -> Response:
        """Return whether the daemon is alive."""
        return _verdict(self._feed.is_fresh, "alive", "the daemon is silent")

    async def readiness(self, request: HttpRequest) -> Response:
        """Return whether sound arrives from all sources that are required."""
        bad = [f"{name}: {source.state}" for name, source in self._sources.by_name.items() if not source.is_ready]
        is_ready = self._feed.is_fresh and self._sources.is_ready
        return _verdict(is_ready, "ready", "\n".join(bad) or "no sound yet")

    async def metrics(self, request: HttpRequest) -> Response:
        """Return metrics for Prometheus."""
        return Response(self._metrics.to_text(), media_type=METRICS_TYPE)

    async def state(self, request: HttpRequest) -> Response:
        """Return the state of all sources."""
        return Response(self._sources.to_json(), media_type="application/json")

    async def events(self, request: HttpRequest) -> Response:
        """Return the kept records after the number `since`."""
        since = request.query_params.get("since", "-1")
        seq = _seq_of(since)
        if seq is None:
            return PlainTextResponse("since is the seq of a record, e.g. 120; -1 for all\n", 400)
        kept, is_complete = self._sources.since(seq)
        answer = {
            # Not lower than what was asked for, as a server that was replaced knows nothing yet.
            "last_seq": max(seq, self._sources.last_seq),
            "is_complete": is_complete,
            "events": [msgspec.Raw(each.line) for each in kept],
        }
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def stream(self, request: HttpRequest) -> Response:
        """Return a stream: the state, what a browser that was away has missed, and all records from now on."""
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._viewers.is_full:
            return PlainTextResponse("too many viewers\n", 503, {"retry-after": "10"})
        client = request.scope["client"]
        viewer = Viewer(lambda: self._disconnect(client))
        seq = _seq_of(request.headers.get("last-event-id", ""))
        missed = [] if seq is None else self._sources.since(seq)[0]
        messages = [message_of("state", self._sources.to_json())]
        messages += [message_of(each.type, each.line, each.seq) for each in missed]
        viewer.put(b"".join(messages))
        return StreamingResponse(self._viewers.stream(viewer), media_type="text/event-stream")


def make_app(request: Request, answers: Answers, clips: ClipAnswers | None) -> ASGIApp:
    """Return the application that answers all requests."""
    routes: list[BaseRoute] = [Route(path, _file_answer(*file)) for path, file in FILES.items()]
    routes += [
        Route("/healthz", answers.health),
        Route("/readyz", answers.readiness),
        Route("/metrics", answers.metrics),
        Route("/v1/state", answers.state),
        Route("/v1/events", answers.events),
        Route("/events", answers.stream),
    ]
    if clips is not None:
        routes.append(clips.mount())
    # A folder of clips may be on a disk that is gone, or its files may not be read.
    app = Starlette(routes=routes, exception_handlers={StreamgmmError: _unusable, OSError: _unusable})
    return Guard(app, request.hosts, request.token, may_judge=clips is not None)


async def _unusable(request: HttpRequest, error: Exception) -> Response:
    # Without the path: viewers need not know where files are.
    reason = error.what if isinstance(error, StreamgmmError) else "the system refuses to read them"
    return PlainTextResponse(f"the clips cannot be used: {reason}\n", 503)


def _file_answer(name: str, media_type: str) -> Callable[[HttpRequest], Response]:
    content = (STATIC / name).read_bytes()
    return lambda request: Response(content, media_type=f"{media_type}; charset=utf-8")


def _verdict(is_good: bool, good: str, bad: str) -> Response:
    return PlainTextResponse(f"{good if is_good else bad}\n", 200 if is_good else 503)


def _seq_of(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isdecimal() and digits.isascii() and len(digits) <= MAX_SEQ_DIGITS else None
