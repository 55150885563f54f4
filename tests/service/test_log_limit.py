from __future__ import annotations

import logging

import pytest

from streamgmm.service.log_limit import LogLimit
from tests.service.service_rig import FakeTime


@pytest.fixture
def log() -> tuple[logging.Logger, list[str], FakeTime]:
    time, lines = FakeTime(), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    handler.addFilter(LogLimit(clock=time.clock))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, lines, time


def test_E15_a_storm_of_clients_is_one_line_in_ten_seconds(log) -> None:
    logger, lines, time = log
    for i_client in range(1000):
        logger.info("client.connected peer=%s", i_client)
        logger.info("client.closed peer=%s", i_client)
        time.now_s += 0.01
    assert lines == ["client.connected peer=0", "client.closed peer=0"]
    time.now_s += 0.001
    logger.info("client.connected peer=%s", "last")
    assert lines[2:] == ["client.connected peer=last suppressed=999"]
    time.now_s += 10.0
    logger.info("client.connected peer=%s", "next")
    assert lines[3:] == ["client.connected peer=next"]


def test_E35_a_command_that_fails_all_the_time_is_one_line_in_ten_seconds(log) -> None:
    logger, lines, time = log
    for _ in range(100):
        logger.warning("exec.failed sink=%s reason=%s", "exec:false", "exit code 1")
        time.now_s += 0.05
    assert len(lines) == 1


def test_results_of_reloads_in_a_row_are_told_and_a_storm_of_them_is_not(log) -> None:
    logger, lines, time = log
    for reason in ("hangover_s: got -1", "hangover_z: unknown"):
        logger.error("config.reload_failed reason=%s", reason)
        time.now_s += 2.0
    logger.info("config.reload_ok model=%s changed=%s", "my", "hangover_s")
    assert len(lines) == 3
    for _ in range(120):
        logger.error("config.reload_failed reason=%s", "again")
        logger.info("config.reload_ok model=%s changed=%s", "my", "again")
        time.now_s += 0.5
    assert len(lines) <= 20


def test_E43_a_process_that_always_ends_at_once_is_one_line_in_ten_seconds(log) -> None:
    logger, lines, time = log
    for _ in range(600):
        logger.warning("sink.restarting sink=%s reason=the %s process ended: %s", "mqtt://h/home", "mqtt", "killed")
        time.now_s += 0.5
    assert 30 <= len(lines) <= 33


def test_other_lines_pass(log) -> None:
    logger, lines, _ = log
    for _ in range(3):
        logger.error("sink.failed sink=%s", "stdout:")
    assert len(lines) == 3


def test_A3_a_flapping_device_writes_at_most_twenty_lines_a_minute(log) -> None:
    logger, lines, time = log
    for _ in range(120):
        logger.info("capture.state state=ok source=%s", "mic")
        logger.warning("capture.state state=%s reason=%s", "recovering", "lost")
        time.now_s += 0.5
    assert len(lines) <= 20
    assert {line.split()[1] for line in lines} == {"state=ok", "state=recovering"}
