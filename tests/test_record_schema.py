"""The schema of the records: what a run writes is valid, and what is not a record is not."""

from __future__ import annotations

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from streamgmm import records as r
from streamgmm.audio.source import Block
from streamgmm.record_schema import records_schema
from streamgmm.service.daemon import Daemon
from streamgmm.settings.config import Config
from streamgmm.settings.output import OutputSection
from streamgmm.sinks.hub import Hub
from tests.cli.cli_rig import run_cli
from tests.service.daemon_rig import planned
from tests.service.service_rig import FakeSource, KeepingSink, noise
from tests.service.test_reload import EAGER, MODEL, OTHER
from tests.test_records import EXAMPLES

GOLDEN = Path(__file__).parent.parent / "docs" / "records.schema.json"
VALIDATOR = Draft202012Validator(records_schema())
CHATTY = Config(decision=EAGER, output=OutputSection(windows=True, updates=True, heartbeat_s=0.5))


def tree_of(record: r.Record) -> Any:
    return json.loads(r.encode_json(record))


def test_the_schema_is_what_the_file_says(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_cli(capsys, "config", "schema", "records").out
    if os.environ.get("STREAMGMM_REGENERATE"):
        GOLDEN.write_text(shown, encoding="utf-8")
    assert shown == GOLDEN.read_text(encoding="utf-8"), "if this is meant, run once with STREAMGMM_REGENERATE=1"


def test_it_is_a_schema_itself() -> None:
    Draft202012Validator.check_schema(records_schema())


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_type_of_record_is_valid(name: str) -> None:
    VALIDATOR.validate(tree_of(EXAMPLES[name][0]))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_record_that_lacks_a_key_or_has_text_for_a_time_is_not(name: str) -> None:
    whole = tree_of(EXAMPLES[name][0])
    for key in whole:
        assert not VALIDATOR.is_valid({other: value for other, value in whole.items() if other != key}), key
    assert not VALIDATOR.is_valid({**whole, "t": "late"})
    assert not VALIDATOR.is_valid({**whole, "type": "sneeze"})
    assert VALIDATOR.is_valid({**whole, "colour": "blue"})


def test_a_measured_number_may_be_null_and_a_time_may_not() -> None:
    window = copy.copy(EXAMPLES["window"][0])
    deaf = msgspec.structs.replace(window, level_dbfs=math.nan, score=math.inf, scores={"a": math.nan})
    VALIDATOR.validate(tree_of(deaf))
    assert not VALIDATOR.is_valid({**tree_of(window), "t": None})
    assert not VALIDATOR.is_valid({**tree_of(window), "thresholds": {"a": None}})


def test_whatever_a_daemon_writes_is_valid() -> None:
    daemon: Daemon

    def reload() -> None:
        daemon.adopt([planned(OTHER, CHATTY, FakeSource())])

    lossy = Block(noise(8000), 400, "input_overflow")
    sink = KeepingSink()
    source = FakeSource(8000, lossy, reload, 8000, lambda: daemon.stop("enough"), "hang")
    daemon = Daemon([planned(MODEL, CHATTY, source)], Hub([sink]), run_id="r")
    daemon.run()
    for record in sink.records:
        VALIDATOR.validate(tree_of(record))
    # `dropped` and `error` are for one subscriber alone: their examples are checked above.
    assert {tree_of(record)["type"] for record in sink.records} == set(EXAMPLES) - {"dropped", "error"}
