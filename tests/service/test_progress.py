from __future__ import annotations

from streamgmm.service.progress import CAPTURE_LIMIT_S, WORKER_LIMIT_S, Position, Progress


class Threads:
    """How far two threads are, and the time; a script moves them."""

    def __init__(self, *, is_live: bool = True) -> None:
        self.now_s = 100.0
        self.position = Position(captured=0, analysed=0, is_waiting=False)
        self.progress = Progress(lambda: self.position, is_live=is_live, clock=lambda: self.now_s)

    def after(self, seconds: float, **changes: object) -> bool:
        """Whether they are alive when so much time has passed and this has changed."""
        self.now_s += seconds
        self.position = self.position._replace(**changes)
        return self.progress.is_alive()


def test_audio_that_is_analysed_is_life() -> None:
    threads = Threads()
    assert all(threads.after(5.0, captured=n, analysed=n, is_waiting=True) for n in range(1, 100))


def test_F9_a_worker_that_hangs_while_audio_comes_is_no_life() -> None:
    threads = Threads()
    assert threads.after(1.0, captured=1, analysed=1, is_waiting=True)
    assert threads.after(WORKER_LIMIT_S, captured=2)
    assert not threads.after(1.0, captured=3)
    assert threads.after(1.0, captured=4, analysed=2)


def test_F9_a_worker_with_nothing_to_do_is_well_while_a_loss_is_being_healed() -> None:
    threads = Threads()
    assert all(threads.after(CAPTURE_LIMIT_S, captured=n_attempts) for n_attempts in range(1, 50))


def test_F9_a_capture_thread_that_hangs_is_no_life() -> None:
    threads = Threads()
    assert threads.after(CAPTURE_LIMIT_S)
    assert not threads.after(0.1)
    assert threads.after(0.1, captured=1)


def test_A22_a_pipe_may_pause_for_ever() -> None:
    threads = Threads(is_live=False)
    assert threads.after(1e6)
    assert not threads.after(WORKER_LIMIT_S + 1.0, is_waiting=True)
