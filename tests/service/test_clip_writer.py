"""The thread that writes clips: it delays nobody, and a failure of its folder concerns clips alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.clips.store import ClipStore
from streamgmm.service.clip_writer import MAX_WAITING, ClipWriter
from streamgmm.settings.clips import ClipsSection
from tests.clips.clip_rig import BrokenStore, clips_in, full_disk, make_clip, section_of
from tests.other_user import as_ordinary_user, shared_folder
from tests.sinks.sink_rig import TIMEOUT_S, LogLines, log_of, no_failure


@pytest.fixture
def log() -> Iterator[LogLines]:
    with log_of("clips") as lines:
        yield lines


def opened(store: BrokenStore, folder: Path, *, is_live: bool = True, retry_s: float = 0.0) -> ClipWriter:
    writer = ClipWriter(section_of(folder), is_live=is_live, store=store, retry_s=retry_s)
    writer.open(no_failure)
    return writer


def test_what_is_submitted_is_written_before_the_end(tmp_path: Path) -> None:
    writer = opened(BrokenStore(section_of(tmp_path)), tmp_path)
    for n in range(5):
        writer.submit(make_clip(n))
    writer.close(TIMEOUT_S)
    assert clips_in(tmp_path) == [f"r-{n}" for n in range(5)]
    assert (writer.n_written, writer.n_dropped) == (5, 0)


def test_F37_a_disk_that_hangs_delays_nobody_and_the_rest_is_counted(tmp_path: Path, log: LogLines) -> None:
    store = BrokenStore(section_of(tmp_path))
    store.may_go_on.clear()
    writer = opened(store, tmp_path)
    writer.submit(make_clip(0))
    assert store.hanging.wait(TIMEOUT_S)
    for n in range(1, MAX_WAITING + 4):
        writer.submit(make_clip(n))
    assert not writer.is_taking
    assert writer.n_dropped == 3
    log.wait_for("clips.failed", "too slow")
    writer.close(0.0)
    store.may_go_on.set()


def test_a_recording_waits_for_the_disk_and_loses_no_clip(tmp_path: Path) -> None:
    store = BrokenStore(section_of(tmp_path))
    store.may_go_on.clear()
    writer = opened(store, tmp_path, is_live=False)
    n_clips = 2 * MAX_WAITING

    def submit_all() -> None:
        for n in range(n_clips):
            writer.submit(make_clip(n))

    thread = threading.Thread(target=submit_all, daemon=True)
    thread.start()
    assert store.hanging.wait(TIMEOUT_S)
    store.may_go_on.set()
    thread.join(TIMEOUT_S)
    writer.drain()
    assert (writer.n_written, writer.n_dropped) == (n_clips, 0)
    writer.close(TIMEOUT_S)


def test_F37_a_stop_does_not_wait_for_a_disk_that_hangs(tmp_path: Path) -> None:
    store = BrokenStore(section_of(tmp_path))
    store.may_go_on.clear()
    writer = opened(store, tmp_path, is_live=False)
    writer.submit(make_clip(0))
    assert store.hanging.wait(TIMEOUT_S)
    writer.hurry()
    writer.drain()
    for n in range(1, MAX_WAITING + 2):
        writer.submit(make_clip(n))
    writer.close(0.0)
    store.may_go_on.set()


def test_F37_even_a_recording_does_not_wait_for_a_disk_that_hangs_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: LogLines
) -> None:
    monkeypatch.setattr("streamgmm.service.clip_writer.PATIENCE_S", 0.05)
    store = BrokenStore(section_of(tmp_path))
    store.may_go_on.clear()
    writer = opened(store, tmp_path, is_live=False)
    for n in range(MAX_WAITING + 3):
        writer.submit(make_clip(n))
    log.wait_for("clips.failed", "too slow")
    writer.drain()
    assert writer.n_dropped >= 1
    writer.close(0.0)
    store.may_go_on.set()


def test_F36_a_full_disk_is_reported_once_and_clips_go_on_when_there_is_room(tmp_path: Path, log: LogLines) -> None:
    store = BrokenStore(section_of(tmp_path))
    store.error = full_disk()
    writer = opened(store, tmp_path)
    for n in range(3):
        writer.submit(make_clip(n))
    line = log.wait_for("clips.failed")
    assert "No space left on device" in line
    assert "everything else goes on" in line
    store.error = None
    writer.submit(make_clip(9))
    assert "dropped=" in log.wait_for("clips.recovered")
    writer.close(TIMEOUT_S)
    assert clips_in(tmp_path)[-1] == "r-9"
    assert writer.n_written + writer.n_dropped == 4
    assert "written=" in log.wait_for("clips.closed")


@pytest.mark.parametrize("what", ["a file", "a broken link", "a clip that is too large"])
def test_F36_a_label_whose_clips_cannot_be_written_costs_no_other_label(
    tmp_path: Path, log: LogLines, what: str
) -> None:
    section = section_of(tmp_path, max_mib=1)
    writer = ClipWriter(section, is_live=True, store=ClipStore(section))
    if what == "a file":
        (tmp_path / "dog").touch()
    elif what == "a broken link":
        (tmp_path / "dog").symlink_to(tmp_path / "nowhere")
    writer.open(no_failure)
    duration_s = 120.0 if what == "a clip that is too large" else 0.1
    for n in range(3):
        writer.submit(make_clip(n, "dog", duration_s=duration_s))
        writer.submit(make_clip(10 + n, "cat"))
    writer.close(TIMEOUT_S)
    assert clips_in(tmp_path) == ["r-10", "r-11", "r-12"]
    assert (writer.n_written, writer.n_dropped) == (3, 3)
    assert "folder=dog" in log.wait_for("clips.left_out")
    with pytest.raises(queue.Empty):
        log.wait_for("clips.left_out", timeout_s=0.0)


def test_old_clips_go_though_others_never_stop_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BrokenStore(section_of(tmp_path))
    writer = ClipWriter(section_of(tmp_path), is_live=False, store=store)
    pruned: list[int] = []
    monkeypatch.setattr(store, "prune", lambda: pruned.append(writer.n_written))
    store.may_go_on.clear()
    writer.open(no_failure)
    for n in range(5):
        writer.submit(make_clip(n))
    assert store.hanging.wait(TIMEOUT_S)
    # It is time while four others wait.
    writer._prune_at_s = 0.0
    store.may_go_on.set()
    writer.drain()
    writer.close(TIMEOUT_S)
    assert writer.n_written == 5
    assert 1 in pruned


def test_F36_nothing_is_promised_until_the_next_attempt(tmp_path: Path, log: LogLines) -> None:
    store = BrokenStore(section_of(tmp_path))
    store.error = full_disk()
    writer = opened(store, tmp_path, retry_s=3600.0)
    writer.submit(make_clip(0))
    log.wait_for("clips.failed")
    assert not writer.is_taking
    writer.submit(make_clip(1))
    writer.reopen()
    assert writer.is_taking
    writer.close(TIMEOUT_S)
    assert writer.n_dropped == 2


def test_F36_a_directory_that_vanishes_is_not_made_again_but_used_once_it_is_back(
    tmp_path: Path, log: LogLines
) -> None:
    folder, elsewhere = tmp_path / "clips", tmp_path / "elsewhere"
    writer = opened(BrokenStore(section_of(folder)), folder)
    writer.submit(make_clip(0))
    writer._changed.acquire()
    writer._changed.wait_for(lambda: writer.n_written == 1 and not writer._is_busy, TIMEOUT_S)
    writer._changed.release()
    folder.rename(elsewhere)
    writer.submit(make_clip(1))
    log.wait_for("clips.failed", "No such file")
    assert not folder.exists()
    elsewhere.rename(folder)
    writer.submit(make_clip(2))
    log.wait_for("clips.recovered")
    writer.close(TIMEOUT_S)
    assert clips_in(folder) == ["r-0", "r-2"]


def test_F36_a_directory_that_may_not_be_written_is_reported_in_one_line(log: LogLines) -> None:
    with shared_folder() as folder:
        with as_ordinary_user():
            writer = ClipWriter(section_of(folder / "clips"), is_live=True)
            writer._attempt(writer._prepare)
        assert "Permission denied" in log.wait_for("clips.failed")
        assert not writer.is_taking


def test_F36_a_file_in_place_of_the_directory_stops_clips_alone(tmp_path: Path, log: LogLines) -> None:
    (tmp_path / "clips").write_text("mine")
    writer = ClipWriter(section_of(tmp_path / "clips"), is_live=True)
    writer.open(no_failure)
    assert "File exists" in log.wait_for("clips.failed")
    writer.close(TIMEOUT_S)
    assert (tmp_path / "clips").read_text() == "mine"


def test_F38_a_directory_whose_name_is_not_utf8_is_named_in_records(tmp_path: Path) -> None:
    writer = ClipWriter(ClipsSection(directory="/srv/\udcff/"), is_live=True)
    assert writer.place_of("dog", "x").encode() == b"/srv/\\udcff/dog/x.flac"
