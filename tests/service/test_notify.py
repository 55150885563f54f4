from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.service import notify
from streamgmm.service.notify import Notifier
from tests.service.notify_rig import Manager

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="UNIX sockets")


@pytest.fixture(params=[False, True], ids=["path", "abstract"])
def manager(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Manager]:
    made = Manager(tmp_path, is_abstract=request.param)
    yield made
    made.close()


def test_each_message_as_the_protocol_has_it(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    for tell in (notifier.ready, notifier.watchdog, notifier.stopping):
        assert tell()
    assert manager.waiting() == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_a_status_stays_one_line_that_sets_nothing_else(manager: Manager) -> None:
    Notifier(manager.address).status("lost\nMAINPID=1\ud800")
    (message,) = manager.waiting()
    assert message == "STATUS=lost MAINPID=1 "


def test_F3_a_reload_is_dated_by_the_monotonic_clock(manager: Manager) -> None:
    before_usec = time.monotonic_ns() // 1000
    Notifier(manager.address).reloading()
    first, second = manager.next().split("\n")
    assert first == "RELOADING=1"
    key, usec = second.split("=")
    assert key == "MONOTONIC_USEC"
    assert before_usec <= int(usec) <= time.monotonic_ns() // 1000


def test_what_the_environment_asks_for_is_taken_out_of_it() -> None:
    environ = {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "PATH": "/bin"}
    assert Notifier.from_environment(environ).watchdog_s == 3.0
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "watchdog",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid() + 1)},
    ],
)
def test_no_watchdog_is_wanted_of_this_process(watchdog: dict[str, str]) -> None:
    assert Notifier.from_environment({"NOTIFY_SOCKET": "/s", **watchdog}).watchdog_s is None


def test_a_watchdog_of_whoever_this_is() -> None:
    assert Notifier.from_environment({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "500000"}).watchdog_s == 0.5


def test_without_a_manager_nothing_is_said(tmp_path: Path) -> None:
    for notifier in (Notifier.from_environment({"WATCHDOG_USEC": "3000000"}), Notifier(str(tmp_path / "gone"))):
        assert not notifier.ready()
    assert Notifier.from_environment({"WATCHDOG_USEC": "3000000"}).watchdog_s is None


def test_a_manager_that_takes_nothing_is_given_up_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "SEND_TIMEOUT_S", 0.01)
    manager = Manager(tmp_path)
    notifier = Notifier(manager.address)
    while notifier.watchdog():
        pass
    manager.waiting()
    assert notifier.watchdog()
    manager.close()
