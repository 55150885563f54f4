"""Anomalies in streams of samples: the same however they are cut, and seen by all who watch a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.analyser import Analyser
from streamgmm.clips.naming import folder_of
from streamgmm.dataset.dataset import read_dataset
from streamgmm.demo.recordings import render_clip, write_wav
from streamgmm.errors import ConfigError
from streamgmm.explanation.surroundings import surroundings_of
from streamgmm.listening.events import detections_of
from streamgmm.listening.recordings import classify_recording, detect, hops_of
from streamgmm.model.file import load_model, save_model
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.records import End, Hello, Record, Stamper, Start, Window, encode_json, numbered
from streamgmm.room.room import Room
from streamgmm.service.session import Setup, begin_session
from streamgmm.settings.config import Config
from streamgmm.settings.output import OutputSection
from streamgmm.stack import records_of_stack
from streamgmm.training.extraction.augmentation import coloured_noise
from streamgmm.training.trainer import train
from tests.narrowing import only, present
from tests.training.training_rig import quick_config, write_sounds

RATE_HZ = 16000
ROOM_S = 60
LABELS = ("bird_song", "phone_ring")
# A model of two sounds that was not shown the world takes most others for one of them.
NO_CLASS = {"min_llr": 1e5}
WATCHFUL = msgspec.convert({"decision": {"max_false_anomalies_per_hour": 5.0, **NO_CLASS}}, Config)
WITH_CLASSES = msgspec.convert({"decision": {"max_false_anomalies_per_hour": 5.0}}, Config)
WITH_WINDOWS = msgspec.structs.replace(WATCHFUL, output=OutputSection(windows=True, updates=True))
PLAIN = msgspec.convert({"decision": NO_CLASS}, Config)


@pytest.fixture(scope="module")
def room() -> np.ndarray:
    """A minute of noise that swells and ebbs."""
    rng = np.random.default_rng(0)
    t = np.arange(ROOM_S * RATE_HZ) / RATE_HZ
    swell = 1.0 + 0.3 * np.sin(2 * np.pi * t / 7.0)
    return (0.01 * swell * coloured_noise(len(t), RATE_HZ, -3.0, rng)).astype(np.float32)


@pytest.fixture(scope="module")
def model(room: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of two sounds and of the room."""
    folder = write_sounds(tmp_path_factory.mktemp("data"), LABELS, n_clips=4, rate_hz=RATE_HZ)
    (folder / "background").mkdir()
    write_wav(folder / "background" / "room.wav", room, RATE_HZ)
    trained = train(read_dataset(folder, min_clips=1), quick_config(n_noise_copies=0), name="hall").model
    assert trained.density is not None
    return save_model(trained, tmp_path_factory.mktemp("model") / "hall.sgm")


def strange_stream(room: np.ndarray, onsets_s: tuple[float, ...], duration_s: float = 30.0) -> np.ndarray:
    """The room, with a buzz of a second that nobody has taught."""
    samples = np.resize(room, int(duration_s * RATE_HZ)).astype(np.float32)
    t = np.arange(RATE_HZ) / RATE_HZ
    buzz = np.sign(np.sin(2 * np.pi * 137.0 * t)) * np.sin(2 * np.pi * 9.0 * t) ** 2
    for onset_s in onsets_s:
        first = int(onset_s * RATE_HZ)
        samples[first : first + RATE_HZ] += (0.3 * buzz[: len(samples) - first]).astype(np.float32)
    return samples


def lines(records: list[Record]) -> bytes:
    return b"".join(encode_json(record) for record in numbered(map(Stamper("test").stamp, records)))


def whole(model: Model, samples: np.ndarray, config: Config = WATCHFUL) -> list[Record]:
    pipeline = Pipeline(model, config, "run")
    return pipeline.push(samples) + pipeline.flush()


def test_a_sound_that_was_never_taught_is_reported(model: Model, room: np.ndarray) -> None:
    events = detections_of(whole(model, strange_stream(room, (10.0, 20.0))))
    assert [event.label for event in events] == ["anomaly", "anomaly"]
    assert [event.onset_s for event in events] == pytest.approx([10.0, 20.0], abs=0.4)


def test_without_the_setting_nothing_is(model: Model, room: np.ndarray) -> None:
    assert detections_of(whole(model, strange_stream(room, (10.0, 20.0)), PLAIN)) == []


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_records_are_bit_identical_for_any_block_sizes(model: Model, room: np.ndarray, data: st.DataObject) -> None:
    samples = strange_stream(room, (3.0,), 6.0)
    pipeline, records, start = Pipeline(model, WITH_WINDOWS, "run"), [], 0
    while start < len(samples):
        n = data.draw(st.integers(300, 40000))
        records += pipeline.push(samples[start : start + n])
        start += n
    found = lines(records + pipeline.flush())
    assert found == lines(whole(model, samples, WITH_WINDOWS))
    assert b'"label":"anomaly"' in found


def test_batches_and_the_file_path_score_like_a_stream(model: Model, room: np.ndarray, tmp_path: Path) -> None:
    samples = strange_stream(room, (3.0,), 8.0)
    write_wav(tmp_path / "stream.wav", samples, RATE_HZ)
    of_file = classify_recording(tmp_path / "stream.wav", model, WATCHFUL)
    events = [record for record in of_file if isinstance(record, Start | End)]
    # 16 bits of the file change the last digits of scores.
    expected = detections_of(whole(model, samples))
    assert [event.label for event in detections_of(events)] == [event.label for event in expected] == ["anomaly"]
    analyser, other = (Analyser(model, density=model.density) for _ in range(2))
    observed = [seen.features for seen in other.observe(samples)]
    for stream, batch in zip(analyser.push(samples), analyser_of(model).score_all(observed), strict=True):
        assert stream.strangeness == batch.strangeness or np.isnan(stream.strangeness)


def analyser_of(model: Model) -> Analyser:
    return Analyser(model, density=model.density)


def test_windows_show_the_score_and_the_threshold_of_anomalies(model: Model, room: np.ndarray) -> None:
    windows = only(whole(model, strange_stream(room, (3.0,), 6.0), WITH_WINDOWS), Window)
    assert list(windows[0].scores)[-1] == list(windows[0].thresholds)[-1] == "anomaly"
    assert max(window.scores["anomaly"] for window in windows) > 0.5
    assert {window.label for window in windows} <= {*model.labels, "silence", "unknown"}


def test_the_stream_names_the_label_from_the_first_record_on(model: Model, room: np.ndarray, tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav", room[:RATE_HZ], RATE_HZ)
    hellos = [only(classify_recording(tmp_path / "x.wav", model, config), Hello)[0] for config in (WATCHFUL, Config())]
    assert hellos[0].labels == [*model.labels, "anomaly"]
    assert hellos[1].labels == list(model.labels)


def test_a_gap_and_a_silence_are_no_anomaly(model: Model, room: np.ndarray) -> None:
    pipeline = Pipeline(model, WATCHFUL, "run")
    samples = strange_stream(room, (), 20.0)
    samples[RATE_HZ * 5 : RATE_HZ * 8] = 0.0
    records = pipeline.push(samples[: 10 * RATE_HZ]) + pipeline.gap(3 * RATE_HZ, "device_lost")
    assert only(records + pipeline.push(samples[10 * RATE_HZ :]) + pipeline.flush(), Start) == []


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_samples_are_no_anomaly(model: Model, room: np.ndarray, broken: float) -> None:
    samples = strange_stream(room, (), 10.0)
    samples[5 * RATE_HZ : 5 * RATE_HZ + 50] = broken
    assert only(whole(model, samples), Start) == []


def test_a_class_is_reported_by_its_own_name_alone(model: Model, room: np.ndarray) -> None:
    samples = np.resize(room, 40 * RATE_HZ).astype(np.float32)
    for i in range(4):
        clip = render_clip(LABELS[i % 2], np.random.default_rng((9, LABELS.index(LABELS[i % 2]), i)), RATE_HZ)
        samples[(5 + 8 * i) * RATE_HZ :][: len(clip)] += clip
    found, plain = (
        [event.label for event in detections_of(whole(model, samples, own))] for own in (WITH_CLASSES, Config())
    )
    assert set(plain) == set(LABELS)
    assert [label for label in found if label != "anomaly"] == plain
    assert found.count("anomaly") <= 1


def test_an_anomaly_is_not_learnt_as_the_room(model: Model, room: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    idle: list[bool] = []
    follow = Room.follow

    def watched(self: Room, *, is_idle: bool) -> None:
        idle.append(is_idle)
        follow(self, is_idle=is_idle)

    monkeypatch.setattr(Room, "follow", watched)
    pipeline = Pipeline(model, WATCHFUL, "run", learns_room=True)
    pipeline.push(strange_stream(room, (10.0,), 15.0))
    assert not all(idle)
    assert idle[0]


def test_an_open_anomaly_ends_when_its_label_is_switched_off(model: Model, room: np.ndarray) -> None:
    session = begin_session(Setup(model, WATCHFUL), "run")
    assert session.setup.labels[-1] == "anomaly"
    records = session.pipeline.push(strange_stream(room, (10.0,), 10.9))
    assert [start.label for start in only(records, Start)] == ["anomaly"]
    (end,) = session.pipeline.decider.cut(["anomaly"])
    assert isinstance(end, End)
    assert (end.label, end.reason) == ("anomaly", "switched_off")


def test_a_budget_of_its_own_makes_another_setup(model: Model) -> None:
    assert not Setup(model, WATCHFUL).is_same(Setup(model, Config()))


def test_evaluation_and_explanation_decide_on_the_classes_alone(model: Model, room: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    write_wav(path, strange_stream(room, (3.0,), 6.0), RATE_HZ)
    assert detect(hops_of(path, model, WATCHFUL), model, WATCHFUL) == []
    around = surroundings_of([strange_stream(room, (3.0,), 6.0)], model, WATCHFUL, 4.0)
    assert len(around.rules) == len(model.labels)


def test_a_model_without_a_background_is_refused_at_the_start(model: Model) -> None:
    with pytest.raises(ConfigError, match="max_false_anomalies_per_hour: the model 'hall' was not taught a background"):
        Pipeline(replace(model, density=None), WATCHFUL)


def test_a_model_is_the_same_before_and_after_it_was_saved(model: Model, room: np.ndarray, tmp_path: Path) -> None:
    saved = save_model(model, tmp_path / "again.sgm")
    assert saved.sha256 == model.sha256
    samples = strange_stream(room, (3.0,), 6.0)
    again = load_model(tmp_path / "again.sgm")
    assert lines(whole(again, samples)) == lines(whole(model, samples))
    assert present(again.density).tail == present(model.density).tail


def test_clips_of_anomalies_have_a_folder_of_their_own() -> None:
    assert folder_of("event", "anomaly") != folder_of("event", "dog")


def test_streams_that_are_analysed_together_have_the_anomalies_of_each_alone(model, room):
    hop = model.spec.hop_samples
    stream = strange_stream(room, (6.0, 14.0), duration_s=20.0)
    streams = [np.roll(stream, shift) for shift in (0, 4321, 2 * RATE_HZ)]
    pipelines = [Pipeline(model, WATCHFUL, "run") for _ in streams]
    found: list[list[Record]] = [[] for _ in streams]
    for first in range(0, len(stream) - hop + 1, hop):
        samples = [own[first : first + hop] for own in streams]
        for own, records in zip(found, records_of_stack(pipelines, samples), strict=True):
            own += records
    n_samples = len(stream) // hop * hop
    alone = [Pipeline(model, WATCHFUL, "run").push(own[:n_samples]) for own in streams]
    assert list(map(lines, found)) == list(map(lines, alone))
    assert all(any(isinstance(one, Start) and one.label == "anomaly" for one in own) for own in found)
