from __future__ import annotations

import json
import shutil

import pytest

from streamgmm.demo.scene import make_scene
from tests.cli.cli_rig import run_cli
from tests.conftest import DEMO_LABELS, DEMO_RATE_HZ, SCENE_S

QUICK = ("--set", "training.n_jobs=1")


@pytest.fixture(scope="module")
def scenes(demo_scene, tmp_path_factory):
    """The scene of a minute with its list of events, and another recording without any."""
    root = tmp_path_factory.mktemp("scenes")
    shutil.copy(demo_scene, root / "scene.wav")
    events = [e for e in make_scene(SCENE_S, 0, DEMO_RATE_HZ).events if e.label in DEMO_LABELS]
    lines = [f"scene.wav\t{e.onset_s}\t{e.offset_s}\t{e.label}\n" for e in events]
    (root / "events.tsv").write_text("filename\tonset\toffset\tevent_label\n" + "".join(lines))
    return root


def test_a_table_and_the_same_numbers_as_json(capsys, scenes, demo_model, tmp_path):
    report = tmp_path / "e.json"
    code, out, err = run_cli(capsys, "evaluate", scenes, "--model", demo_model, "--events", "--json", report, *QUICK)
    assert (code, err) == (0, "")
    result = json.loads(report.read_text())
    assert result["labels"] == sorted(DEMO_LABELS) == sorted(result["per_class"])
    rows = [line.replace("│", " ").split() for line in out.splitlines()]
    for label in DEMO_LABELS:
        scores = result["per_class"][label]
        counts = [str(scores["event_based"][name]) for name in ("n_true", "n_found", "n_right")]
        assert [label, *counts, f"{scores['event_f1']:.1%}", f"{scores['segment_f1']:.1%}"] in [r[:6] for r in rows]
    assert f"events: F1 {result['event_f1']:.1%}, error rate {result['error_rate']:.2f}" in out
    assert f"false alarms {result['false_alarms_per_hour']:.1f} an hour, PSDS {result['psds']:.2f}, 1 rec" in out
    assert result["criteria"] == {"segment_s": 0.1, "onset_collar_s": 0.5, "offset_collar_s": None}


def test_collars_and_segments_can_be_set_and_a_wider_collar_finds_no_less(capsys, scenes, demo_model, tmp_path):
    results = []
    for collar in ("0.001,0.001", "2"):
        report = tmp_path / f"{collar}.json"
        options = ("--events", "--collar", collar, "--segment", "1", "--json", report)
        assert run_cli(capsys, "evaluate", scenes, "--model", demo_model, *options, *QUICK).code == 0
        results.append(json.loads(report.read_text()))
    narrow, wide = results
    assert narrow["criteria"] == {"segment_s": 1.0, "onset_collar_s": 0.001, "offset_collar_s": 0.001}
    assert wide["criteria"] == {"segment_s": 1.0, "onset_collar_s": 2.0, "offset_collar_s": None}
    assert narrow["event_f1"] < wide["event_f1"]
    assert narrow["segment_f1"] == wide["segment_f1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--events"], "--events needs --model"),
        (["--model", "m.sgm", "--collar", "1"], "--collar and --segment are for --events"),
        (["--model", "m.sgm", "--segment", "1"], "--collar and --segment are for --events"),
        (["--model", "m.sgm", "--events", "--collar", "wide"], "--collar 'wide' is not a time"),
        (["--model", "m.sgm", "--events", "--collar", "0"], "--collar '0' is not a time"),
        (["--model", "m.sgm", "--events", "--collar", "1,"], "--collar '' is not a time"),
        (["--model", "m.sgm", "--events", "--collar", "1,nan"], "--collar 'nan' is not a time"),
        (["--model", "m.sgm", "--events", "--segment", "-1"], "--segment '-1' is not a time"),
    ],
)
def test_options_that_make_no_sense_are_refused(capsys, tmp_path, arguments, says):
    code, out, err = run_cli(capsys, "evaluate", tmp_path, *arguments)
    assert (code, out, err.count("\n")) == (64, "", 1)
    assert says in err


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ("scene.wav\t1\t2\towl\n", "has labels that the model does not have: 'owl'"),
        ("scene.wav\t\t\t\n", "no recording has an event, so there is nothing to find"),
        ("scene.wav\t16000\t32000\tsiren\n", "no recording has an event before its end"),
        ("gone.wav\t1\t2\tsiren\n", "none of its recordings can be read"),
    ],
)
def test_scenes_that_cannot_be_scored_are_refused_in_one_line(capsys, scenes, demo_model, tmp_path, events, says):
    shutil.copy(scenes / "scene.wav", tmp_path)
    (tmp_path / "events.tsv").write_text(events)
    code, out, err = run_cli(capsys, "evaluate", tmp_path, "--model", demo_model, "--events", *QUICK)
    assert (code, out, err.count("\n")) == (65, "", 1)
    assert says in err


def test_clips_without_onsets_are_refused_in_one_line(capsys, demo_scene, demo_model, tmp_path):
    for label in ("siren", "doorbell"):
        (tmp_path / label).mkdir()
        shutil.copy(demo_scene, tmp_path / label)
    code, out, err = run_cli(capsys, "evaluate", tmp_path, "--model", demo_model, "--events", *QUICK)
    assert (code, out, err.count("\n")) == (65, "", 1)
    assert "no recording has labels with onsets and offsets" in err


def test_a_fold_is_chosen_by_name(capsys, scenes, demo_model, tmp_path):
    shutil.copytree(scenes, tmp_path, dirs_exist_ok=True)
    shutil.copy(scenes / "scene.wav", tmp_path / "other.wav")
    (tmp_path / "manifest.csv").write_text("path,label,fold\nscene.wav,mixed,1\nother.wav,background,2\n")
    one = run_cli(capsys, "evaluate", tmp_path, "--model", demo_model, "--events", "--fold", "1", *QUICK).out
    assert ", 1 recordings, 1.0 minutes" in one
    code, _, err = run_cli(capsys, "evaluate", tmp_path, "--model", demo_model, "--events", "--fold", "2", *QUICK)
    assert (code, "no recording has an event" in err) == (65, True)
    code, _, err = run_cli(capsys, "evaluate", tmp_path, "--model", demo_model, "--events", "--fold", "9", *QUICK)
    assert (code, err.count("\n")) == (65, 1)
    assert "has no fold '9' (there are 1, 2)" in err
