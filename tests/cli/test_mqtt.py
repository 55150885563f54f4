"""What `streamgmm mqtt` prints; a real broker is in `tests/system/test_mqtt.py`."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cli.cli_rig import run_cli

URI = "mqtt://broker.example/home"


@pytest.fixture(params=[0, 5])
def n_removed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("streamgmm.cli.mqtt.remove_retained", lambda task, name: request.param)
    return int(request.param)


def test_the_node_is_named_and_where_to_look_if_it_has_left_nothing(
    capsys: pytest.CaptureFixture[str], n_removed: int
) -> None:
    node = socket.gethostname()
    code, out, err = run_cli(capsys, "mqtt", "remove", URI)
    assert (code, out) == (0, f"removed {n_removed} topics of node {node}\n")
    assert (f"there is nothing of node {node};" in err) == ("--config" in err) == (n_removed == 0)


def test_the_node_of_the_settings_is_looked_for(
    capsys: pytest.CaptureFixture[str], n_removed: int, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(f"output: {{sinks: [{{uri: '{URI}', node: kitchen}}]}}\n")
    outcome = run_cli(capsys, "mqtt", "remove", URI, "--config", tmp_path / "c.yaml")
    assert outcome.out == f"removed {n_removed} topics of node kitchen\n"
