"""Several sources on the command line and in the settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamgmm.records import Bye, End, Hello, Start, decode_json
from tests.cli.cli_rig import run_cli, spawn_cli


def ended(*arguments: object) -> tuple[str, str]:
    process = spawn_cli(*arguments)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out, err


def test_sources_by_name_are_each_as_alone(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    # One place is one source, so the second is a link to it.
    (tmp_path / "right.wav").symlink_to(demo_scene)
    right = f"{{uri: 'file:{tmp_path}/right.wav', decision: {{onset_threshold: 0.99}}}}"
    settings = tmp_path / "c.yaml"
    settings.write_text(f"sources:\n  left: file:{demo_scene}\n  right: {right}\n")
    out, _ = ended("run", "-m", demo_model, "-c", settings)
    records = [decode_json(line) for line in out.splitlines()]
    alone, _ = ended("run", "-m", demo_model, "-s", f"file:{demo_scene}")
    events = [record.label for record in map(decode_json, alone.splitlines()) if isinstance(record, Start)]
    found = {
        name: [r.label for r in records if isinstance(r, Start) and r.source == name] for name in ("left", "right")
    }
    assert found["left"] == events
    assert 0 < len(found["right"]) <= len(events)
    assert [record.source for record in records if isinstance(record, Hello)] == ["left", "right"]
    assert {record.source for record in records if isinstance(record, Bye)} == {"left", "right"}
    assert len([record for record in records if isinstance(record, End)]) == sum(map(len, found.values()))


def test_the_command_line_replaces_sources_of_the_settings(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("sources: {a: mic, b: 'mic:2'}\n")
    out, _ = ended("run", "-m", demo_model, "-c", tmp_path / "c.yaml", "-s", f"file:{demo_scene}")
    assert {decode_json(line).source for line in out.splitlines()} == {f"file:{demo_scene}"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-s", "a=mic", "-s", "b=mic"], 78, "sources.b: mic is already the source 'a' (one microphone twice;"),
        (["-s", "a=mic:USB", "-s", "b=mic:usb"], 78, "sources.b: mic:usb is already the source 'a'"),
        (["--set", "sources.a={uri: mic, channel: 1}", "--set", "sources.b={uri: mic, channel: 1}"], 78, "twice"),
        (["--set", "sources.a={uri: pcm:-, channel: 1}", "--set", "sources.b=pcm:-"], 78, "is already the source 'a'"),
        (["-s", "a=pcm:-", "-s", "b=pcm:-"], 78, "sources.b: pcm:- is already the source 'a'"),
        (["-s", "a=file:x.wav", "-s", "b=file:./x.wav"], 78, "sources.b: file:./x.wav is already the source 'a'"),
        (["-s", "a=file:/x.wav", "-s", "b=file:/../x.wav"], 78, "sources.b: file:/../x.wav is already the source 'a'"),
        (["-s", "a=pcm+unix:///x/s", "-s", "b=pcm+unix:///x//s"], 78, "sources.b: pcm+unix:///x//s is already"),
        (["-s", "file:x.wav", "-k", "file://./x.wav"], 78, "file:x.wav is a source, and file://x.wav a sink"),
        (
            ["-s", "../x=file:a", "-s", "b=file:c"],
            64,
            "several sources need a name each (e.g. --source kitchen=file:a)",
        ),
        (
            ["-s", "a=pcm+unix:///x/s", "-s", "b=mic", "-k", "unix:///x/s"],
            78,
            "unix:///x/s a sink",
        ),
        (["-s", "file:x.wav", "-k", "file://x.wav"], 78, "file:x.wav is a source, and file://x.wav a sink"),
        (["-s", "a=mic", "-s", "b=file:nowhere.wav"], 66, "nowhere.wav: there is no such file"),
        (["-s", "a=mik:USB", "-s", "b=mic"], 64, "mik:USB: is not a source (did you mean mic?"),
        (["-s", "a b=mic", "-s", "c=mic:2"], 78, "sources.a b: wanted 1 to 64 letters"),
        (["-s", "a=mic", "--set", "sources.a=mic:2"], 78, "sources.a is also given as"),
    ],
)
def test_C20_sources_that_make_no_sense_are_refused_before_any_starts(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    found, out, err = run_cli(capsys, "run", *arguments)
    assert (found, out) == (code, "")
    assert says in err


def test_a_hundred_sources(demo_model: Path, demo_scene: Path, tmp_path: Path) -> None:
    head = demo_scene.read_bytes()[: 44 + 2 * 16000]
    sources = []
    for i in range(100):
        (tmp_path / f"{i}.wav").write_bytes(head)
        sources += ["-s", f"s{i}=file:{tmp_path}/{i}.wav"]
    out, _ = ended("run", "-m", demo_model, *sources)
    records = [decode_json(line) for line in out.splitlines()]
    byes = [record for record in records if isinstance(record, Bye)]
    assert len(byes) == 100
    assert all(bye.captured_samples == bye.analysed_samples == 16000 for bye in byes)
    assert [record.seq for record in records] == list(range(len(records)))


def test_the_schema_accepts_what_the_loader_accepts(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_cli(capsys, "config", "schema")
    assert (code, err) == (0, "")
    schema = json.loads(out)
    assert schema["$defs"]["Config"]["properties"].keys() >= {"source", "sources", "output", "decision"}
    assert {"type": "string", "minLength": 1} in schema["$defs"]["NamedSourceSection"]["anyOf"]
