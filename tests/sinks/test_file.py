from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamgmm.errors import CannotCreateError, ConfigError, OutputError, PermissionDeniedError
from streamgmm.records import AnyRecord, Dropped, decode_json
from streamgmm.sinks.appending import append_whole
from streamgmm.sinks.file import FileSink
from tests.sinks.sink_rig import (
    TIMEOUT_S,
    Failures,
    LogLines,
    account,
    end,
    full_disk,
    message,
    n_open_fds,
    start,
    status,
)

OpenSink = Callable[..., FileSink]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heard.jsonl"


@pytest.fixture
def open_sink(path: Path, failures: Failures) -> Iterator[OpenSink]:
    sinks: list[FileSink] = []

    def make(**options: object) -> FileSink:
        sink = FileSink(f"file://{path}", **options)  # type: ignore[arg-type]
        sink.open(failures)
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.close(TIMEOUT_S)
    assert failures.is_empty


def publish(sink: FileSink, seqs: range) -> None:
    for seq in seqs:
        sink.publish(message(status(seq, detail="x" * 100)))


def settle(sink: FileSink) -> None:
    """Wait until all that was published is written."""
    with sink._changed:
        assert sink._changed.wait_for(sink._is_idle, TIMEOUT_S)


def records_of(*paths: Path) -> list[AnyRecord]:
    lines = b"".join(path.read_bytes() for path in paths).splitlines(keepends=True)
    assert all(line.endswith(b"\n") for line in lines)
    return [decode_json(line) for line in lines]


def test_lines_are_appended_to_what_is_there(open_sink: OpenSink, path: Path) -> None:
    for first_seq in (0, 10):
        sink = open_sink()
        publish(sink, range(first_seq, first_seq + 10))
        sink.close(TIMEOUT_S)
    assert [record.seq for record in records_of(path)] == list(range(20))


def test_the_file_is_for_owner_and_group(open_sink: OpenSink, path: Path) -> None:
    before = os.umask(0)
    try:
        open_sink()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_other_formats_can_be_chosen(open_sink: OpenSink, path: Path) -> None:
    sink = open_sink(text_format="label")
    for record in (status(0), start(1), end(2), start(3, "e2", "kettle")):
        sink.publish(message(record))
    sink.close(TIMEOUT_S)
    assert path.read_text() == "door\nkettle\n"


def test_a_line_that_a_crash_cut_in_two_stays_alone(open_sink: OpenSink, path: Path) -> None:
    path.write_bytes(b'{"v":1,"se')
    sink = open_sink()
    publish(sink, range(1))
    sink.close(TIMEOUT_S)
    lines = path.read_bytes().split(b"\n")
    assert lines[0] == b'{"v":1,"se'
    assert decode_json(lines[1]).seq == 0


def test_nothing_is_left_behind(path: Path, failures: Failures) -> None:
    n_fds, n_threads = n_open_fds(), threading.active_count()
    for _ in range(5):
        sink = FileSink(f"file://{path}")
        sink.open(failures)
        publish(sink, range(3))
        sink.close(TIMEOUT_S)
        sink.close(TIMEOUT_S)
    assert (n_open_fds(), threading.active_count()) == (n_fds, n_threads)


def test_a_source_that_can_wait_loses_nothing(open_sink: OpenSink, path: Path) -> None:
    sink = open_sink(max_records=16, is_live=False)
    publish(sink, range(3000))
    sink.drain()
    assert [record.seq for record in records_of(path)] == list(range(3000))


def test_E22_a_rotation_by_rename_loses_nothing_and_cuts_nothing(open_sink: OpenSink, path: Path) -> None:
    sink = open_sink(max_records=10_000)
    parts = [path.with_name(f"heard.{i}") for i in range(5)]
    for i_part, part in enumerate(parts):
        publish(sink, range(100 * i_part, 100 * i_part + 50))
        path.rename(part)
        # Some of these may still go to the part that was moved, but whole and in order.
        publish(sink, range(100 * i_part + 50, 100 * i_part + 100))
        settle(sink)
        sink.publish(message(status(10_000 + i_part)))
        settle(sink)
        assert path.exists()
    seqs = [record.seq for record in records_of(*parts, path) if record.seq < 10_000]
    assert seqs == list(range(500))


def test_E22_reopened_when_asked_also_if_nothing_is_written(open_sink: OpenSink, path: Path) -> None:
    sink = open_sink()
    publish(sink, range(1))
    settle(sink)
    moved = path.rename(path.with_name("moved"))
    sink.reopen()
    publish(sink, range(1, 2))
    settle(sink)
    assert [record.seq for record in records_of(moved)] == [0]
    assert [record.seq for record in records_of(path)] == [1]


def test_E22_copy_and_truncate_leaves_no_hole(open_sink: OpenSink, path: Path) -> None:
    sink = open_sink()
    publish(sink, range(100))
    settle(sink)
    copy = path.read_bytes()
    os.truncate(path, 0)
    publish(sink, range(100, 200))
    settle(sink)
    assert b"\0" not in path.read_bytes()
    copied = [decode_json(line).seq for line in copy.splitlines()]
    assert copied + [record.seq for record in records_of(path)] == list(range(200))


def test_E23_a_full_disk_blocks_nothing_is_told_once_and_heals(
    open_sink: OpenSink, path: Path, log: LogLines, failures: Failures
) -> None:
    sink = open_sink(max_records=16, retry_s=0.01)
    with full_disk(1000):
        # As many as can wait: none is dropped before the disk is full, however late the writer is.
        publish(sink, range(16))
        line = log.wait_for("sink.failed")
        publish(sink, range(16, 500))
        assert str(path) in line
        assert path.stat().st_size <= 1000
        records_of(path)  # whole ones, although the disk took a part of the next
    log.wait_for("sink.recovered")
    sink.close(TIMEOUT_S)
    records = records_of(path)
    assert account(records) == 500
    (hole,) = [record for record in records if isinstance(record, Dropped)]
    counts = dict(word.split("=") for word in log.wait_for("sink.closed").split()[1:])
    assert (int(counts["dropped"]), int(counts["left"])) == (hole.count, 0)
    assert int(counts["sent"]) + int(counts["dropped"]) == 500
    assert failures.is_empty


def test_E23_a_disk_that_stays_full_is_one_line_and_ends_with_the_rest_counted(
    open_sink: OpenSink, log: LogLines
) -> None:
    sink = open_sink(max_records=16, retry_s=0.001)
    with full_disk(1000):
        publish(sink, range(100))
        log.wait_for("sink.failed")
        publish(sink, range(100, 200))
        sink.close(TIMEOUT_S)
        # The very next line: nothing was said of the attempts between.
        line = log.wait_for("")
        assert line.startswith("sink.closed")
        counts = dict(word.split("=") for word in line.split()[1:])
        assert sum(int(counts[key]) for key in ("sent", "dropped", "left")) == 200


def test_E23_reopen_tries_at_once(open_sink: OpenSink, path: Path, log: LogLines) -> None:
    sink = open_sink(retry_s=1e6)
    with full_disk(0):
        publish(sink, range(3))
        log.wait_for("sink.failed")
    sink.reopen()
    log.wait_for("sink.recovered")
    settle(sink)
    assert account(records_of(path)) == 3


def test_E23_a_recording_that_cannot_be_written_is_an_error(path: Path, failures: Failures) -> None:
    sink = FileSink(f"file://{path}", is_live=False)
    sink.open(failures)
    with full_disk(0):
        publish(sink, range(1))
        error = failures.wait()
    assert isinstance(error, OutputError)
    assert error.exit_code == 74
    sink.close(TIMEOUT_S)


def test_E23_a_directory_that_vanished_is_waited_for(tmp_path: Path, failures: Failures, log: LogLines) -> None:
    (folder := tmp_path / "logs").mkdir()
    sink = FileSink(f"file://{folder}/f", retry_s=0.01)
    sink.open(failures)
    moved = folder.rename(tmp_path / "moved")
    publish(sink, range(3))
    log.wait_for("sink.failed", "the directory does not exist")
    folder.mkdir()
    log.wait_for("sink.recovered")
    sink.close(TIMEOUT_S)
    assert account(records_of(moved / "f", folder / "f")) == 3


@pytest.mark.parametrize("kind", ["directory", "symlink", "dangling symlink", "fifo", "device"])
def test_E23_what_is_no_regular_file_is_refused(path: Path, tmp_path: Path, failures: Failures, kind: str) -> None:
    (target := tmp_path / "target").write_text("precious")
    make: dict[str, Callable[[], object]] = {
        "directory": path.mkdir,
        "symlink": lambda: path.symlink_to(target),
        "dangling symlink": lambda: path.symlink_to(tmp_path / "none"),
        "fifo": lambda: os.mkfifo(path),
        "device": lambda: None,
    }
    make[kind]()
    with pytest.raises(CannotCreateError, match="not a regular file") as caught:
        FileSink("file:///dev/full" if kind == "device" else f"file://{path}").open(failures)
    assert caught.value.exit_code == 73
    assert target.read_text() == "precious"
    assert not (tmp_path / "none").exists()


def test_a_place_that_cannot_be_had_is_named(tmp_path: Path, failures: Failures) -> None:
    with pytest.raises(CannotCreateError, match=r"none: the directory does not exist"):
        FileSink(f"file://{tmp_path}/none/f").open(failures)


def test_a_place_that_may_not_be_written_is_named(tmp_path: Path, failures: Failures) -> None:
    (locked := tmp_path / "locked").mkdir(mode=0o500)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        with pytest.raises((PermissionDeniedError, CannotCreateError)) as caught:
            FileSink(f"file://{locked}/f").open(failures)
    finally:
        if is_root:
            os.seteuid(0)
    assert "Permission denied" in str(caught.value)


@pytest.mark.parametrize("uri", ["file://", "file:///", "file:///var/log/", "file://.", "file:///a\0b", "file://a\nb"])
def test_uri_without_a_file_name_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="file://PATH"):
        FileSink(uri)


def test_a_line_that_has_no_room_leaves_the_file_as_it_was(path: Path) -> None:
    with path.open("ab+") as file:
        append_whole(file.fileno(), b"one\n")
        with full_disk(6), pytest.raises(OSError, match="File too large"):
            append_whole(file.fileno(), b"three\n")
        append_whole(file.fileno(), b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
