"""Several sources in one run: each whole by itself, whatever becomes of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Unpack

import msgspec
import numpy as np
import pytest

from streamgmm import units
from streamgmm.arrays import FloatArray
from streamgmm.audio.choosing import PlannedSource
from streamgmm.audio.microphone.microphone import CaptureError
from streamgmm.errors import ConfigError, DataError, DeviceError, InputMissingError
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.records import Bye, End, Gap, Hello, ModelChanged, Record, Start, Status, Window
from streamgmm.room.mixture import RoomMixture
from streamgmm.service import capture
from streamgmm.service.channel import Channel
from streamgmm.service.context import ChannelPlan
from streamgmm.service.daemon import Daemon
from streamgmm.service.room_keeper import RoomKeeper
from streamgmm.service.session import Setup
from streamgmm.service.steps import GATHER_FROM
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection
from streamgmm.sinks.hub import Hub
from streamgmm.sinks.sink import OnFailure
from streamgmm.stack import records_of_stack
from tests.model.model_rig import make_model
from tests.narrowing import of_type, one, only
from tests.service.daemon_rig import CONFIG, HOP_SAMPLES, Options, Running, make_daemon
from tests.service.service_rig import RATE_HZ, TIMEOUT_S, FakeSource, KeepingSink, check_conservation, supply

MODEL = make_model()
OTHER = make_model(labels=("kettle", "phone", "rain"), seed=1)
EAGER = DecisionSection(min_llr=-1e6, onset_threshold=0.01, offset_threshold=0.0, min_duration_s=0.0)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "FIRST_DELAY_S", 0.0)


def plan_of(name: str, *sources: FakeSource, model: Model = MODEL, config: Config = CONFIG) -> ChannelPlan:
    source = PlannedSource(name, sources[0].is_live, is_device=True, make=supply(*sources), is_named=True)
    return ChannelPlan(source, Setup(model, config))


def daemon_of(sink: KeepingSink, *plans: ChannelPlan, **options: Unpack[Options]) -> Daemon:
    return Daemon(plans, Hub([sink]), run_id="r", **options)


def by_source(records: list[Record]) -> dict[str, list[Record]]:
    sources = dict.fromkeys(record.source for record in records)
    return {source: [record for record in records if record.source == source] for source in sources}


def without_envelope(record: Record) -> Record:
    changes = {"seq": 0, "source": "", **({"sources": []} if isinstance(record, Hello) else {})}
    if hasattr(record, "id"):
        changes["id"] = record.id.rpartition("-")[2]
    return msgspec.structs.replace(record, **changes)


@pytest.mark.parametrize("n_sources", [2, 8])
def test_the_records_of_each_source_are_those_of_it_alone(n_sources: int) -> None:
    lengths = [5000 + 777 * i for i in range(n_sources)]
    config = msgspec.structs.replace(CONFIG, decision=EAGER)
    sink = KeepingSink()
    plans = [plan_of(f"s{i}", FakeSource(n, n, is_live=False), config=config) for i, n in enumerate(lengths)]
    daemon_of(sink, *plans).run()
    assert [record.seq for record in sink.records] == list(range(len(sink.records)))
    for (name, records), n_samples in zip(by_source(sink.records).items(), lengths, strict=True):
        alone = KeepingSink()
        make_daemon(FakeSource(n_samples, n_samples, is_live=False), sink=alone, config=config).run()
        assert list(map(without_envelope, records)) == list(map(without_envelope, alone.records)), name
        check_conservation(records[-1], 2 * n_samples)


def test_the_hops_of_many_live_sources_are_analysed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def spy(pipelines: Sequence[Pipeline], samples: Sequence[FloatArray]) -> list[list[Record]]:
        sizes.append(len(pipelines))
        return records_of_stack(pipelines, samples)

    monkeypatch.setattr("streamgmm.service.steps.records_of_stack", spy)
    # From this number on, the worker waits for others: so they meet however the threads are scheduled.
    monkeypatch.setattr("streamgmm.service.steps.GATHER_SHARE", 1.0)
    config = msgspec.structs.replace(CONFIG, decision=EAGER)
    may_go_on, sink = threading.Event(), KeepingSink()
    blocks = [HOP_SAMPLES + 100 * i for i in range(GATHER_FROM)]
    sources = [FakeSource(lambda: may_go_on.wait(TIMEOUT_S), *[n] * 3) for n in blocks]
    daemon = daemon_of(sink, *(plan_of(f"s{i}", source, config=config) for i, source in enumerate(sources)))
    running = Running(daemon)
    may_go_on.set()
    running.join()
    assert max(sizes) > 1
    for (name, records), n_samples in zip(by_source(sink.records).items(), blocks, strict=True):
        alone = KeepingSink()
        make_daemon(FakeSource(*[n_samples] * 3), sink=alone, config=config).run()
        assert heard(records) == heard(alone.records), name
        check_conservation(records[-1], 3 * n_samples)


def heard(records: list[Record]) -> list[Record]:
    """What was recognised: without states, whose moments are those of threads, and without dates."""
    kinds = [record for record in records if isinstance(record, Window | Start | End | Bye)]
    dates = ("time", "start_time", "end_time")
    return [
        msgspec.structs.replace(without_envelope(record), **dict.fromkeys(set(dates) & set(record.__struct_fields__)))
        for record in kinds
    ]


@pytest.mark.parametrize(("is_live", "n_hops"), [(True, 2), (False, 1)])
def test_a_source_that_is_behind_does_not_wait_for_others(is_live: bool, n_hops: int) -> None:
    (channel,) = daemon_of(KeepingSink(), plan_of("a", FakeSource(0, is_live=is_live)))._channels
    channel._ring.write(np.zeros(n_hops * HOP_SAMPLES - 1, np.float32))
    assert not channel.is_behind
    channel._ring.write(np.zeros(1, np.float32))
    assert channel.is_behind


def test_F8_a_stack_that_fails_costs_its_hops_and_is_not_formed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def fail(pipelines: Sequence[Pipeline], samples: Sequence[FloatArray]) -> list[list[Record]]:
        sizes.append(len(pipelines))
        raise ZeroDivisionError("thrown in")

    monkeypatch.setattr("streamgmm.service.steps.records_of_stack", fail)
    sink = KeepingSink()
    daemon_of(sink, *(plan_of(f"s{i}", FakeSource(8000, 8000, is_live=False)) for i in range(4))).run()
    n_failed = sum(sizes)
    assert 2 <= n_failed <= 4
    gaps = [gap for gap in sink.of(Gap) if gap.reason == "worker_error"]
    assert [gap.lost_samples for gap in gaps] == [HOP_SAMPLES] * n_failed
    for bye in sink.of(Bye):
        check_conservation(bye, 16000)


def test_hellos_come_first_and_list_all() -> None:
    sink = KeepingSink()
    daemon_of(sink, plan_of("kitchen", FakeSource(900, is_live=False)), plan_of("yard", FakeSource(0))).run()
    hellos = [of_type(record, Hello) for record in sink.records[:2]]
    assert [(record.source, record.sources) for record in hellos] == [
        ("kitchen", ["kitchen", "yard"]),
        ("yard", ["kitchen", "yard"]),
    ]


def test_ids_of_events_are_those_of_one_source() -> None:
    sink = KeepingSink()
    config = msgspec.structs.replace(CONFIG, decision=EAGER)
    daemon_of(sink, *(plan_of(name, FakeSource(9000, is_live=False), config=config) for name in "ab")).run()
    ids = [record.id for record in sink.of(Start)]
    assert len(ids) == len(set(ids)) > 1


def test_each_source_has_its_own_model() -> None:
    sink = KeepingSink()
    one, other = FakeSource(4000, is_live=False), FakeSource(4000, is_live=False)
    daemon_of(sink, plan_of("a", one), plan_of("b", other, model=OTHER)).run()
    labels = {
        source: {tuple(r.scores) for r in records if isinstance(r, Window)}
        for source, records in by_source(sink.records).items()
    }
    assert labels == {"a": {MODEL.labels}, "b": {OTHER.labels}}


@pytest.mark.parametrize(
    "error", [DataError("is damaged"), CaptureError("no_library", "no PortAudio"), ZeroDivisionError()]
)
def test_A45_a_source_that_fails_for_good_leaves_the_others_alone(error: Exception) -> None:
    sink = KeepingSink()
    bad, good = FakeSource(error), FakeSource(lambda: sink_has_bye(sink, "bad"), 8000, is_live=False)
    with pytest.raises(type(error)):
        daemon_of(sink, plan_of("bad", bad), plan_of("good", good)).run()
    records = by_source(sink.records)
    check_conservation(records["bad"][-1], 0)
    assert of_type(records["bad"][-1], Bye).reason != "end of input"
    assert [record.state for record in records["bad"] if isinstance(record, Status)][-1:] == ["lost"]
    assert check_conservation(records["good"][-1], 8000).reason == "end of input"


def sink_has_bye(sink: KeepingSink, source: str) -> None:
    sink.wait_until(lambda: any(isinstance(record, Bye) and record.source == source for record in sink.records))


def test_a_source_that_is_lost_and_found_is_so_by_itself() -> None:
    sink = KeepingSink()
    shaky = [FakeSource(800, DeviceError("gone")), FakeSource(800)]
    daemon_of(sink, plan_of("shaky", *shaky), plan_of("calm", FakeSource(8000))).run()
    records = by_source(sink.records)
    assert [r.state for r in records["shaky"] if isinstance(r, Status)] == ["ok", "lost", "recovering", "ok"]
    assert [r.state for r in records["calm"] if isinstance(r, Status)] == ["ok"]
    assert not [r for r in records["calm"] if isinstance(r, Gap)]
    check_conservation(records["shaky"][-1], 1600)


def test_the_flood_of_one_source_waits_for_no_more_than_a_hop_of_it() -> None:
    sink = KeepingSink()
    is_flooded = threading.Event()
    flood = FakeSource(*(200 * [1000]), is_flooded.set, is_live=False)
    calm = FakeSource(lambda: sink.wait_for(Window), *(10 * [HOP_SAMPLES]), is_live=False)
    daemon_of(sink, plan_of("flood", flood), plan_of("calm", calm)).run()
    order = [record.source for record in sink.records if isinstance(record, Window)]
    first = order.index("calm")
    last = len(order) - 1 - order[::-1].index("calm")
    # In turn: as long as both have something, no more than a few hops of the flood lie between two of the other.
    assert order[first : last + 1].count("flood") < 5 * order.count("calm")


def test_the_state_of_all_is_that_of_the_worst_and_names_each() -> None:
    told: list[tuple[str, str]] = []
    sink = KeepingSink()
    missing = FakeSource(CaptureError("not_found", "no input device"))
    stop: list[Callable[[], None]] = []
    calm = FakeSource(800, lambda: sink.wait_until(lambda: len(sink.of(Status)) >= 2), lambda: stop[0](), "hang")
    daemon = daemon_of(sink, plan_of("a", missing), plan_of("b", calm), on_status=lambda *said: told.append(said))
    stop.append(lambda: daemon.stop("SIGTERM"))
    daemon.run()
    assert told[-1][0] == "stopping"
    assert told[0] == ("degraded", "a: degraded, b: ok")


# Sources that come and go


class Changing:
    """A run of two sources that hang, until it is told otherwise."""

    def __init__(self, config: Config = CONFIG) -> None:
        self.sink = KeepingSink()
        self.sources = {name: FakeSource(8000, "hang") for name in "ab"}
        plans = [plan_of(name, source, config=config) for name, source in self.sources.items()]
        self.daemon = daemon_of(self.sink, *plans)
        self.running = Running(self.daemon)
        for source in self.sources.values():
            assert source.hanging.wait(TIMEOUT_S)

    def plan(self, name: str, *, model: Model = MODEL, config: Config = CONFIG) -> ChannelPlan:
        return plan_of(name, self.sources.get(name) or FakeSource(8000, "hang"), model=model, config=config)

    def end(self) -> dict[str, list[Record]]:
        self.daemon.stop("SIGTERM")
        self.running.join()
        assert self.running.error is None
        assert [record.seq for record in self.sink.records] == list(range(len(self.sink.records)))
        return by_source(self.sink.records)


def test_F31_a_source_that_is_added_begins_and_the_others_go_on() -> None:
    run = Changing()
    run.daemon.adopt([run.plan("a"), run.plan("b"), run.plan("c")])
    run.sink.wait_until(lambda: any(r.source == "c" and isinstance(r, Window) for r in run.sink.records))
    records = run.end()
    assert of_type(records["c"][0], Hello).sources == ["a", "b", "c"]
    for name in "abc":
        check_conservation(records[name][-1], 8000, in_flight_samples=None)
        assert not [record for record in records[name] if isinstance(record, Gap)]


def test_F31_a_second_source_joins_a_single_one_that_has_a_name() -> None:
    sink = KeepingSink()
    only = FakeSource(8000, "hang")
    daemon = daemon_of(sink, plan_of("a", only))
    running = Running(daemon)
    assert only.hanging.wait(TIMEOUT_S)
    daemon.adopt([plan_of("a", only), plan_of("b", FakeSource(8000, "hang"))])
    sink.wait_until(lambda: any(r.source == "b" and isinstance(r, Window) for r in sink.records))
    daemon.stop("SIGTERM")
    running.join()
    hellos = sink.of(Hello)
    assert [(hello.source, hello.sources) for hello in hellos] == [("a", ["a"]), ("b", ["a", "b"])]


class SlowSink(KeepingSink):
    """Opens only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_opening, self.may_open = threading.Event(), threading.Event()

    def open(self, on_failure: OnFailure) -> None:
        self.is_opening.set()
        assert self.may_open.wait(TIMEOUT_S)
        super().open(on_failure)


@pytest.mark.parametrize("names", ["ab", "a", "b", "bc"])
def test_F31_a_reload_while_a_sink_is_being_opened_starts_each_source_once(names: str) -> None:
    sink = SlowSink()
    plans = {name: plan_of(name, FakeSource(8000, "hang")) for name in "abc"}
    daemon = daemon_of(sink, plans["a"])
    running = Running(daemon)
    assert sink.is_opening.wait(TIMEOUT_S)
    daemon.adopt([plans[name] for name in names])
    sink.may_open.set()
    sink.wait_until(lambda: {r.source for r in sink.records if isinstance(r, Window)} == set(names))
    daemon.stop("SIGTERM")
    running.join()
    assert [hello.source for hello in sink.of(Hello)] == list(names)
    for records in by_source(sink.records).values():
        check_conservation(records[-1], 8000, in_flight_samples=None)


class NotingKeeper(RoomKeeper):
    """Notes whether what is replaced has ended when a room is recalled."""

    def __init__(self) -> None:
        super().__init__(None)
        self.replaced: list[Channel] = []
        self.notes: list[bool] = []

    def recall(self, mixture: RoomMixture, model: Model, source: str) -> None:
        self.notes.append(all(channel.over.is_set() for channel in self.replaced))


def test_F31_the_room_is_recalled_when_what_was_learnt_before_is_kept() -> None:
    source, keeper = FakeSource(8000, "hang"), NotingKeeper()
    daemon = Daemon([plan_of("a", source)], Hub([KeepingSink()]), run_id="r", rooms=keeper)
    running = Running(daemon)
    assert source.hanging.wait(TIMEOUT_S)
    keeper.replaced = list(daemon._channels)
    other = msgspec.structs.replace(CONFIG, source=msgspec.structs.replace(CONFIG.source, channel=1))
    daemon.adopt([plan_of("a", FakeSource(8000, "hang"), config=other)])
    daemon.stop("SIGTERM")
    running.join()
    assert keeper.notes == [True, True]


def test_F31_a_source_that_is_dropped_ends_and_the_others_go_on() -> None:
    run = Changing()
    run.daemon.adopt([run.plan("b")])
    assert run.sources["a"].is_closed.is_set()
    assert not run.sources["b"].is_closed.is_set()
    records = run.end()
    assert of_type(records["a"][-1], Bye).reason == "no longer in the settings"
    assert of_type(records["b"][-1], Bye).reason == "SIGTERM"


def test_F31_all_sources_may_be_exchanged_for_others() -> None:
    run = Changing()
    run.daemon.adopt([run.plan("c")])
    run.sink.wait_until(lambda: any(r.source == "c" and isinstance(r, Window) for r in run.sink.records))
    records = run.end()
    assert [one(records[name], Bye).reason for name in "abc"] == ["no longer in the settings"] * 2 + ["SIGTERM"]


def test_F31_a_source_with_other_settings_begins_again() -> None:
    run = Changing()
    source = msgspec.structs.replace(CONFIG.source, channel=1)
    run.daemon.adopt(
        [run.plan("a"), plan_of("b", FakeSource(800, "hang"), config=msgspec.structs.replace(CONFIG, source=source))]
    )
    records = run.end()
    assert [type(r) for r in records["b"]].count(Hello) == 2
    assert [type(r) for r in records["a"]].count(Hello) == 1


def test_F31_what_a_reload_does_not_change_is_not_disturbed() -> None:
    config = msgspec.structs.replace(CONFIG, decision=EAGER)
    run = Changing(config=config)
    run.sink.wait_until(lambda: {r.source for r in run.sink.records if isinstance(r, Start)} == {"a", "b"})
    run.daemon.adopt([run.plan("a", config=config), run.plan("b", config=config), run.plan("c", config=config)])
    assert not [record for record in run.sink.records if isinstance(record, End)]
    run.end()


def test_F31_an_added_source_is_told_of_by_its_hello_first() -> None:
    run = Changing()
    told: list[list[str]] = []
    drop = run.sources["a"].close

    def close() -> None:
        told.append([status.source for status in run.daemon.snapshots()])
        drop()

    run.sources["a"].close = close  # type: ignore[method-assign]
    run.daemon.adopt([run.plan("b"), run.plan("c")])
    assert told[0] == ["a", "b"]
    assert [status.source for status in run.daemon.snapshots()] == ["b", "c"]
    run.end()


def test_F31_whether_a_source_is_required_may_change() -> None:
    run = Changing()
    run.daemon.adopt([run.plan("a"), run.plan("b")._replace(is_required=False)])
    hellos = only(run.end()["b"], Hello)
    assert [hello.is_required for hello in hellos] == [True, False]


def test_F31_the_events_of_a_source_that_begins_again_have_other_ids() -> None:
    config = msgspec.structs.replace(CONFIG, decision=EAGER)
    run = Changing(config=config)
    other = msgspec.structs.replace(config, source=msgspec.structs.replace(config.source, channel=1))
    run.daemon.adopt([run.plan("a", config=config), plan_of("b", FakeSource(8000, "hang"), config=other)])
    run.sink.wait_until(lambda: sum(isinstance(r, Start) and r.source == "b" for r in run.sink.records) >= 2)
    ids = [start.id for start in only(run.end()["b"], Start)]
    assert len(set(ids)) == len(ids)


def test_F5_A45_a_source_whose_analysis_fails_is_lost_and_its_capture_ends() -> None:
    sink, may_go_on = KeepingSink(), threading.Event()
    failing, calm = FakeSource(8000, lambda: may_go_on.wait(TIMEOUT_S), 8000, "hang"), FakeSource(8000, "hang")
    daemon = daemon_of(sink, plan_of("a", failing), plan_of("b", calm))
    running = Running(daemon)
    assert calm.hanging.wait(TIMEOUT_S)
    channel = daemon._channels[0]

    def fail(stretch: object, hop: object) -> list[Record]:
        raise ZeroDivisionError("thrown in")

    channel.worker.records_of = fail  # type: ignore[assignment, method-assign]
    may_go_on.set()
    assert channel.over.wait(TIMEOUT_S)
    channel.join(TIMEOUT_S)
    assert failing.is_closed.is_set()
    assert [status.state for status in daemon.snapshots()] == ["lost", "ok"]
    assert not channel.has_work
    daemon.stop("SIGTERM")
    running.join()
    assert isinstance(running.error, ZeroDivisionError)


def test_F31_a_source_that_failed_is_tried_again_by_a_reload_of_the_same_settings() -> None:
    sink, missing = KeepingSink(), FakeSource(InputMissingError("gone"), is_live=False)
    calm = FakeSource(8000, "hang")
    plans = [plan_of("a", missing, FakeSource(8000, "hang")), plan_of("b", calm)]
    daemon = daemon_of(sink, *plans)
    running = Running(daemon)
    assert daemon._channels[0].over.wait(TIMEOUT_S)
    daemon.adopt(plans)
    sink.wait_until(lambda: any(r.source == "a" and isinstance(r, Window) for r in sink.records))
    daemon.stop("SIGTERM")
    running.join()
    assert running.error is None
    assert len([hello for hello in sink.of(Hello) if hello.source == "b"]) == 1


def test_F31_another_model_for_one_source_leaves_the_other_alone() -> None:
    run = Changing()
    run.daemon.adopt([run.plan("a", model=OTHER), run.plan("b")])
    records = run.end()
    assert [r.labels for r in records["a"] if isinstance(r, ModelChanged)] == [list(OTHER.labels)]
    assert not [r for r in records["b"] if isinstance(r, ModelChanged)]


def test_F31_what_one_source_refuses_changes_none() -> None:
    run = Changing()
    long_hop = msgspec.structs.replace(CONFIG, model=msgspec.structs.replace(CONFIG.model, priors={"zebra": 2.0}))
    with pytest.raises(ConfigError, match="zebra"):
        run.daemon.adopt([run.plan("a", model=OTHER), run.plan("b", config=long_hop), run.plan("c")])
    records = run.end()
    assert records.keys() == {"a", "b"}
    assert not run.sink.of(ModelChanged)


def test_t_of_each_source_rises_along_seq() -> None:
    sink = KeepingSink()
    config = msgspec.structs.replace(CONFIG, decision=EAGER)
    plans = [plan_of(name, FakeSource(*(20 * [777])), config=config) for name in "abc"]
    daemon_of(sink, *plans).run()
    for records in by_source(sink.records).values():
        times_s = [record.t for record in records]
        assert times_s == sorted(times_s)
        assert units.samples_to_seconds(20 * 777, RATE_HZ) == times_s[-1]
