"""What is learnt of a room is kept over restarts; a file or folder that cannot be used costs one line."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from streamgmm.audio.choosing import PlannedSource
from streamgmm.files import replace_atomically
from streamgmm.records import Status
from streamgmm.room.mixture import RoomMixture
from streamgmm.service import room_keeper
from streamgmm.service.context import ChannelPlan
from streamgmm.service.daemon import Daemon
from streamgmm.service.room_keeper import RoomKeeper, SourceRoom, state_directory
from streamgmm.service.session import Session, Setup
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection
from streamgmm.sinks.hub import Hub
from tests.narrowing import present
from tests.other_user import as_ordinary_user, shared_folder
from tests.room.room_rig import QUIET_ROOM, Stream, make_model, points
from tests.service.daemon_rig import STOP_LIMIT_S
from tests.service.service_rig import TIMEOUT_S, FakeSource, KeepingSink, plan
from tests.sinks.sink_rig import full_disk

MODEL, OTHER = make_model(), make_model("b" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "not yet" / "streamgmm"


class Rooms:
    """A keeper with its thread."""

    def __init__(self, folder: Path) -> None:
        self.keeper = RoomKeeper(folder)
        self._thread = threading.Thread(target=self.keeper.run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.keeper.end()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()


@pytest.fixture
def rooms(folder: Path) -> Iterator[Rooms]:
    running = Rooms(folder)
    yield running
    running.end()


def learnt() -> RoomMixture:
    session = begun(SourceRoom(plan(FakeSource(0)), RoomKeeper(None)))
    Stream(session.pipeline).hear(points(QUIET_ROOM, 80.0))
    return mixture_of(session)


def begun(room: SourceRoom, model=MODEL, config: Config | None = None) -> Session:
    session = room.begin_session(Setup(model, config or Config()), "run")
    room.recall(session)
    return session


def mixture_of(session: Session) -> RoomMixture:
    return present(session.pipeline.room).mixture


def written(folder: Path, model=MODEL) -> Path:
    """Keep something; returns the only file."""
    rooms = Rooms(folder)
    rooms.keeper.keep(learnt(), model, "mic")
    rooms.end()
    (path,) = folder.glob("*.room")
    return path


def recalled(folder: Path, model=MODEL, source: str = "mic") -> RoomMixture:
    mixture = mixture_of(begun(SourceRoom(plan(FakeSource(0)), RoomKeeper(None))))
    RoomKeeper(folder).recall(mixture, model, source)
    return mixture


def test_what_was_kept_is_recalled_for_the_same_source_and_model_alone(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(folder)
    assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0
    assert recalled(folder).n_hops == learnt().n_hops > 0
    assert recalled(folder).learnt_s > 0.0
    assert recalled(folder, OTHER).n_hops == 0
    assert recalled(folder, source="yard").n_hops == 0
    assert caplog.text == ""


@pytest.mark.parametrize("content", [b"", b"nonsense", None], ids=["empty", "nonsense", "cut"])
def test_F32_a_damaged_file_is_one_line_and_is_replaced(
    folder: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    path = written(folder)
    path.write_bytes(path.read_bytes()[:-7] if content is None else content)
    assert recalled(folder).n_hops == 0
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    assert "damaged or cut" in caplog.text
    written(folder)
    assert recalled(folder).n_hops > 0


def test_F32_a_file_of_another_model_or_a_huge_one_or_a_folder_is_one_line(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(folder, OTHER)
    content = path.read_bytes()
    path.unlink()
    own = written(folder)
    own.write_bytes(content)
    assert recalled(folder).n_hops == 0
    assert "another model" in caplog.records[0].getMessage()
    with own.open("r+b") as file:
        file.truncate(2**33)
    assert recalled(folder).n_hops == 0
    own.unlink()
    own.mkdir()
    assert recalled(folder).n_hops == 0
    assert len(caplog.records) == 3


def test_F32_a_place_that_cannot_be_written_is_one_line_however_often(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    keeper = RoomKeeper(tmp_path / "file" / "streamgmm")
    for _ in range(3):
        keeper.keep(learnt(), MODEL, "mic")
        keeper.end()
        keeper.run()
        keeper._write_all()
    assert len(caplog.records) == 1
    assert "Not a directory" in caplog.text
    assert "decision.room_adaptation" in caplog.text


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_F32_what_is_no_file_is_not_said_to_be_replaced_but_has_to_be_removed(
    folder: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    path = written(folder)
    path.unlink()
    make(path)
    assert recalled(folder).n_hops == 0
    keeper = RoomKeeper(folder)
    keeper.keep(learnt(), MODEL, "mic")
    keeper._write_all()
    first, second = (record.getMessage() for record in caplog.records)
    assert first.endswith("the room is learnt from the beginning")
    assert "remove what is there, or set decision.room_adaptation to false" in second
    assert path.exists()
    assert not path.is_file()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "Input/output error")])
def test_F32_a_full_or_failing_disk_is_one_line_until_it_works_again(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fail(path: Path, data: bytes) -> None:
        raise error

    keeper, write = RoomKeeper(folder), replace_atomically
    for n_lines, function in ((1, fail), (1, fail), (1, write), (2, fail)):
        monkeypatch.setattr(room_keeper, "replace_atomically", function)
        keeper.keep(learnt(), MODEL, "mic")
        keeper._write_all()
        assert len(caplog.records) == n_lines


def test_F32_a_disk_that_is_full_leaves_the_state_before_and_no_other_file(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(folder)
    before = path.read_bytes()
    keeper, mixture = RoomKeeper(folder), learnt()
    mixture.restore(mixture.settled, mixture.fresh, mixture.n_hops + 1)
    keeper.keep(mixture, MODEL, "mic")
    with full_disk(1000):
        keeper._write_all()
    assert (list(folder.iterdir()), path.read_bytes()) == ([path], before)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["room.not_kept"]
    keeper.keep(mixture, MODEL, "mic")
    keeper._write_all()
    assert recalled(folder).n_hops == mixture.n_hops


def test_F32_a_folder_that_may_only_be_read_is_recalled_from_and_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with shared_folder() as outer:
        folder = outer / "streamgmm"
        path = written(folder)
        before = path.read_bytes()
        path.chmod(0o644)
        folder.chmod(0o555)
        keeper = RoomKeeper(folder)
        with as_ordinary_user():
            assert recalled(folder).n_hops > 0
            for _ in range(2):
                keeper.keep(learnt(), MODEL, "mic")
                keeper._write_all()
        assert path.read_bytes() == before
        folder.chmod(0o755)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["room.not_kept"]
    assert "Permission denied" in caplog.text


def test_F32_a_folder_that_may_not_be_entered_is_one_line_for_each_way(caplog: pytest.LogCaptureFixture) -> None:
    with shared_folder() as outer:
        folder = outer / "streamgmm"
        folder.mkdir(mode=0o000)
        keeper = RoomKeeper(folder)
        with as_ordinary_user():
            keeper.recall(learnt(), MODEL, "mic")
            keeper.keep(learnt(), MODEL, "mic")
            keeper._write_all()
        folder.chmod(0o700)
    assert [record.getMessage().partition(":")[0].split()[0] for record in caplog.records] == [
        "room.not_read",
        "room.not_kept",
    ]


def test_the_latest_models_keep_their_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_keeper, "MAX_FILES", 3)
    keeper = RoomKeeper(folder)
    for i in range(5):
        keeper.keep(learnt(), MODEL, f"source {i}")
        keeper._write_all()
        for path in folder.glob("*.room"):
            os.utime(path, ns=(path.stat().st_mtime_ns - 10**9,) * 2)
    assert [recalled(folder, source=f"source {i}").n_hops > 0 for i in range(5)] == [False, False, True, True, True]


def test_F33_a_disk_that_hangs_delays_neither_hops_nor_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, is_over = threading.Event(), threading.Event()

    def hang(path: Path, data: bytes) -> None:
        hangs.set()
        is_over.wait(TIMEOUT_S)

    monkeypatch.setattr(room_keeper, "replace_atomically", hang)
    keeper = RoomKeeper(folder)
    sink = KeepingSink()
    source = FakeSource(8000, "hang")
    daemon = Daemon([plan_of(source)], Hub([sink]), run_id="r", rooms=keeper)
    thread = threading.Thread(target=daemon.run, daemon=True)
    thread.start()
    keeper.keep(learnt(), MODEL, "mic")
    assert hangs.wait(TIMEOUT_S)
    mixture = learnt()
    for _ in range(1000):
        keeper.keep(mixture, MODEL, "mic")
    assert len(keeper._pending) == 1
    started_s = time.monotonic()
    daemon.stop("test")
    thread.join(TIMEOUT_S)
    assert time.monotonic() - started_s < STOP_LIMIT_S
    is_over.set()


def plan_of(source: FakeSource, config: Config | None = None) -> ChannelPlan:
    return ChannelPlan(plan(source), Setup(MODEL, config or Config()))


def test_what_is_learnt_goes_on_after_a_restart(rooms: Rooms, folder: Path) -> None:
    room = SourceRoom(plan(FakeSource(0)), rooms.keeper)
    session = begun(room)
    Stream(session.pipeline).hear(points(QUIET_ROOM, 80.0))
    room.keep(session)
    rooms.end()
    after = begun(SourceRoom(plan(FakeSource(0)), RoomKeeper(folder)))
    assert mixture_of(after).n_hops == mixture_of(session).n_hops
    assert present(after.pipeline.room).weight == present(session.pipeline.room).weight > 0.0


def test_what_comes_while_the_last_is_written_is_written_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = RoomKeeper(folder)

    def replace_slowly(path: Path, data: bytes) -> None:
        if not keeper._is_over:
            keeper.keep(learnt(), MODEL, "other")
            keeper.end()
        replace_atomically(path, data)

    monkeypatch.setattr(room_keeper, "replace_atomically", replace_slowly)
    keeper.keep(learnt(), MODEL, "mic")
    keeper.run()
    assert not keeper._pending
    assert [recalled(folder, source=name).n_hops > 0 for name in ("mic", "other")] == [True, True]


def test_it_is_written_from_time_to_time_and_not_again_unless_more_was_learnt(folder: Path) -> None:
    keeper = RoomKeeper(folder)
    room = SourceRoom(plan(FakeSource(0)), keeper)
    session = begun(room)
    stream = Stream(session.pipeline)
    n_writes = 0
    for seed in range(25):
        stream.hear(points(QUIET_ROOM, 60.0, seed))
        room.keep_if_due(session)
        n_writes += len(keeper._pending)
        keeper._write_all()
    assert n_writes == 2
    room.keep(session)
    keeper._write_all()
    room.keep(session)
    assert not keeper._pending


def test_a_reload_keeps_what_was_learnt_and_another_model_has_its_own(folder: Path) -> None:
    keeper = RoomKeeper(folder)
    room = SourceRoom(plan(FakeSource(0)), keeper)
    first = begun(room)
    Stream(first.pipeline).hear(points(QUIET_ROOM, 80.0))
    n_hops = mixture_of(first).n_hops
    second = begun(room, config=Config(decision=DecisionSection(hangover_s=1.0)))
    room.hand_over(first, second)
    assert mixture_of(second).n_hops == n_hops
    third = begun(room, OTHER)
    room.hand_over(second, third)
    assert mixture_of(third).n_hops == 0
    # Not written yet: the keeper remembers.
    fourth = begun(room)
    room.hand_over(third, fourth)
    assert mixture_of(fourth).n_hops == n_hops


def test_recordings_and_the_setting_leave_no_room() -> None:
    keeper = RoomKeeper(None)
    paced = PlannedSource("scene", is_live=True, is_device=False, make=lambda: FakeSource(0))
    pipe = PlannedSource("pcm:-", is_live=False, is_device=False, make=lambda: FakeSource(0))
    off = Config(decision=DecisionSection(room_adaptation=False))
    assert begun(SourceRoom(paced, keeper)).pipeline.room is None
    assert begun(SourceRoom(pipe, keeper)).pipeline.room is None
    assert begun(SourceRoom(plan(FakeSource(0)), keeper), config=off).pipeline.room is None
    assert begun(SourceRoom(plan(FakeSource(0)), None)).pipeline.room is None
    assert begun(SourceRoom(plan(FakeSource(0)), keeper)).pipeline.room is not None


@pytest.mark.parametrize("is_on", [True, False])
def test_the_status_of_a_source_tells_what_was_learnt(folder: Path, is_on: bool) -> None:
    config = Config(decision=DecisionSection(room_adaptation=is_on))
    written(folder)
    daemon = Daemon([plan_of(FakeSource(0), config)], Hub([KeepingSink()]), run_id="r", rooms=RoomKeeper(folder))
    thread = threading.Thread(target=daemon.run)
    thread.start()
    thread.join(TIMEOUT_S)
    (status,) = daemon.snapshots()
    assert isinstance(status, Status)
    health = present(status.health)
    assert ((health.room_s or 0.0) > 59.0) is is_on
    assert (health.room_weight is None) is not is_on
    assert msgspec.json.decode(msgspec.json.encode(status))["health"]["room_s"] == health.room_s


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/streamgmm:/var/lib/x", "HOME": "/h"}, "/var/lib/streamgmm"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/streamgmm"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/streamgmm"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "None"),
        ({}, "None"),
    ],
)
def test_the_place_is_that_of_the_service_or_of_the_user(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(state_directory()) == expected
