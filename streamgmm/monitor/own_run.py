"""Watch a source without a daemon: a run within this process, whose only sink is the viewer."""

from __future__ import annotations

import json
from collections.abc import Sequence

from streamgmm.monitor.feed import Viewer
from streamgmm.service.context import ChannelPlan
from streamgmm.service.daemon import Daemon
from streamgmm.sinks.control import Obey
from streamgmm.sinks.hub import Hub
from streamgmm.sinks.sink import Message, OnFailure, Snapshot


class ViewerSink:
    """Sink that passes each record to a viewer, as a daemon's client would get it.

    Args:
        viewer: gets the records, in the publishing threads, one at a time.
    """

    name = "monitor:"
    snapshot: Snapshot | None = None
    obey: Obey | None = None
    n_clients = 1

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    def open(self, on_failure: OnFailure) -> None:
        """Do nothing: a viewer is always open."""

    def publish(self, message: Message) -> None:
        """Pass the record on."""
        self._viewer.apply(json.loads(message.line))

    def drain(self) -> None:
        """Do nothing: no record waits."""

    hurry = reopen = drain

    def close(self, timeout_s: float) -> None:
        """Do nothing: no record waits."""


class OwnRun:
    """The records of a run within this process.

    Args:
        plans: sources with their models and settings.
        run_id: identifier of the run.
        viewer: gets the records.
    """

    def __init__(self, plans: Sequence[ChannelPlan], run_id: str, viewer: Viewer) -> None:
        # Without rooms: a look at a microphone must not change what a daemon has learnt.
        self._daemon = Daemon(plans, Hub([ViewerSink(viewer)]), run_id=run_id)

    def run(self) -> None:
        """Listen until the sources end or `stop` is called.

        Raises:
            StreamgmmError: a source cannot be opened, or the last one failed.
        """
        self._daemon.run()

    def stop(self) -> None:
        """End the run."""
        self._daemon.stop("monitor ended")
