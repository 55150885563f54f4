"""Answers on clips: their audio, and the judgement of a reviewer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from streamgmm.clips.reviewing import Judgement
from streamgmm.errors import DataError, UsageError
from streamgmm.sinks.web.clip_audio import ClipAudio, open_clip
from streamgmm.sinks.web.clip_index import AlreadyJudgedError, ClipIndex
from streamgmm.sinks.web.guard import CLIPS_PATH, JUDGED
from streamgmm.sinks.web.viewers import Viewers, message_of

MAX_BODY_BYTES = 4096
BODY_S = 10.0
"""Longest time for the body of a request (s)."""

MAX_ANSWERS = 16
"""Most answers on clips at once, those that are being sent included."""

GONE = "there is no clip of this event: it is not written yet, or it was removed\n"

T = TypeVar("T")


class ClipAnswers:
    """Answers to requests for clips.

    Args:
        index: the clips.
        viewers: are told of each judgement.
        disconnect: ends the connection of an address at once.
    """

    def __init__(self, index: ClipIndex, viewers: Viewers, disconnect: Callable[[tuple[str, int]], None]) -> None:
        self._index, self._viewers, self._disconnect = index, viewers, disconnect
        # One request after the other reads the folder, in a thread, as a disk may hang.
        self._turn = asyncio.Lock()

    def mount(self) -> Mount:
        """Return the routes of these answers."""
        routes = [
            Route("/{event_id}", self.audio),
            Route(f"/{{event_id}}{JUDGED}", self.judgement, methods=["GET"]),
            Route(f"/{{event_id}}{JUDGED}", self.judge, methods=["POST"]),
        ]
        return Mount(CLIPS_PATH, app=_Bounded(Router(routes)))

    async def audio(self, request: HttpRequest) -> Response:
        """Return the audio of a clip."""
        found = await self._in_turn(lambda: self._index.find(request.path_params["event_id"]))
        if found is None:
            return PlainTextResponse(GONE, 404)
        try:
            file = await asyncio.to_thread(open_clip, found.path)
        except FileNotFoundError:
            return PlainTextResponse(GONE, 404)
        client = request.scope["client"]
        return ClipAudio(file, request.headers.get("range", ""), lambda: self._disconnect(client))

    async def judgement(self, request: HttpRequest) -> Response:
        """Return the judgement of a clip, null if nobody has judged it."""
        found = await self._in_turn(lambda: self._index.find(request.path_params["event_id"]))
        return PlainTextResponse(GONE, 404) if found is None else _json({"judgement": found.judgement})

    async def judge(self, request: HttpRequest) -> Response:
        """Judge a clip."""
        try:
            wanted = msgspec.json.decode(await _read_body(request), type=Judgement)
        except msgspec.DecodeError as error:
            # What is left of the body is not read.
            return PlainTextResponse(f"the body is not a judgement: {error}\n", 400, {"connection": "close"})
        event_id = request.path_params["event_id"]
        try:
            done = await self._in_turn(lambda: self._index.judge(event_id, wanted))
        except AlreadyJudgedError as error:
            return _json({"judgement": error.judgement}, 409)
        except (DataError, UsageError) as error:
            return PlainTextResponse(f"{error}\n", 400)
        if done is None:
            return PlainTextResponse(GONE, 404)
        self._viewers.broadcast(message_of("judgement", msgspec.json.encode({"id": event_id, "judgement": done})))
        return _json({"judgement": done})

    async def _in_turn(self, action: Callable[[], T]) -> T:
        async with self._turn:
            return await asyncio.to_thread(action)


class _Bounded:
    """Refuse requests while too many are being answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._n_answers = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._n_answers >= MAX_ANSWERS:
            await PlainTextResponse("too many requests for clips\n", 503, {"retry-after": "2"})(scope, receive, send)
            return
        self._n_answers += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._n_answers -= 1


async def _read_body(request: HttpRequest) -> bytes:
    """Return the body of a request; empty if it is too long, or does not come in time."""
    body = b""
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    return b""
            return body
    return b""


def _json(answer: object, code: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), code, media_type="application/json")
