from __future__ import annotations

import threading

import pytest

from streamgmm.errors import SystemResourceError
from streamgmm.sinks.sink import start_thread


def test_thread_runs_and_does_not_hold_up_the_end() -> None:
    has_run = threading.Event()
    thread = start_thread(has_run.set, "worker")
    assert has_run.wait(5.0)
    assert thread.daemon


def test_F17_thread_that_the_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(SystemResourceError, match="stdout: cannot start a thread") as caught:
        start_thread(threading.Event().set, "stdout")
    assert caught.value.exit_code == 71
