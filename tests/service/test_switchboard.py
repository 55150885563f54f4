"""Control of a running daemon: pauses and labels that are off, by an injected clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from streamgmm.errors import UsageError
from streamgmm.records import End, Start, Status, Window
from streamgmm.service.clip_writer import ClipWriter
from streamgmm.service.clocks import Clocks
from streamgmm.service.switchboard import Switchboard, Switches
from streamgmm.settings.clips import ClipsSection
from streamgmm.settings.schedule import OffSection
from streamgmm.sinks.control import Command
from tests.model.model_rig import make_model
from tests.narrowing import present
from tests.service.daemon_rig import CONFIG, HOP_SAMPLES, Running, keep_up
from tests.service.service_rig import RATE_HZ, FakeSource, FakeTime, KeepingSink
from tests.service.test_channels import EAGER, plan_of
from tests.service.test_recorder import daemon_of, info_of, rolled, with_clips

LABELS = ("bark", "door", "background")


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def board(time: FakeTime) -> Switchboard:
    return Switchboard(Clocks(boot=time.boot_clock))


def command(action: str, *labels: str, for_s: float | None = None) -> Command:
    return Command(action=action, labels=list(labels), for_s=for_s)  # type: ignore[arg-type]


def test_a_pause_lasts_until_it_is_resumed(board: Switchboard) -> None:
    board.obey(command("pause"), LABELS, "me")
    assert board.switches == Switches(is_paused=True)
    assert board.left_s is None
    board.obey(command("resume"), LABELS, "me")
    assert board.switches == Switches()


def test_a_pause_of_some_length_ends_by_itself_even_over_a_sleep_of_the_machine(
    board: Switchboard, time: FakeTime
) -> None:
    board.obey(command("pause", for_s=60.0), LABELS, "me")
    time.sleep(59.0)
    assert board.left_s == 1.0
    assert board.switches.is_paused
    time.sleep(1.0)
    assert not board.switches.is_paused
    assert board.left_s is None


def test_a_later_pause_replaces_the_length_of_an_earlier_one(board: Switchboard, time: FakeTime) -> None:
    board.obey(command("pause", for_s=60.0), LABELS, "me")
    board.obey(command("pause"), LABELS, "me")
    time.sleep(61.0)
    assert board.switches.is_paused


def test_labels_are_switched_one_by_one(board: Switchboard) -> None:
    board.obey(command("off", "bark", "door"), LABELS, "me")
    board.obey(command("on", "door"), LABELS, "me")
    assert board.switches.off == {"bark"}
    assert [board.switches.is_off(label) for label in LABELS] == [True, False, False]


@pytest.mark.parametrize(("label", "advice"), [("barks", "did you mean bark"), ("background", "there are bark, door")])
def test_a_label_that_no_model_reports_is_refused(board: Switchboard, label: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        board.obey(command("off", "door", label), LABELS, "me")
    assert board.switches == Switches()


# A stream whose every hop holds an event, which only a switch ends.
HOP = HOP_SAMPLES
NO_CLIPS = ClipsSection()
N_HOPS = 5
"""Hops between two steps, fewer than the ring holds before it counts as overloaded."""


def stream(*steps: Callable[[], object], n_hops: int = N_HOPS) -> FakeSource:
    """Sound with a step of the test after every `n_hops` hops."""
    script = [part for step in steps for part in (*n_hops * [HOP], step)]
    return FakeSource(*script, *n_hops * [HOP])


class Run:
    """A daemon over one live source, with a command in the middle of its sound."""

    def __init__(self, *actions: tuple[Command, ...], clips: ClipsSection = NO_CLIPS) -> None:
        self.sink = KeepingSink()
        steps = [self._make_step(commands) for commands in actions]
        writer = ClipWriter(clips, is_live=False) if clips.directory else None
        plan = plan_of("mic", stream(*steps), config=with_clips(clips, EAGER))
        self.daemon = daemon_of(self.sink, writer, plan)
        running = Running(self.daemon)
        running.join()
        assert running.error is None

    def _make_step(self, commands: tuple[Command, ...]) -> Callable[[], object]:
        def step() -> None:
            keep_up(self.daemon, self.sink)
            for one in commands:
                self.daemon.obey(one, "me")
            self.daemon._switch(self.daemon._switchboard.switches)

        return step


def test_while_paused_windows_go_on_and_events_end_and_none_starts() -> None:
    run = Run((command("pause"),), (command("resume"),))
    paused_t, resumed_t = (N_HOPS * HOP / RATE_HZ, 2 * N_HOPS * HOP / RATE_HZ)
    starts, ends = run.sink.of(Start), run.sink.of(End)
    assert not [one for one in starts if paused_t < one.t <= resumed_t]
    assert {one.reason for one in ends if one.t == paused_t} == {"switched_off"}
    assert len({one.id for one in starts}) == len(starts) == len(ends)
    # Nothing is dated back into the pause.
    later = [one for one in starts if one.t > paused_t]
    assert later
    assert min(one.start_t for one in later) >= resumed_t
    assert [window.t for window in run.sink.of(Window)] == [
        round((i + 1) * HOP / RATE_HZ, 6) for i in range(3 * N_HOPS)
    ]
    statuses = run.sink.of(Status)
    assert [one.paused for one in statuses] == [*sorted(one.paused for one in statuses[:-1]), False]
    assert any(one.paused for one in statuses)


def test_clips_hold_no_audio_of_a_pause(tmp_path: Path) -> None:
    run = Run((command("pause"),), (command("resume"),), clips=rolled(tmp_path))
    paused_t, resumed_t = (N_HOPS * HOP / RATE_HZ, 2 * N_HOPS * HOP / RATE_HZ)
    n_before = n_after = 0
    for end in run.sink.of(End):
        info = info_of(Path(present(end.clip)))
        begin_t = end.start_t - info.onset_s
        n_before += begin_t + info.duration_s <= paused_t + 1e-5
        n_after += begin_t >= resumed_t - 1e-5
    assert n_before
    assert n_after
    assert n_before + n_after == len(run.sink.of(End))


def test_a_label_that_is_off_has_no_events_and_the_others_are_the_same() -> None:
    label = make_model().labels[0]
    plain, run = Run((), ()), Run((command("off", label),), (command("on", label),))

    def others(one: Run) -> list[tuple[str, float, str]]:
        return [(e.label, e.t, e.reason) for e in one.sink.of(End) if e.label != label]

    assert others(run) == others(plain)
    off_t, on_t = (N_HOPS * HOP / RATE_HZ, 2 * N_HOPS * HOP / RATE_HZ)
    assert not [one for one in run.sink.of(Start) if one.label == label and off_t < one.t <= on_t]
    assert [one.off for one in run.sink.of(Status) if one.off] == [[label]]
    windows = [run.sink.of(Window), plain.sink.of(Window)]
    assert [one.scores for one in windows[0]] == [one.scores for one in windows[1]]


def test_only_recordings_are_not_controlled() -> None:
    daemon = daemon_of(KeepingSink(), None, plan_of("file", FakeSource(1000, is_live=False)))
    with pytest.raises(UsageError, match="only recordings"):
        daemon.obey(command("pause"), "me")


NIGHT = [OffSection(time="22:00-07:00"), OffSection(time="12:00-14:00", labels=["door"])]


class Wall:
    """A clock on the wall, which shows UTC."""

    def __init__(self, hour: int) -> None:
        self.now = datetime(2026, 1, 5, hour, tzinfo=UTC)

    def board(self, time: FakeTime) -> Switchboard:
        return Switchboard(Clocks(boot=time.boot_clock, now=lambda: self.now), NIGHT, local=lambda moment: moment)

    def go_to(self, hour: int) -> None:
        self.now = self.now.replace(hour=hour)


def test_the_schedule_switches_at_the_start_and_at_each_change(time: FakeTime) -> None:
    board = (wall := Wall(6)).board(time)
    assert board.switches == Switches(is_paused=True)
    wall.go_to(7)
    assert board.switches == Switches()
    wall.go_to(13)
    assert board.switches == Switches(off=frozenset({"door"}))


def test_a_command_holds_until_the_next_change_of_the_schedule(time: FakeTime) -> None:
    board = (wall := Wall(5)).board(time)
    board.obey(command("resume"), LABELS, "me")
    wall.go_to(6)
    assert board.switches == Switches()
    wall.go_to(7)
    board.obey(command("pause", for_s=1e6), LABELS, "me")
    assert board.switches.is_paused
    wall.go_to(12)
    assert board.switches == Switches(off=frozenset({"door"}))
    board.obey(command("on", "door"), LABELS, "me")
    wall.go_to(13)
    assert board.switches == Switches()


def test_a_pause_that_is_over_gives_way_to_the_schedule(time: FakeTime) -> None:
    board = Wall(23).board(time)
    board.obey(command("pause", for_s=60.0), LABELS, "me")
    time.sleep(61.0)
    assert board.switches == Switches(is_paused=True)


def test_a_reload_takes_another_schedule_and_ends_no_event() -> None:
    sink, reached = KeepingSink(), []
    decided = msgspec.structs.replace(CONFIG, decision=EAGER)
    all_day = msgspec.structs.replace(decided, schedule=[OffSection(time="00:00-24:00", labels=["bark"])])
    source = stream(lambda: reached.append(change()))

    def change() -> frozenset[str]:
        keep_up(daemon, sink)
        n_ends = len(sink.of(End))
        daemon.adopt([plan_of("mic", source, config=all_day)])
        assert len(sink.of(End)) == n_ends
        return daemon._switchboard.switches.off

    daemon = daemon_of(sink, None, plan_of("mic", source, config=decided))
    running = Running(daemon)
    running.join()
    assert (running.error, reached) == (None, [frozenset({"bark"})])
