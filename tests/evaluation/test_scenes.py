from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given

from streamgmm.dataset.listing import Findings, Segment, Skipped
from streamgmm.errors import DataError, InputMissingError
from streamgmm.evaluation.scenes import (
    ONSET_THRESHOLDS,
    Scene,
    detect_in_scene,
    detect_in_scenes,
    read_scenes,
    with_threshold,
    without_overlaps,
)
from streamgmm.listening.events import Annotation, detections_of
from streamgmm.listening.recordings import classify_recording
from streamgmm.model.file import load_model
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection, LabelSection
from streamgmm.settings.training import TrainingSection
from tests.dataset.dataset_rig import write_classes, write_recording
from tests.listening.event_strategies import true_events

EVENTS = "a.wav\t2.0\t3.0\tbell\na.wav\t0.5\t1.5\tdog\na.wav\t0\t4\tbackground\nb.wav\t\t\t\n"


@pytest.fixture
def root(tmp_path):
    for name in "ab":
        write_recording(tmp_path / f"{name}.wav", ord(name), duration_s=4.0)
    (tmp_path / "events.tsv").write_text(EVENTS)
    return tmp_path


def one_config(**decision) -> Config:
    return Config(decision=DecisionSection(**decision))


def test_events_of_scenes_are_in_order_without_reserved_labels(root):
    bell, dog = Annotation("bell", 2.0, 3.0), Annotation("dog", 0.5, 1.5)
    assert read_scenes(root, Findings()) == [Scene(root / "a.wav", [dog, bell]), Scene(root / "b.wav", [])]


def test_scenes_of_one_fold(root):
    (root / "manifest.csv").write_text("path,label,fold\na.wav,mixed,1\nb.wav,mixed,2\n")
    assert [scene.path.name for scene in read_scenes(root, Findings(), ["1"])] == ["a.wav"]


def test_a_background_folder_is_a_scene_without_events_and_a_class_folder_is_skipped(tmp_path):
    write_classes(tmp_path, "background", "owl", n_clips=1)
    write_recording(tmp_path / "a.wav", 3, duration_s=4.0)
    (tmp_path / "a.txt").write_text("2.0\t3.0\tbell\n")
    findings = Findings()
    scenes = read_scenes(tmp_path, findings)
    assert [(scene.path.name, len(scene.events)) for scene in scenes] == [("a.wav", 1), ("0.wav", 0)]
    assert findings.skipped == [Skipped(tmp_path / "owl" / "0.wav", "no_onsets")]


def test_a_data_set_without_onsets_is_rejected(tmp_path):
    write_classes(tmp_path, "owl", "dog")
    with pytest.raises(DataError, match="no recording has labels with onsets and offsets") as refused:
        read_scenes(tmp_path, Findings())
    assert "\n" not in str(refused.value)


def test_a_data_set_without_events_is_rejected(root):
    (root / "events.tsv").write_text("a.wav\t\t\t\nb.wav\t0\t1\tbackground\n")
    with pytest.raises(DataError, match="no recording has an event, so there is nothing to find"):
        read_scenes(root, Findings())


def test_a_missing_data_set_is_rejected(tmp_path):
    with pytest.raises(InputMissingError):
        read_scenes(tmp_path / "none", Findings())


def test_events_of_one_label_that_overlap_are_one():
    stretches = [Segment("bell", 3, 4), Segment("bell", 1, 3.5), Segment("dog", 2, 3), Segment("bell", 4, 5)]
    assert without_overlaps(stretches) == [
        Annotation("bell", 1, 4),
        Annotation("dog", 2, 3),
        Annotation("bell", 4, 5),
    ]
    assert without_overlaps([Segment("bell", 2, 2)]) == []


@given(true_events(12))
def test_merging_keeps_what_sounds_when(stretches):
    merged = without_overlaps(Segment(*event) for event in stretches)
    assert [event.onset_s for event in merged] == sorted(event.onset_s for event in merged)
    for label in {event.label for event in stretches}:
        own = [event for event in merged if event.label == label]
        assert all(first.offset_s <= second.onset_s for first, second in pairwise(own))
        assert sounding(own) == sounding(event for event in stretches if event.label == label)


def sounding(events) -> set[int]:
    """The ticks of the grid of times at which one of `events` sounds."""
    return {tick for event in events for tick in range(round(event.onset_s * 64), round(event.offset_s * 64))}


def test_detections_equal_those_of_the_live_stream(demo_model, demo_scene):
    model = load_model(demo_model)
    result = detect_in_scene(demo_scene, model, Config())
    assert result.duration_s == 60.0
    assert result.found == detections_of(classify_recording(demo_scene, model, Config()))
    assert len(result.found) > 3


def test_each_threshold_gives_the_detections_of_a_stream_with_it(demo_model, demo_scene):
    model = load_model(demo_model)
    result = detect_in_scene(demo_scene, model, one_config(onset_threshold=0.6, offset_threshold=0.3))
    for i in (3, 12):
        config = one_config(onset_threshold=ONSET_THRESHOLDS[i], offset_threshold=ONSET_THRESHOLDS[i] / 2)
        assert result.found_by_threshold[i] == detections_of(classify_recording(demo_scene, model, config))
    assert result.found_by_threshold[3] != result.found_by_threshold[12]


def test_a_threshold_goes_before_those_of_single_labels_and_keeps_the_rest():
    config = one_config(onset_threshold=0.6, labels={"bell": LabelSection(onset_threshold=0.9, hangover_s=2.0)})
    decision = with_threshold(config, ["bell", "dog"], 0.3).decision
    assert {label: section.onset_threshold for label, section in decision.labels.items()} == {"bell": 0.3, "dog": 0.3}
    assert decision.labels["dog"].offset_threshold == pytest.approx(0.2)
    assert decision.labels["bell"].hangover_s == 2.0


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_unreadable_scenes_are_skipped_with_a_reason_in_any_process(demo_model, demo_scene, tmp_path, n_jobs):
    (tmp_path / "text.wav").write_text("no sound")
    scenes = [Scene(tmp_path / "text.wav", []), Scene(tmp_path / "none.wav", [])]
    config = Config(training=TrainingSection(n_jobs=n_jobs))
    answers = list(detect_in_scenes(scenes, load_model(demo_model), config))
    assert answers == [Skipped(tmp_path / "text.wav", "not_audio"), Skipped(tmp_path / "none.wav", "vanished")]
