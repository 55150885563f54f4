"""Child process that serves the page; see `streamgmm.sinks.child.protocol`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import NoReturn

from streamgmm.sinks.child.process import ALIVE_S, read_request, read_stdin, report, run_to_end
from streamgmm.sinks.web.app import Answers, make_app
from streamgmm.sinks.web.clip_index import ClipIndex
from streamgmm.sinks.web.clips import ClipAnswers
from streamgmm.sinks.web.feed import Feed
from streamgmm.sinks.web.metrics import Metrics
from streamgmm.sinks.web.request import Request
from streamgmm.sinks.web.server import Connections, Server
from streamgmm.sinks.web.sources import Sources
from streamgmm.sinks.web.viewers import Viewers


async def show_life() -> NoReturn:
    """Report that the loop runs: a loop that hangs serves nobody, and is replaced."""
    while True:
        report("alive")
        await asyncio.sleep(ALIVE_S)


async def serve(request: Request) -> None:
    """Serve until the end of stdin."""
    sources = Sources(request.version, has_clips=bool(request.clips_directory))
    viewers = Viewers(request.max_viewers)
    metrics = Metrics(sources, request.version)
    feed = Feed(sources, metrics, viewers, report)
    connections = Connections(request.max_viewers)
    answers = Answers(sources, metrics, viewers, feed, connections.end)
    clips = None
    if request.clips_directory:
        index = ClipIndex(Path(os.fsdecode(request.clips_directory)))
        clips = ClipAnswers(index, viewers, connections.end)
    server = Server(make_app(request, answers, clips), connections)

    def take_input() -> None:
        if arrived := read_stdin():
            feed.take(arrived)
        else:
            loop.remove_reader(0)
            server.should_exit = server.force_exit = True

    loop = asyncio.get_running_loop()
    loop.add_reader(0, take_input)
    life = asyncio.create_task(show_life())
    report("online")
    await server.run_on(request.fd)
    life.cancel()


def main() -> NoReturn:
    """Serve one request; exit with 0 after the end of stdin, else with 1."""
    run_to_end(lambda: asyncio.run(serve(read_request(Request))))
