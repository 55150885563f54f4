"""A daemon over fake sources, run in a thread of the test."""

from __future__ import annotations

import threading
import time
from typing import TypedDict, Unpack

from streamgmm.model.model import Model
from streamgmm.records import Gap, Window
from streamgmm.service.clocks import Clocks
from streamgmm.service.context import ChannelPlan
from streamgmm.service.daemon import Daemon, OnStatus
from streamgmm.service.session import Setup
from streamgmm.settings.config import Config
from streamgmm.settings.output import OutputSection
from streamgmm.settings.source import SourceSection
from streamgmm.sinks.hub import Hub
from streamgmm.sinks.sink import Sink
from tests.model.model_rig import make_model
from tests.service.service_rig import RATE_HZ, TIMEOUT_S, FakeSource, KeepingSink, plan

CONFIG = Config(source=SourceSection(ring_s=2.0), output=OutputSection(windows=True))
STOP_LIMIT_S = 2.0
HOP_SAMPLES = make_model().spec.hop_samples


class Options(TypedDict, total=False):
    """What a daemon may be given besides its channels and its hub."""

    is_device_required: bool
    clocks: Clocks
    on_status: OnStatus


def make_daemon(*sources: FakeSource, sink: Sink, config: Config = CONFIG, **options: Unpack[Options]) -> Daemon:
    return Daemon([planned(make_model(), config, *sources)], Hub([sink]), run_id="r", **options)


def planned(model: Model, config: Config, *sources: FakeSource) -> ChannelPlan:
    return ChannelPlan(plan(*sources), Setup(model, config))


class Running:
    """A daemon in a thread of its own."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.daemon.run()
        except BaseException as error:
            self.error = error

    def join(self) -> float:
        """Wait for the end; returns how long that took."""
        started_s = time.monotonic()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()
        return time.monotonic() - started_s


def keep_up(daemon: Daemon, sink: KeepingSink) -> None:
    """Wait until every whole hop that was captured is told of, window by window, as a worker that is fast enough."""

    def is_told() -> bool:
        counts = daemon._channels[0]._ring.counts
        # Hops begin anew after a gap.
        last_t = next((record.t for record in reversed(sink.records) if isinstance(record, Window | Gap)), 0.0)
        return last_t * RATE_HZ > counts.captured_samples + counts.source_lost_samples - HOP_SAMPLES

    sink.wait_until(is_told)
