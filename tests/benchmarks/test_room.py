"""The benchmark of detection in a room: its material, its streams, its counting, and a brief run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streamgmm.features.extractor import clip_features
from streamgmm.features.spec import FeatureSpec
from streamgmm.listening.events import Detection
from tests.benchmarks.room import hearing
from tests.benchmarks.room.__main__ import main
from tests.benchmarks.room.hearing import Ears
from tests.benchmarks.room.scoring import Target
from tests.benchmarks.room.sounds import RATE_HZ, Sound, active_rms, read_sounds
from tests.benchmarks.room.streams import Placed, Plan, plan_foreign, plan_room, plan_targets, render
from tests.benchmarks.room.users import N_TARGETS, USERS, Lesson, User, make_lesson
from tests.narrowing import present
from tests.required import corpus

SPEC = FeatureSpec(sample_rate_hz=RATE_HZ)
TARGET = Target("bell", 6.0, onset_s=10.0, offset_s=11.0)


@pytest.fixture(scope="module")
def root() -> Path:
    return corpus("esc10").parent


@pytest.fixture(scope="module")
def sounds(root: Path) -> list[Sound]:
    return read_sounds(root)


@pytest.fixture(params=USERS, ids=lambda user: user.name)
def lesson(request: pytest.FixtureRequest, sounds: list[Sound]) -> Lesson:
    user: User = request.param
    return make_lesson(user, sounds)


def test_user_teaches_as_many_clips_of_each_class_as_it_says(lesson: Lesson) -> None:
    labels = [clip.label for clip in lesson.trained]
    assert sorted(labels) == sorted(lesson.user.labels * lesson.user.n_clips)


def test_no_clip_is_trained_and_tested(lesson: Lesson) -> None:
    assert not set(lesson.trained) & {clip for clips in lesson.tested.values() for clip in clips}


def test_kinds_are_tested_on_other_sources_and_own_sounds_on_the_same(lesson: Lesson) -> None:
    trained = {clip.source for clip in lesson.trained}
    tested = {clip.source for clips in lesson.tested.values() for clip in clips}
    assert (tested == trained) if lesson.user.own else not (tested & trained)


def test_stream_of_targets_has_nothing_foreign_that_was_taught(lesson: Lesson, sounds: list[Sound]) -> None:
    plan = plan_targets(lesson, sounds, N_TARGETS)
    assert all(lesson.is_foreign(placed.sound) for placed in plan.placed if not placed.is_target)
    assert 40 <= sum(placed.is_target for placed in plan.placed) <= N_TARGETS


def test_room_has_no_sound_of_any_user_and_none_that_is_tested(sounds: list[Sound]) -> None:
    foreign = plan_foreign(sounds, 9, 600.0)
    lessons = [make_lesson(user, sounds) for user in USERS]
    heard = [placed.sound for placed in plan_room(sounds, lessons, foreign).placed]
    assert len(heard) > 50
    assert all(lesson.is_foreign(sound) for lesson in lessons for sound in heard)
    assert not set(heard) & {placed.sound for plan in foreign for placed in plan.placed}


def test_hour_has_570_different_foreign_sounds(sounds: list[Sound]) -> None:
    (plan,) = plan_foreign(sounds, 1, 3600.0)
    assert len({placed.sound for placed in plan.placed}) == pytest.approx(570, abs=5)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 8000, 44100])
def test_target_is_as_loud_over_its_bed_as_planned_at_any_rate(sounds: list[Sound], root: Path, rate_hz: int) -> None:
    dog = next(sound for sound in sounds if sound.label == "dog_bark")
    bed = Plan("bed", 20.0, [("rain", "wind")], is_room=False, placed=[])
    with_dog, ((_, onset_s, offset_s),) = render(bed._replace(placed=[Placed(dog, 8.0, 12.0, True)]), root, rate_hz)
    without, _ = render(bed, root, rate_hz)
    first, end = round(onset_s * rate_hz), round(offset_s * rate_hz)
    assert len(without) == 20 * rate_hz
    noise_power = np.mean(without[first:end] ** 2)
    assert onset_s == pytest.approx(8.0)
    assert 20.0 * np.log10(active_rms((with_dog - without)[first:end], rate_hz) / noise_power**0.5) == pytest.approx(
        12.0, abs=0.1
    )


@pytest.mark.parametrize(
    ("onset_s", "reported_s", "is_hit"),
    [(10.2, 10.8, True), (9.0, 9.6, True), (11.9, 12.3, True), (9.0, 9.4, False), (12.1, 12.5, False)],
)
def test_report_is_a_hit_near_its_target(onset_s: float, reported_s: float, is_hit: bool) -> None:
    assert TARGET.overlaps(Detection("bell", onset_s, onset_s + 1.0, reported_s, 0.9)) is is_hit


def test_event_that_was_reported_long_before_is_no_hit() -> None:
    assert not TARGET.overlaps(Detection("bell", 2.0, 60.0, 2.5, 0.9))


def test_features_are_measured_once_and_are_those_of_the_stream(
    sounds: list[Sound], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plan,) = plan_foreign(sounds, 1, 20.0)
    first = Ears(root, tmp_path).listen(plan, SPEC)
    monkeypatch.setattr(hearing, "render", None)
    second = Ears(root, tmp_path).listen(plan, SPEC)
    monkeypatch.undo()
    samples, heard = render(plan, root)
    live = clip_features(samples.astype(np.float32), SPEC, has_cepstra=True)
    assert first.heard == second.heard == heard
    assert [hop.end_sample for hop in second.hops] == [hop.end_sample for hop in live]
    for one, other in zip(second.hops, live, strict=True):
        np.testing.assert_allclose(present(one.vector), present(other.vector), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(one.cepstra, other.cepstra, rtol=1e-6, atol=1e-6)
        assert (one.level_dbfs, one.window_share) == (other.level_dbfs, other.window_share)
        assert one.frame_levels_db.tolist() == other.frame_levels_db.tolist()


@pytest.mark.slow
def test_brief_run_reports_all_figures(root: Path, tmp_path: Path) -> None:
    report, picture = tmp_path / "room.json", tmp_path / "curve.svg"
    main(["--brief", "--cache", str(tmp_path / "cache"), "--json", str(report), "--picture", str(picture)])
    users = json.loads(report.read_text())["users"]
    assert [user["user"] for user in users] == ["farm", "words"]
    assert all(0.0 <= user["recall"] <= 1.0 and user["alarms_per_hour"] >= 0.0 for user in users)
    assert picture.stat().st_size > 1000
