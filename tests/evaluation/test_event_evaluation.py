from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streamgmm.dataset.listing import Findings, Skipped
from streamgmm.errors import DataError
from streamgmm.evaluation import event_evaluation
from streamgmm.evaluation.event_evaluation import ComparedScene, Spread, evaluate_events, psds_of_label, score
from streamgmm.evaluation.event_scoring import Criteria
from streamgmm.evaluation.scenes import ONSET_THRESHOLDS, Scene, SceneResult
from streamgmm.model.file import load_model
from streamgmm.settings.config import Config
from streamgmm.settings.training import TrainingSection
from tests.listening.event_strategies import found_at, true_at
from tests.narrowing import present

SCORE_KEYS = {
    *("event_f1", "segment_f1", "error_rate", "false_alarms_per_hour", "onset_latency_s", "onset_error_s"),
    *("psds", "event_based", "segment_based"),
}
KEYS = SCORE_KEYS | {"per_class", "labels", "n_recordings", "duration_s", "criteria", "skipped"}
CONFIG = Config(training=TrainingSection(n_jobs=1))
LABELS = ["doorbell", "knocking", "siren", "smoke_alarm"]


@pytest.fixture(scope="module")
def model(demo_model):
    return load_model(demo_model)


def heard(truth, found, duration_s=36.0):
    return ComparedScene(truth, SceneResult(duration_s, found, [found] * len(ONSET_THRESHOLDS)))


def evaluate(monkeypatch, model, scenes, answers, **options):
    """Score scenes for which the stream gives these answers."""
    monkeypatch.setattr(event_evaluation, "detect_in_scenes", lambda *_: iter(answers))
    findings = options.pop("findings", Findings())
    return evaluate_events(scenes, model, CONFIG, Criteria(), findings=findings, where=Path("data"), **options)


def hearing(*found, duration_s=36.0):
    return SceneResult(duration_s, list(found), [list(found)] * len(ONSET_THRESHOLDS))


def test_scores_of_all_and_of_each_label_and_their_keys(monkeypatch, model):
    scenes = [
        Scene(Path("a.wav"), [true_at("doorbell", 1, 2), true_at("siren", 5, 9)]),
        Scene(Path("b.wav"), [true_at("doorbell", 3, 4)]),
    ]
    answers = [
        hearing(found_at("doorbell", 1.25, 2, 1.5), found_at("knocking", 20, 21)),
        hearing(found_at("doorbell", 3, 4, 3.75)),
    ]
    result = evaluate(monkeypatch, model, scenes, answers)
    assert (result.n_recordings, result.duration_s, result.skipped, result.labels) == (2, 72.0, {}, LABELS)
    assert result.event_f1 == result.event_based.f1 == pytest.approx(2 * 2 / (3 + 3))
    assert result.error_rate == pytest.approx((1 + 1) / 3)
    assert result.false_alarms_per_hour == pytest.approx(50.0)
    assert present(result.onset_latency_s) == pytest.approx(Spread(median=0.625, p90=0.725))
    assert present(result.onset_error_s) == pytest.approx(Spread(median=0.125, p90=0.225))
    bell, siren, knocking = (result.per_class[label] for label in ("doorbell", "siren", "knocking"))
    assert (bell.event_f1, siren.event_f1, siren.onset_latency_s) == (1.0, 0.0, None)
    assert (knocking.error_rate, knocking.psds, knocking.false_alarms_per_hour) == (None, None, pytest.approx(50.0))
    # Found by every threshold and never false, and found by none.
    assert (bell.psds, siren.psds, result.psds) == (1.0, 0.0, 0.5)
    report = msgspec.to_builtins(result)
    assert (set(report), set(report["per_class"]["siren"])) == (KEYS, SCORE_KEYS)


def test_the_score_over_thresholds_takes_each_of_them_for_itself():
    truth = [true_at("siren", 5, 9)]
    by_threshold = [[found_at("siren", 5, 9), found_at("siren", 20, 21)]] * 3 + [[]] * (len(ONSET_THRESHOLDS) - 3)
    scene = ComparedScene(truth, SceneResult(72.0, [], by_threshold))
    # Found at the price of 50 false positives an hour, so by the half of what is allowed.
    assert psds_of_label([scene]) == pytest.approx(0.5)


def test_recordings_are_scored_together_by_their_counts():
    scenes = [heard([true_at("siren", i, i + 0.5) for i in range(9)], []), heard([], [found_at("siren", 1, 2)])]
    scores = score(scenes, Criteria(), None)
    assert (scores.event_based.n_true, scores.event_based.n_found, scores.event_f1) == (9, 1, 0.0)
    assert scores.error_rate == pytest.approx(10 / 9)


def test_annotations_with_unknown_labels_are_rejected(monkeypatch, model):
    scenes = [Scene(Path("a.wav"), [true_at("owl", 1, 2), true_at("ant", 1, 2), true_at("siren", 1, 2)])]
    with pytest.raises(DataError, match="data: has labels that the model does not have: 'ant', 'owl'"):
        evaluate(monkeypatch, model, scenes, [])


def test_a_scene_that_cannot_be_read_is_counted_and_none_that_can_is_an_error(monkeypatch, model):
    scenes = [Scene(Path(name), [true_at("siren", 1, 2)]) for name in ("a.wav", "b.wav")]
    lost = Skipped(Path("a.wav"), "not_audio")
    result = evaluate(monkeypatch, model, scenes, [lost, hearing(found_at("siren", 1, 2))])
    assert (result.n_recordings, result.event_f1, result.skipped) == (1, 1.0, {"not_audio": 1})
    with pytest.raises(DataError, match="data: none of its recordings can be read"):
        evaluate(monkeypatch, model, scenes, [lost, lost])


def test_events_are_cut_at_the_end_and_later_ones_give_a_warning(monkeypatch, model):
    scenes = [Scene(Path("a.wav"), [true_at("siren", 1, 99), true_at("siren", 40, 41)])]
    findings = Findings()
    result = evaluate(monkeypatch, model, scenes, [hearing(found_at("siren", 1, 36))], findings=findings)
    assert (result.event_based.n_true, result.event_f1, result.segment_f1, result.psds) == (1, 1.0, 1.0, 1.0)
    assert findings.warnings == ["a.wav: 'siren' at 1 s ends at 99 s, beyond its end at 36.00 s, and 1 more do so"]


def test_an_end_that_is_rounded_gives_no_warning(monkeypatch, model):
    findings = Findings()
    scenes = [Scene(Path("a.wav"), [true_at("siren", 1, 36.5)])]
    evaluate(monkeypatch, model, scenes, [hearing(found_at("siren", 1, 36))], findings=findings)
    assert findings.warnings == []


def test_events_that_all_lie_beyond_the_end_are_an_error(monkeypatch, model):
    scenes = [Scene(Path("a.wav"), [true_at("siren", 16000, 32000)]), Scene(Path("b.wav"), [])]
    with pytest.raises(DataError, match=r"data: no recording has an event before its end.*in seconds\?"):
        evaluate(monkeypatch, model, scenes, [hearing(found_at("siren", 1, 36)), hearing()])


def test_the_demo_scene_scores_well(model, demo_scene):
    from streamgmm.demo.scene import make_scene
    from tests.conftest import DEMO_RATE_HZ, SCENE_S

    events = [e for e in make_scene(SCENE_S, 0, DEMO_RATE_HZ).events if e.label in model.labels]
    scenes = [Scene(demo_scene, [true_at(*event) for event in events])]
    result = evaluate_events(scenes, model, CONFIG, Criteria(), findings=Findings(), where=demo_scene)
    assert present(result.event_based.recall) > 0.5
    assert present(result.segment_f1) > 0.5
    assert 0.0 < present(result.onset_latency_s).median < 1.5
    assert 0.5 < present(result.psds) <= 1.0
