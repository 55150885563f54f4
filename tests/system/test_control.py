"""`streamgmm control` of a running daemon, a process as `run` starts it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.system.run_rig import Json, parse, run, running, subscribe, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="UNIX sockets")


def state_of(uri: str) -> Json:
    return parse(run("--json", "-k", uri, command="status").out)[0]


def test_a_daemon_is_paused_and_resumed_and_its_labels_are_switched(
    demo_model: Path, demo_scene: Path, tmp_path: Path
) -> None:
    uri = f"unix://{tmp_path}/s"
    with running("-m", demo_model, "-s", f"file:{demo_scene}", "--pace=1", "-k", uri) as daemon:
        with subscribe(uri) as client:
            hello = json.loads(client.read_lines(1)[0])
            label = next(label for label in hello["labels"] if label != "background")
            assert run("pause", "--for", "30m", "-k", uri, command="control") == (0, b"", "")
            state = state_of(uri)
            assert (state["paused"], state["off"]) == (True, [])
            assert 1700.0 < state["paused_s"] <= 1800.0
            assert b"for 29 min" in run("-k", uri, command="status").out
            assert run("resume", "-k", uri, command="control").code == 0
            assert run("off", label, "-k", uri, command="control").code == 0
            state = state_of(uri)
            assert (state["paused"], state["off"]) == (False, [label])
            assert run("on", label, "-k", uri, command="control").code == 0
            refused = run("off", "mouse", "-k", uri, command="control")
            assert refused.code == 64
            assert len(refused.err.splitlines()) == 1
            assert "no model reports the label 'mouse'" in refused.err
            wait_until(lambda: not state_of(uri)["off"], "the label stays off")
        daemon.terminate()
        assert "control.obeyed action=pause for_s=1800 by=pid:" in daemon.log


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["pause", "--for", "soon"], 64),
        (["pause", "--for", "0m"], 64),
        (["off"], 64),
        (["pause", "-k", "tcp://127.0.0.1:9"], 64),
        (["pause", "-k", "unix:///nowhere/s"], 69),
    ],
)
def test_what_cannot_be_sent_is_refused_in_one_line(arguments: list[str], code: int) -> None:
    ended = run(*arguments, command="control")
    assert (ended.code, len(ended.err.splitlines())) == (code, 1)
