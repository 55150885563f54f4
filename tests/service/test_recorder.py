"""Clips of a run: the audio of each event, whatever else happens, and nothing without being asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

import msgspec
import numpy as np
import pytest
import soundfile

from streamgmm.audio.source import Block
from streamgmm.clips.info import ClipInfo
from streamgmm.errors import OutputError
from streamgmm.records import End, Gap, Record, Start
from streamgmm.service.clip_writer import ClipWriter
from streamgmm.service.context import ChannelPlan
from streamgmm.service.daemon import Daemon
from streamgmm.service.recorder import Recorder
from streamgmm.settings.clips import ClipsSection
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection
from streamgmm.sinks.hub import Hub
from tests.clips.clip_rig import BrokenStore, clips_in, full_disk, section_of
from tests.model.model_rig import make_model
from tests.service.daemon_rig import CONFIG, Options, Running, keep_up
from tests.service.service_rig import RATE_HZ, FakeSource, KeepingSink, noise
from tests.service.test_channels import EAGER, plan_of

CUT_S = 0.3
OFTEN = msgspec.structs.replace(EAGER, max_duration_s=CUT_S)
PRE_S, POST_S = 0.25, 0.125


def with_clips(section: ClipsSection, decision: DecisionSection = OFTEN) -> Config:
    return msgspec.structs.replace(CONFIG, decision=decision, clips=section)


def daemon_of(sink: KeepingSink, writer: ClipWriter | None, *plans: ChannelPlan, **options: Unpack[Options]) -> Daemon:
    hub = Hub([sink], [writer] if writer else [])
    return Daemon(plans, hub, run_id="r", clips=writer, **options)


def rolled(folder: Path, **settings: object) -> ClipsSection:
    return section_of(folder, pre_roll_s=PRE_S, post_roll_s=POST_S, max_per_label=10_000, **settings)


def run(
    folder: Path, *names: str, n_samples: int, decision: DecisionSection = OFTEN, **settings: object
) -> KeepingSink:
    sink, section = KeepingSink(), rolled(folder, **settings)
    plans = [
        plan_of(name, FakeSource(*[1000] * (n_samples // 1000), is_live=False), config=with_clips(section, decision))
        for name in names
    ]
    daemon_of(sink, ClipWriter(section, is_live=False), *plans).run()
    return sink


def heard(n_samples: int) -> np.ndarray:
    """What `FakeSource` delivers in blocks of 1000 samples."""
    return np.concatenate([noise(1000, n) for n in range(1000, n_samples + 1, 1000)])


def info_of(path: Path) -> ClipInfo:
    return msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=ClipInfo)


def test_the_clips_of_200_events_of_two_sources_hold_the_audio_from_pre_roll_to_post_roll(tmp_path: Path) -> None:
    n_samples = 320_000
    sink = run(tmp_path, "kitchen", "yard", n_samples=n_samples)
    ends = sink.of(End)
    assert len(ends) >= 200
    audio = heard(n_samples)
    for record in ends:
        assert record.clip is not None
        pcm, rate_hz = soundfile.read(record.clip, dtype="int16")
        assert rate_hz == RATE_HZ
        begin = max(0, round((record.start_t - PRE_S) * RATE_HZ))
        stop = min(n_samples, round((record.end_t + POST_S) * RATE_HZ))
        np.testing.assert_array_equal(pcm, np.rint(audio[begin:stop] * 32768.0))
        info = info_of(Path(record.clip))
        assert info.onset_s == pytest.approx(record.start_t - begin / RATE_HZ, abs=1e-5)
        assert info.record == msgspec.structs.replace(record, seq=0)
    assert len(clips_in(tmp_path)) == len(ends)


def test_a_second_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(tmp_path / name, "kitchen", n_samples=20_000)
    paths = [sorted((tmp_path / name).rglob("*.flac")) for name in ("one", "two")]
    assert [path.name for path in paths[0]] == [path.name for path in paths[1]]
    assert [path.read_bytes() for path in paths[0]] == [path.read_bytes() for path in paths[1]]


def without_clip(record: Record) -> Record:
    return msgspec.structs.replace(record, clip=None) if isinstance(record, End) else record


def test_records_are_the_same_with_clips_and_without(tmp_path: Path) -> None:
    sink, plain = run(tmp_path, "kitchen", n_samples=20_000, near_miss_margin=0.5, unknown=True), KeepingSink()
    source = FakeSource(*[1000] * 20, is_live=False)
    daemon_of(plain, None, plan_of("kitchen", source, config=with_clips(ClipsSection()))).run()
    assert list(map(without_clip, sink.records)) == plain.records
    assert all(record.clip is None for record in plain.of(End))


@pytest.mark.parametrize(("wanted", "has_clip"), [("glass", True), ("dog", False)])
def test_only_labels_that_are_wanted_have_clips(tmp_path: Path, wanted: str, *, has_clip: bool) -> None:
    # Of noise, this model makes events of one label only.
    ends = run(tmp_path, "kitchen", n_samples=20_000, labels=[wanted]).of(End)
    assert {record.label for record in ends} == {"glass"}
    assert {record.clip is not None for record in ends} == {has_clip}
    assert len(clips_in(tmp_path)) == len(ends) * has_clip


def test_a_long_event_is_cut_at_its_end(tmp_path: Path) -> None:
    forever = msgspec.structs.replace(EAGER, max_duration_s=0.0)
    sink = run(tmp_path, "kitchen", n_samples=40_000, decision=forever, max_clip_s=1.0)
    for record in sink.of(End):
        assert record.clip
        pcm, _ = soundfile.read(record.clip, dtype="int16")
        np.testing.assert_array_equal(pcm, np.rint(heard(40_000)[:RATE_HZ] * 32768.0))
        assert info_of(Path(record.clip)).offset_s > 1.0


@pytest.mark.parametrize("pre_roll_s", [0.5, 1.0, 30.0])
def test_a_clip_holds_its_event_however_long_the_pre_roll(tmp_path: Path, pre_roll_s: float) -> None:
    section = section_of(tmp_path, pre_roll_s=pre_roll_s, max_clip_s=1.0, max_per_label=10_000)
    sink = KeepingSink()
    source = FakeSource(*[1000] * 100, is_live=False)
    daemon_of(sink, ClipWriter(section, is_live=False), plan_of("kitchen", source, config=with_clips(section))).run()
    infos = [info_of(path) for path in tmp_path.rglob("*.flac")]
    assert infos
    assert max(info.onset_s for info in infos) == 0.5
    assert all(info.duration_s > info.onset_s for info in infos)


def test_near_misses_and_unknown_sounds_have_folders_of_their_own(tmp_path: Path) -> None:
    # No score exceeds a threshold of 1, but all come within a margin of 1.
    never = msgspec.structs.replace(EAGER, onset_threshold=1.0)
    sink = run(tmp_path, "kitchen", n_samples=40_000, decision=never, near_miss_margin=1.0, unknown=True)
    assert not sink.of(Start)
    assert {path.name for path in tmp_path.iterdir()} <= {"near_misses", "unknown"}
    clips = [info_of(path) for path in tmp_path.rglob("*.flac")]
    assert clips
    for info in clips:
        assert info.duration_s >= info.offset_s - info.onset_s
        assert info.record.id.startswith("r-kitchen-m")


def test_a_clip_reaches_over_a_loss_with_silence_of_its_length(tmp_path: Path) -> None:
    n_lost = 800
    source = FakeSource(4000, Block(noise(4000, 7), n_lost, "input_overflow"), is_live=False)
    forever = msgspec.structs.replace(EAGER, hangover_s=10.0)
    sink, section = KeepingSink(), rolled(tmp_path)
    plan = plan_of("kitchen", source, config=with_clips(section, forever))
    daemon_of(sink, ClipWriter(section, is_live=False), plan).run()
    assert len(sink.of(Gap)) == 1
    survivors = [record for record in sink.of(End) if record.gap]
    assert survivors
    expected = np.r_[noise(4000, 4000), np.zeros(n_lost), noise(4000, 7)]
    for record in survivors:
        assert record.clip
        pcm, _ = soundfile.read(record.clip, dtype="int16")
        begin = max(0, round((record.start_t - PRE_S) * RATE_HZ))
        np.testing.assert_array_equal(pcm, np.rint(expected[begin : begin + len(pcm)] * 32768.0))
        assert len(pcm) > 4000


def test_F36_a_full_disk_costs_clips_and_no_record(tmp_path: Path) -> None:
    section = rolled(tmp_path)
    store = BrokenStore(section)
    store.error = full_disk()
    sink, plain = KeepingSink(), KeepingSink()
    writer = ClipWriter(section, is_live=False, store=store)
    source = FakeSource(*[1000] * 40, is_live=False)
    daemon_of(sink, writer, plan_of("kitchen", source, config=with_clips(section))).run()
    source = FakeSource(*[1000] * 40, is_live=False)
    daemon_of(plain, None, plan_of("kitchen", source, config=with_clips(ClipsSection()))).run()
    assert list(map(without_clip, sink.records)) == plain.records
    assert writer.n_written == 0
    assert writer.n_dropped >= len(sink.of(End)) > 1
    assert sink.of(End)[-1].clip is None
    assert clips_in(tmp_path) == []


def test_F8_a_bug_of_the_recorder_ends_clips_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Recorder, "_draft", fail)
    sink = run(tmp_path, "kitchen", n_samples=20_000)
    assert len(sink.of(End)) > 5
    assert caplog.text.count("no more clips of this source") == 1


def test_clips_go_on_over_a_reload(tmp_path: Path) -> None:
    section = rolled(tmp_path)
    sink, plan = KeepingSink(), plan_of("kitchen", FakeSource(4000, "hang"), config=with_clips(section))
    daemon = daemon_of(sink, ClipWriter(section, is_live=True), plan)
    running = Running(daemon)
    sink.wait_for(End)
    keep_up(daemon, sink)
    n_before = len(sink.of(End))
    other = replace(make_model(labels=("kettle", "phone"), seed=1), name="other")
    daemon.adopt([plan._replace(setup=plan.setup._replace(model=other))])
    daemon.stop("enough")
    running.join()
    ends = sink.of(End)
    assert len(ends) > n_before
    assert all(record.clip and Path(record.clip).exists() for record in ends)
    # Each names the model that has decided.
    models = {info_of(Path(record.clip)).model.name: record.label for record in ends if record.clip}
    assert models["yard"] == "glass"
    assert all(label in ("kettle", "phone") for model, label in models.items() if model == "other")


def test_without_clips_there_is_no_recorder(tmp_path: Path) -> None:
    daemon = daemon_of(KeepingSink(), None, plan_of("kitchen", FakeSource(0)))
    assert daemon._channels[0].worker.recorder is None
    assert daemon._hub._beside == ()


def test_E18_a_run_does_not_go_on_for_clips_alone(tmp_path: Path) -> None:
    section = rolled(tmp_path)
    sink, plan = KeepingSink(), plan_of("kitchen", FakeSource(4000, "hang"), config=with_clips(section))
    running = Running(daemon_of(sink, ClipWriter(section, is_live=True), plan))
    sink.wait_for(End)
    sink.fail(OutputError("nobody reads any more"))
    running.join()
    assert isinstance(running.error, OutputError)
