"""Metrics as Prometheus reads them, and the dashboard that shows them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from streamgmm.records import Health, Window
from tests.ports import free_port
from tests.required import prometheus
from tests.sinks.sink_rig import HELLO, end, start, status
from tests.system.run_rig import wait_until
from tests.web_rig import Served, ask

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana.json"

HEALTH = Health(
    level_dbfs=-30.0,
    uptime_s=1.0,
    captured_samples=48000,
    analysed_samples=16000,
    in_flight_samples=0,
    lost_samples={"suspend": 16000},
    n_clipped_samples=0,
    n_reopened=1,
    n_failures=0,
    n_clients=0,
    rtf=0.1,
    drift_ppm=None,
    model=HELLO.model,
)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A page of a daemon whose every metric has a value."""
    window = Window(
        seq=4, t=5.0, source="mic", label="unknown", score=0.5, scores={}, llr=None, level_dbfs=-30.0, reject="unknown"
    )
    served = Served()
    served.publish(HELLO, structs.replace(status(1), health=HEALTH), start(2), end(3), window)
    served.wait_for_seq(4)
    yield served
    served.sink.close(1.0)


@pytest.fixture(scope="module")
def text(served: Served) -> str:
    """All metrics."""
    return served.ask("/metrics").text


def labels_of(text: str) -> dict[str, set[str]]:
    """The labels of each metric, by the name that queries use."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name: set(sample.labels) for sample in samples}


def queries() -> list[str]:
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    targets = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return targets + [each["definition"] for each in board["templating"]["list"] if each["type"] == "query"]


def test_dashboard_asks_only_for_metrics_and_labels_that_are_served(text: str) -> None:
    served = labels_of(text)
    for query in queries():
        names = re.findall(r"streamgmm_\w+", query)
        assert names
        assert set(names) <= served.keys(), query
        for words in re.findall(r"by \(([^)]*)\)", query):
            assert {word.strip() for word in words.split(",")} <= served[names[0]], query


def test_dashboard_shows_what_goes_wrong() -> None:
    shown = " ".join(queries())
    for name in ("source_ready", "level_dbfs", "events_total", "lost_seconds_total", "reopened_total", "event_delay"):
        assert f"streamgmm_{name}" in shown


def test_dashboard_has_no_panel_on_another() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


def test_prometheus_reads_the_metrics_and_finds_nothing_to_mend(text: str) -> None:
    done = subprocess.run(
        [prometheus("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_prometheus_collects_the_metrics(tmp_path: Path, served: Served) -> None:
    target = served.address.removeprefix("http://")
    jobs = [{"job_name": "streamgmm", "scrape_interval": "200ms", "static_configs": [{"targets": [target]}]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": jobs}))
    address = f"http://127.0.0.1:{free_port()}"
    command = [prometheus("prometheus"), f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}"]

    def level() -> list[Any]:
        try:
            found: list[Any] = ask(address, "/api/v1/query?query=streamgmm_level_dbfs").json["data"]["result"]
        except (OSError, KeyError, ValueError):
            return []
        return found

    listen = f"--web.listen-address={address.removeprefix('http://')}"
    with subprocess.Popen([*command, listen], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as collector:
        try:
            (sample,) = wait_until(level, "Prometheus has collected nothing")
        finally:
            collector.kill()
    assert sample["metric"]["source"] == "mic"
    assert float(sample["value"][1]) == -30.0
