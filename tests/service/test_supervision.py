from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.service.notify import Notifier
from streamgmm.service.supervision import Supervision
from tests.service.notify_rig import Manager

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="UNIX sockets")
WATCHDOG_S = 0.03


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("state", ["ok", "degraded"])
def test_A1_the_first_state_makes_it_ready_and_is_told(manager: Manager, state: str) -> None:
    supervision = Supervision(Notifier(manager.address))
    assert manager.waiting() == []
    supervision.on_status(state, "mic")
    supervision.on_status("recovering", "mic: gone")
    assert manager.waiting() == ["READY=1", f"STATUS={state}: mic", "STATUS=recovering: mic: gone"]


def test_F1_the_end_is_told_and_is_no_readiness(manager: Manager) -> None:
    Supervision(Notifier(manager.address)).on_status("stopping", "SIGTERM")
    assert manager.waiting() == ["STOPPING=1", "STATUS=stopping: SIGTERM"]


def test_F3_a_reload_is_told_from_beginning_to_end_and_its_refusal_stays(manager: Manager) -> None:
    supervision = Supervision(Notifier(manager.address))
    supervision.on_status("ok", "mic")
    manager.waiting()
    with supervision.reloading():
        assert manager.next().startswith("RELOADING=1\nMONOTONIC_USEC=")
        supervision.on_reload("reload refused: x")
    supervision.on_status("recovering", "mic")
    supervision.on_reload("")
    assert manager.waiting() == [
        "STATUS=ok: mic; reload refused: x",
        "READY=1",
        "STATUS=recovering: mic; reload refused: x",
        "STATUS=recovering: mic",
    ]


def test_F3_a_reload_makes_nothing_ready_that_was_not(manager: Manager) -> None:
    with Supervision(Notifier(manager.address)).reloading():
        pass
    assert manager.waiting() == []


def test_F9_the_watchdog_is_fed_only_while_something_moves(manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    is_asked, is_moving = threading.Semaphore(0), threading.Event()

    def is_alive() -> bool:
        is_asked.release()
        return is_moving.is_set()

    with Supervision(Notifier(manager.address, WATCHDOG_S)).watching(is_alive):
        for _ in range(5):
            assert is_asked.acquire(timeout=10.0)
        assert manager.waiting() == []
        is_moving.set()
        assert [manager.next() for _ in range(3)] == 3 * ["WATCHDOG=1"]
    assert [record.message.partition(":")[0] for record in caplog.records] == ["watchdog.starved"]


def test_F9_no_watchdog_no_question(manager: Manager) -> None:
    before = threading.active_count()
    with Supervision(Notifier(manager.address)).watching(lambda: True):
        assert threading.active_count() == before
