"""Which records go to a sink, by label, type, source and score."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import structs

from streamgmm.errors import ConfigError
from streamgmm.records import AnyRecord, Bye, Dropped, Gap, Glimpse, Record, Update, Window, decode_json
from streamgmm.settings.loading import load_config
from streamgmm.settings.output import OutputSection, RecordType, SinkSection
from streamgmm.sinks.file import FileSink
from streamgmm.sinks.hub import Hub, make_sinks
from streamgmm.sinks.selection import Selection, warn_of_unknown_names
from streamgmm.sinks.sink import Message
from streamgmm.sinks.stdout import StdoutSink
from tests.sinks.sink_rig import HELLO, TIMEOUT_S, Client, LogLines, end, message, no_failure, start, status

GAP = Gap(t=1.0, source="mic", lost_samples=1, reason="suspend")
BYE = Bye(t=9.0, source="mic", reason="", captured_samples=0, analysed_samples=0, lost_samples=0, in_flight_samples=0)
DROPPED = Dropped(t=1.0, source="mic", count=1, from_seq=1)
ALWAYS = [HELLO, DROPPED, BYE]


def window(label: str) -> Window:
    return Window(t=1.0, source="mic", label=label, score=0.1, scores={}, llr=None, level_dbfs=-20.0)


def update(event_id: str = "e1", label: str = "door", score: float = 0.75) -> Update:
    return Update(t=3.0, source="mic", id=event_id, label=label, score=score, max_score=score, duration_s=1.0)


def scored(record: Any, score: float) -> Any:
    return structs.replace(record, **{"score" if hasattr(record, "score") else "max_score": score})


def admitted(selection: Selection, *records: Record) -> list[Record]:
    return [record for record in records if selection.admits(record)]


EVENT = [start(1), update(), end(2)]
OTHER = [start(3, "e2", "kettle"), update("e2", "kettle"), end(4, "e2", "kettle")]


def test_without_filters_everything_passes() -> None:
    records = [*ALWAYS, *EVENT, *OTHER, window("door"), GAP, status(1), scored(start(5), float("nan"))]
    assert admitted(Selection(), *records) == records


def test_labels_select_events_and_windows_and_nothing_else() -> None:
    others = [GAP, status(1), *ALWAYS]
    records = [*EVENT, *OTHER, window("door"), window("kettle"), *others]
    assert admitted(Selection(labels=["door"]), *records) == [*EVENT, window("door"), *others]


def test_types_select_every_record_even_hello_bye_and_dropped() -> None:
    records = [*ALWAYS, *EVENT, GAP]
    assert admitted(Selection(types=["start", "bye"]), *records) == [BYE, EVENT[0]]


def test_sources_select_all_but_hello_bye_and_dropped() -> None:
    yard = [structs.replace(record, source="yard") for record in (*ALWAYS, *EVENT, GAP)]
    selection = Selection(sources=["mic"])
    assert admitted(selection, *ALWAYS, *EVENT, *yard) == [*ALWAYS, *EVENT, *yard[:3]]


def test_an_end_is_delivered_exactly_if_its_start_was() -> None:
    weak, strong = start(1), start(2, "e2")
    records = [scored(weak, 0.6), scored(strong, 0.9), scored(end(3), 1.0), scored(end(4, "e2"), 0.1)]
    assert admitted(Selection(min_score=0.8), *records) == [records[1], records[3]]


def test_an_update_needs_the_score_itself_and_its_start() -> None:
    followed, orphan = [scored(start(1), 0.9), update(score=0.5), update(score=0.85)], update("e2", score=1.0)
    assert admitted(Selection(min_score=0.8), *followed, orphan) == [followed[0], followed[2]]


def test_without_starts_an_end_is_selected_by_its_greatest_score() -> None:
    records = [scored(start(1), 0.9), scored(end(2), 0.7), scored(end(3, "e2"), 0.85)]
    assert admitted(Selection(types=["end"], min_score=0.8), *records) == [records[2]]


def test_same_id_of_two_sources_is_two_events() -> None:
    records = [scored(start(1), 0.9), structs.replace(scored(start(2), 0.1), source="yard")]
    ends = [structs.replace(end(3), source="yard"), end(4)]
    assert admitted(Selection(min_score=0.8), *records, *ends) == [records[0], ends[1]]


def test_new_run_of_a_source_forgets_its_open_events() -> None:
    assert admitted(Selection(labels=["door"]), start(1), HELLO, end(2)) == [start(1), HELLO]


def test_without_filters_an_end_needs_no_start() -> None:
    assert admitted(Selection(), end(2), update()) == [end(2), update()]


@pytest.mark.parametrize(("types", "is_possible"), [([], True), (["hello", "status"], True), (["status"], False)])
def test_status_can_be_asked_where_hello_and_status_are_wanted(types: list[RecordType], is_possible: bool) -> None:
    assert Selection(types=types).admits_greeting is is_possible


def test_the_types_of_the_settings_are_those_of_the_records() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(AnyRecord)]
    assert set(get_args(RecordType)) == set(tags)


def test_filters_come_before_the_queue(tmp_path: Path) -> None:
    path = tmp_path / "f"
    own = SinkSection(uri=f"file://{path}", labels=["kettle"], records=["start"])
    (sink,) = make_sinks(OutputSection(sinks=[own], queue_records=16), is_live=False)
    hub = Hub([sink])
    hub.open(no_failure)
    for record in (HELLO, *(100 * EVENT), OTHER[0], BYE):
        hub.publish(record)
    hub.close(TIMEOUT_S)
    assert [(type(record).__name__, record.seq) for record in map(decode_json, path.read_text().splitlines())] == [
        ("Start", 301)
    ]


def test_a_format_of_its_own_beats_that_of_all(tmp_path: Path) -> None:
    own = SinkSection(uri=f"file://{tmp_path}/f", format="label")
    sinks = make_sinks(OutputSection(sinks=["stdout:", own]))
    assert [type(sink) for sink in sinks] == [StdoutSink, FileSink]
    sinks[1].open(no_failure)
    sinks[1].publish(message(start(1)))
    sinks[1].close(TIMEOUT_S)
    assert (tmp_path / "f").read_text() == "door\n"


def test_unwanted_records_are_not_in_the_greeting_of_a_socket(tmp_path: Path) -> None:
    uri = f"unix://{tmp_path}/s"
    hub = Hub(make_sinks(OutputSection(sinks=[SinkSection(uri=uri, records=["start"])])))
    hub.greet_with(lambda: [status(0)])
    hub.open(no_failure)
    for record in (HELLO, status(1), start(2)):
        hub.publish(record)
    with Client(uri) as client:
        assert [record.seq for record in client.read(1)] == [2]
        hub.close(TIMEOUT_S)
        assert client.read_to_end() == b""


def test_a_hole_is_not_announced_where_only_other_types_are_wanted(tmp_path: Path) -> None:
    selection = Selection(types=["start"])
    announce = selection.announced_with(lambda record: b"x")
    assert announce(DROPPED) is None
    assert Selection().announced_with(lambda record: b"x")(DROPPED) == b"x"


def test_E38_setting_of_another_kind_is_refused() -> None:
    own = SinkSection(uri="tcp://127.0.0.1:0", format="label")
    with pytest.raises(ConfigError, match=r"'tcp://127.0.0.1:0': format is not a setting of tcp://HOST:PORT"):
        make_sinks(OutputSection(sinks=[own]))


def test_a_uri_and_a_mapping_of_it_are_the_same_sink_twice() -> None:
    with pytest.raises(ConfigError, match="'stdout:' is given twice"):
        make_sinks(OutputSection(sinks=["stdout:", SinkSection(uri="stdout:")]))


def load(tmp_path: Path, sinks: str) -> OutputSection:
    (tmp_path / "config.yaml").write_text(f"output:\n  sinks:\n{sinks}")
    return load_config(tmp_path / "config.yaml").config.output


def test_settings_name_sinks_as_uris_and_as_mappings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    sinks = "    - 'stdout:'\n    - file://~/g\n    - uri: file://~/f\n      labels: [door]\n      min_score: 0.8\n"
    assert load(tmp_path, sinks).sinks == [
        "stdout:",
        "file:///home/me/g",
        SinkSection(uri="file:///home/me/f", labels=["door"], min_score=0.8),
    ]


@pytest.mark.parametrize(
    ("sinks", "problem"),
    [
        (
            "    - uri: 'stdout:'\n      lables: [a]\n",
            ":4:7: output.sinks[0].lables: unknown key, did you mean labels",
        ),
        ("    - labels: [a]\n", "output.sinks[0]: uri is missing"),
        (
            "    - uri: 'stdout:'\n      records: [starts]\n",
            "output.sinks[0].records[0]: got 'starts', wanted bye",
        ),
        ("    - uri: 'stdout:'\n      min_score: 2\n", "output.sinks[0].min_score: got 2, wanted a number from 0 to 1"),
        ("    - stdout:\n", ":3:7: output.sinks[0]: got a mapping, wanted text; quote 'stdout:'"),
        ("    - 7\n", "output.sinks[0]: got 7, wanted text, or a mapping"),
    ],
)
def test_E38_mistake_in_a_mapping_is_refused_with_its_place(tmp_path: Path, sinks: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, sinks)
    assert problem in str(caught.value)


def test_E39_unknown_label_of_a_filter_is_a_warning(log: LogLines) -> None:
    own = SinkSection(uri="stdout:", labels=["dor", "door", "silence", "zebra"])
    output = OutputSection(sinks=[own, "tcp://127.0.0.1:0"])
    warn_of_unknown_names(output, HELLO.labels, ["kitchen"])
    assert log.wait_for("dor") == "output.sinks: stdout:: no model has the label 'dor', did you mean door?"
    assert log.wait_for("zebra").endswith("'zebra', it selects nothing")


def test_E39_unknown_source_of_a_filter_is_a_warning(log: LogLines) -> None:
    output = OutputSection(sinks=[SinkSection(uri="stdout:", sources=["kitchn", "kitchen", "yard"])])
    warn_of_unknown_names(output, HELLO.labels, ["kitchen", "hall"])
    assert log.wait_for("kitchn") == "output.sinks: stdout:: no source has the name 'kitchn', did you mean kitchen?"
    assert log.wait_for("yard").endswith("'yard', it selects nothing")


@pytest.mark.parametrize("types", [["start"], ["end"], ["start", "end"], []])
def test_no_event_is_kept_after_its_end(types: list[RecordType]) -> None:
    selection = Selection(labels=["door"], types=types, min_score=0.5)
    admitted(selection, *(record for i in range(10) for record in (start(0, f"e{i}"), end(0, f"e{i}"))))
    assert not selection._open_events


def test_a_greeting_forgets_an_event_whose_end_is_not_wanted(tmp_path: Path) -> None:
    uri = f"unix://{tmp_path}/s"
    hub = Hub(make_sinks(OutputSection(sinks=[SinkSection(uri=uri, records=["start"])])))
    hub.open(no_failure)
    for record in (start(0), end(1), start(2, "e2")):
        hub.publish(record)
    with Client(uri) as client:
        assert [record.seq for record in client.read(1)] == [2]
    hub.close(TIMEOUT_S)


def test_glimpses_go_to_sinks_that_show_every_hop_and_take_no_number() -> None:
    glimpse = Glimpse(t=1.0, source="mic", label="door", score=0.1, scores={}, llr=None, level_dbfs=-20.0)
    assert admitted(Selection(), glimpse) == []
    assert admitted(Selection(shows_every_hop=True), glimpse) == [glimpse]
    assert admitted(Selection(shows_every_hop=True, labels=["kettle"]), glimpse) == []
    assert message(glimpse).line == message(window("door")).line


def test_glimpses_repeat_the_number_before() -> None:
    class Kept(StdoutSink):
        def publish(self, message: Message) -> None:
            seqs.append(message.record.seq)

    seqs: list[int] = []
    glimpse = Glimpse(t=1.0, source="mic", label="door", score=0.1, scores={}, llr=None, level_dbfs=-20.0)
    hub = Hub([Kept()])
    for record in (HELLO, glimpse, glimpse, start(0), glimpse, end(0)):
        hub.publish(record)
    assert seqs == [0, 0, 0, 1, 1, 2]
