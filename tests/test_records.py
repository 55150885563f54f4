"""The stream that other programs read: its names are a contract."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest

from streamgmm import records as r

ENVELOPE = {"type", "v", "seq", "time", "t", "source"}
MODEL = r.ModelInfo(name="m", version="1", sha256="0" * 64)

HEALTH = r.Health(
    level_dbfs=-30.0,
    uptime_s=5.0,
    captured_samples=9,
    analysed_samples=5,
    in_flight_samples=3,
    lost_samples={"overload": 1, "suspend": 7},
    n_clipped_samples=0,
    n_reopened=1,
    n_failures=0,
    n_clients=2,
    rtf=0.01,
    drift_ppm=None,
    model=MODEL,
)

EXAMPLES: dict[str, tuple[r.Record, set[str]]] = {
    "hello": (
        r.Hello(
            t=0.0, run_id="x", version="1", model=MODEL, labels=["a"], sample_rate_hz=8000, window_s=1.0, hop_s=0.1
        ),
        {"run_id", "version", "model", "labels", "sample_rate_hz", "window_s", "hop_s", "sources", "is_required"},
    ),
    "start": (
        r.Start(t=1.0, id="x-1", label="a", score=0.7, llr=3.0, threshold=0.6, start_t=0.5),
        {"id", "label", "score", "llr", "threshold", "start_time", "start_t"},
    ),
    "update": (
        r.Update(t=1.0, id="x-1", label="a", score=0.7, max_score=0.8, duration_s=0.5),
        {"id", "label", "score", "max_score", "duration_s"},
    ),
    "end": (
        r.End(
            t=2.0,
            id="x-1",
            label="a",
            start_t=0.5,
            end_t=1.5,
            duration_s=1.0,
            max_score=0.9,
            mean_score=0.8,
            reason="offset",
        ),
        {
            *{"id", "label", "start_time", "end_time", "start_t", "end_t", "duration_s"},
            *{"max_score", "mean_score", "reason", "gap", "clip"},
        },
    ),
    "window": (
        r.Window(
            t=1.0,
            label="a",
            score=0.7,
            scores={"a": 0.7},
            llr=None,
            level_dbfs=-30.0,
            thresholds={"a": 0.6},
            spectrum_db=[-31, -60],
        ),
        {"label", "score", "scores", "llr", "level_dbfs", "reject", "thresholds", "spectrum_db"},
    ),
    "gap": (r.Gap(t=1.0, lost_samples=5, reason="suspend"), {"lost_samples", "reason"}),
    "status": (
        r.Status(t=1.0, state="ok", detail="", health=HEALTH),
        {"state", "detail", "health", "paused", "paused_s", "off"},
    ),
    "dropped": (r.Dropped(t=1.0, count=2, from_seq=7), {"count", "from_seq"}),
    "heartbeat": (
        r.Heartbeat(t=1.0, captured_samples=3, analysed_samples=2, lost_samples=0),
        {"captured_samples", "analysed_samples", "lost_samples"},
    ),
    "model": (
        r.ModelChanged(t=1.0, model=MODEL, labels=["a"], window_s=1.0, hop_s=0.1),
        {"model", "labels", "window_s", "hop_s"},
    ),
    "error": (r.Error(t=1.0, message="m"), {"message"}),
    "bye": (
        r.Bye(t=1.0, reason="x", captured_samples=3, analysed_samples=2, lost_samples=0, in_flight_samples=1),
        {"reason", "captured_samples", "analysed_samples", "lost_samples", "in_flight_samples"},
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_key_of_every_record_is_held(name: str) -> None:
    record, keys = EXAMPLES[name]
    line = r.encode_json(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    tree = json.loads(line)
    assert set(tree) == ENVELOPE | keys
    assert tree["type"] == name
    assert tree["v"] == 1


def test_every_key_of_the_health_is_held() -> None:
    assert set(json.loads(r.encode_json(EXAMPLES["status"][0]))["health"]) == {
        *{"level_dbfs", "uptime_s", "captured_samples", "analysed_samples", "in_flight_samples", "lost_samples"},
        *{"n_clipped_samples", "n_reopened", "n_failures", "n_clients", "rtf", "drift_ppm", "model"},
        *{"room_s", "room_weight"},
    }


def test_no_record_is_left_out() -> None:
    assert {example[0].__class__ for example in EXAMPLES.values()} == set(r.Record.__subclasses__())


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_written_can_be_read(name: str) -> None:
    record, _ = EXAMPLES[name]
    assert r.decode_json(r.encode_json(record)) == record


def test_unknown_keys_are_ignored_and_nonsense_is_refused() -> None:
    line = r.encode_json(EXAMPLES["gap"][0]).replace(b"{", b'{"colour":"blue",', 1)
    assert r.decode_json(line) == EXAMPLES["gap"][0]
    with pytest.raises(msgspec.DecodeError):
        r.decode_json(b"{}")


def test_E25_a_number_that_is_not_finite_becomes_null() -> None:
    start = r.Start(t=1.0, id="x", label="a", score=float("nan"), llr=float("inf"), threshold=0.5, start_t=0.5)
    tree = json.loads(r.encode_json(start), parse_constant=pytest.fail)
    assert tree["score"] is None
    assert tree["llr"] is None


def test_E26_a_name_that_is_not_utf8_is_written_with_escapes() -> None:
    stamped = r.Stamper("caf\udce9.wav").stamp(EXAMPLES["gap"][0])
    assert json.loads(r.encode_json(stamped))["source"] == "caf\\udce9.wav"


def test_stream_is_numbered_in_order() -> None:
    records = [EXAMPLES["start"][0], EXAMPLES["end"][0]]
    assert [record.seq for record in r.numbered(records)] == [0, 1]
    assert [record.seq for record in r.numbered(records, first_seq=7)] == [7, 8]


def test_stamper_dates_and_leaves_the_number() -> None:
    stamper = r.Stamper("mic", datetime(2026, 1, 31, 12, 0, tzinfo=UTC))
    first, second = stamper.stamp(EXAMPLES["start"][0]), stamper.stamp(EXAMPLES["end"][0])
    assert (first.seq, second.seq) == (EXAMPLES["start"][0].seq, EXAMPLES["end"][0].seq)
    assert first.source == "mic"
    assert first.time == "2026-01-31T12:00:01.000Z"
    assert first.start_time == "2026-01-31T12:00:00.500Z"  # type: ignore[attr-defined]
    assert second.end_time == "2026-01-31T12:00:01.500Z"  # type: ignore[attr-defined]


def test_stream_time_of_a_recording_that_is_played_faster_passes_sooner() -> None:
    stamper = r.Stamper("file", datetime(2026, 1, 31, 12, 0, tzinfo=UTC), pace=4.0)
    assert stamper.time_of(10.0) == "2026-01-31T12:00:02.500Z"


def test_a_recording_without_a_date_has_none() -> None:
    stamped = r.Stamper("file").stamp(EXAMPLES["end"][0])
    assert stamped.time is None
    assert stamped.end_time is None  # type: ignore[attr-defined]
