from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from streamgmm.service.watch import ALIVE_S, DEADLOCK_S, Watch, guard
from tests.service.service_rig import FakeTime


class Rig:
    """A watch over all three parts; the worker has something to do while `has_work`."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.has_work = False
        is_due = {"capture": lambda: True, "worker": lambda: self.has_work, "writer": lambda: False}
        self.watch = Watch(is_due, self.time.clock)
        self.n_ended = 0

    def guard(self) -> int:
        def end(part: str | None, stuck_s: float) -> None:
            self.n_ended += 1

        guard(self.watch, threading.Event(), end=end, clock=self.time.clock, wait=self.time.wait)
        return self.n_ended


def test_F9_a_capture_that_does_not_move_is_stuck() -> None:
    rig = Rig()
    rig.time.now_s += ALIVE_S
    assert rig.watch.is_alive()
    rig.time.now_s += 0.1
    assert not rig.watch.is_alive()
    rig.watch.move("capture")
    assert rig.watch.is_alive()


@pytest.mark.parametrize("part", ["worker", "writer"])
def test_F9_what_was_begun_has_to_end(part) -> None:
    rig = Rig()
    with rig.watch.busy(part):
        rig.time.now_s += ALIVE_S + 0.1
        rig.watch.move("capture")
        assert not rig.watch.is_alive()
        stuck_part, stuck_s = rig.watch.stuck_for_s()
        assert stuck_part == part
        assert stuck_s == pytest.approx(ALIVE_S + 0.1)
    assert rig.watch.is_alive()


def test_F9_a_worker_that_leaves_its_work_lying_is_stuck_and_one_without_work_is_not() -> None:
    rig = Rig()
    for _ in range(100):
        rig.time.now_s += 10.0
        rig.watch.move("capture")
        assert rig.watch.is_alive()
    rig.has_work = True
    assert rig.watch.is_alive()
    rig.time.now_s += ALIVE_S + 0.1
    rig.watch.move("capture")
    assert not rig.watch.is_alive()


def test_a_part_that_is_not_watched_may_do_as_it_likes() -> None:
    time = FakeTime()
    watch = Watch({"worker": lambda: False}, time.clock)
    with watch.busy("writer"):
        time.now_s += 1000.0
        watch.move("capture")
        assert watch.is_alive()


def test_F10_thirty_seconds_of_deadlock_end_the_process() -> None:
    rig = Rig()
    started_s = rig.time.now_s
    assert rig.guard() == 1
    assert rig.time.now_s - started_s == pytest.approx(DEADLOCK_S, abs=2.0)


def test_F10_while_all_move_nothing_ends() -> None:
    rig = Rig()

    def move() -> None:
        rig.watch.move("capture")
        if len(rig.time.waits_s) == 1000:
            raise StopIteration

    rig.time.on_wait = move
    with pytest.raises(StopIteration):
        rig.guard()
    assert rig.n_ended == 0


def test_F13_a_process_that_was_stopped_for_an_hour_is_not_stuck() -> None:
    rig = Rig()

    def stop() -> None:
        rig.time.now_s += 3600.0
        if len(rig.time.waits_s) == 20:
            raise StopIteration

    rig.time.on_wait = stop
    with pytest.raises(StopIteration):
        rig.guard()
    assert rig.n_ended == 0


def test_F10_the_end_shows_where_every_thread_stands() -> None:
    program = """
import threading
from streamgmm.service.watch import end_process
def wait_for_ever_in_the_worker(): threading.Event().wait()
threading.Thread(target=wait_for_ever_in_the_worker, daemon=True).start()
end_process("worker", 31.0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 70
    assert "wait_for_ever_in_the_worker" in done.stderr
    assert "watch.deadlock part=worker stuck_s=31.0" in done.stderr


def test_F10_F22_the_end_does_not_wait_for_a_reader_of_stderr() -> None:
    program = """
import os
from streamgmm.service.watch import end_process
os.set_blocking(2, False)
try:
    while True: os.write(2, b"x" * 4096)
except BlockingIOError: os.set_blocking(2, True)
end_process("worker", 31.0)
"""
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as process:
        assert process.wait(30) == 70
