from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile

from streamgmm.audio.choosing import plan_source
from streamgmm.audio.reading import RecordingError
from streamgmm.listening.clips import decide_clip
from streamgmm.listening.events import detections_of
from streamgmm.listening.recordings import (
    classify_recording,
    decide_recording,
    detect,
    hops_of,
    with_progress,
)
from streamgmm.records import Bye, Hello, encode_json
from streamgmm.service.context import ChannelPlan
from streamgmm.service.daemon import Daemon
from streamgmm.service.greeting import file_run_id
from streamgmm.service.session import Setup
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection
from streamgmm.settings.output import OutputSection
from streamgmm.settings.source import SourceSection
from streamgmm.sinks.hub import Hub
from tests.model.model_rig import make_model
from tests.service.service_rig import KeepingSink, check_conservation, noise

CONFIG = Config(output=OutputSection(windows=True, updates=True))
N_SAMPLES = 30_001


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "dog.wav", np.stack([noise(N_SAMPLES), -noise(N_SAMPLES)], axis=1), 8000)
    return tmp_path / "dog.wav"


def open_files() -> list[Path]:
    return [descriptor.resolve() for descriptor in Path("/proc/self/fd").iterdir()]


def config_of(channel: int | Literal["mean"]) -> Config:
    return Config(output=CONFIG.output, source=SourceSection(channel=channel))


@pytest.mark.parametrize("channel", [0, 1, "mean"])
def test_the_records_are_those_of_a_daemon(recording: Path, channel: int | Literal["mean"]) -> None:
    model, config, sink = make_model(), config_of(channel), KeepingSink()
    run_id = file_run_id(model, f"file:{recording}")
    source = plan_source(SourceSection(uri=f"file:{recording}", channel=channel))
    Daemon([ChannelPlan(source, Setup(model, config))], Hub([sink]), run_id=run_id).run()
    lines = [encode_json(record) for record in classify_recording(recording, model, config)]
    assert lines == [encode_json(record) for record in sink.records]
    assert len(lines) > N_SAMPLES // model.spec.hop_samples
    check_conservation(sink.records[-1], N_SAMPLES)


def test_records_are_dated_if_the_time_of_the_recording_is_given(recording: Path) -> None:
    origin = datetime(2026, 1, 31, 12, tzinfo=UTC)
    records = list(classify_recording(recording, make_model(), CONFIG, origin=origin))
    assert records[0].time == "2026-01-31T12:00:00.000Z"
    assert isinstance(records[-1], Bye)
    assert records[-1].time == "2026-01-31T12:00:03.750Z"


def test_B14_a_missing_recording_gives_one_error_and_no_record(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        next(classify_recording(tmp_path / "none.wav", make_model(), CONFIG))


def test_closing_the_records_closes_the_file(recording: Path) -> None:
    records = classify_recording(recording, make_model(), CONFIG)
    assert isinstance(next(records), Hello)
    assert recording in open_files()
    assert isinstance(records, Generator)
    records.close()
    assert recording not in open_files()


def test_the_answer_to_a_recording_is_that_of_its_samples(recording: Path) -> None:
    model, config = make_model(), config_of(0)
    samples = soundfile.read(recording, dtype="float32")[0][:, 0]
    assert decide_recording(recording, model, config) == decide_clip([samples], model, config)


def test_the_same_name_and_model_give_the_same_id() -> None:
    model = make_model()
    assert file_run_id(model, "file:a") == file_run_id(model, "file:a") != file_run_id(model, "file:b")
    assert len(file_run_id(model, "file:a")) == 12


def test_kept_hops_give_the_events_of_a_stream(recording: Path) -> None:
    config = Config(decision=DecisionSection(onset_threshold=0.3, offset_threshold=0.2, min_llr=-1e6))
    model = make_model()
    hops = list(hops_of(recording, model, Config()))
    assert hops[-1].end_sample == N_SAMPLES
    assert detect(hops, model, config) == detections_of(classify_recording(recording, model, config))


def test_progress_is_reported_in_steps_and_at_the_end() -> None:
    seconds: list[float] = []
    blocks = [np.zeros(n_samples, dtype=np.float32) for n_samples in (300, 300, 300, 100)]
    assert list(with_progress(blocks, 1000, seconds.append, every_s=0.5)) == blocks
    assert seconds == [0.6, 0.4]
