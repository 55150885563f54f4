"""What a channel is made from: the plan of its source, and the objects that all channels of a run share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streamgmm.audio.choosing import PlannedSource
from streamgmm.service.clocks import Clocks
from streamgmm.service.room_keeper import RoomKeeper
from streamgmm.service.session import Setup
from streamgmm.service.switchboard import Switchboard
from streamgmm.service.turns import Turns
from streamgmm.service.watch import Watch
from streamgmm.sinks.hub import Hub

if TYPE_CHECKING:
    from streamgmm.service.channel import Channel
    from streamgmm.service.clip_writer import ClipWriter


class ChannelPlan(NamedTuple):
    """A source, with its model and settings.

    Attributes:
        source: the source to capture.
        setup: model and settings.
        is_required: whether `streamgmm status` fails while no audio flows from this source.
    """

    source: PlannedSource
    setup: Setup
    is_required: bool = True


class RunContext(NamedTuple):
    """Objects that all channels of one run share.

    Attributes:
        run_id: identifier of the run, in each hello.
        hub: receives the records.
        watch: monitors the progress of every thread.
        clocks: clocks of the run.
        turns: queue of the channels that have something to analyse.
        switchboard: whether to listen, and which labels are off.
        is_device_required: whether a missing microphone is an error; otherwise the run waits for it.
        rooms: keeps what is learnt of rooms; None if nothing is to be learnt.
        clips: writes recordings of events; None if no audio is to be stored.
    """

    run_id: str
    hub: Hub
    watch: Watch
    clocks: Clocks
    turns: Turns[Channel]
    switchboard: Switchboard
    is_device_required: bool
    rooms: RoomKeeper | None = None
    clips: ClipWriter | None = None
