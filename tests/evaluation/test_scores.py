from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from streamgmm.decision.clip import ClipDecision
from streamgmm.evaluation.answering import ClipAnswer
from streamgmm.evaluation.conditions import UNCHANGED
from streamgmm.evaluation.scores import posteriors_of, score_trial
from streamgmm.evaluation.trial import FoldAnswers, LeftOut, Trial
from streamgmm.features.spec import FeatureSpec
from tests.training.training_rig import RATE_HZ, make_clip, make_dataset

LABELS = ("bell", "cat", "dog")


def answer(
    label: str, posteriors: list[float], *, raw: list[float] | None = None, knownness: float = 1.0
) -> ClipAnswer:
    def decision(values: list[float]) -> ClipDecision:
        best = LABELS[int(np.argmax(values))]
        posteriors = dict(zip(LABELS, values, strict=True))
        return ClipDecision(best, max(values), posteriors, 9, knownness, 1.0, posteriors)

    return ClipAnswer(make_clip(label, 0), decision(posteriors), decision(raw or posteriors))


def trial_of(folds: list[FoldAnswers], left_out: list[LeftOut] | None = None) -> Trial:
    return Trial(
        dataset=make_dataset([make_clip(label, 0) for label in LABELS]),
        spec=FeatureSpec(sample_rate_hz=RATE_HZ),
        conditions=UNCHANGED,
        folds=folds,
        left_out=left_out or [],
        ablation=[],
        n_clips=3,
        n_seeds=2,
        division="fold",
    )


def random_answers(seed: int, n_clips: int = 40) -> list[ClipAnswer]:
    rng = np.random.default_rng(seed)
    values = rng.dirichlet(np.ones(3), n_clips).tolist()
    return [answer(str(rng.choice(LABELS)), row, raw=[0.98, 0.01, 0.01]) for row in values]


def test_log_loss_is_the_mean_over_folds_of_the_mean_over_seeds():
    folds = [FoldAnswers(name, seed, random_answers(10 * seed + ord(name))) for seed in (0, 1) for name in "ab"]
    losses = {
        (fold.fold, fold.seed): log_loss(
            [one.clip.label for one in fold.answers],
            [list(one.decision.posteriors.values()) for one in fold.answers],
            labels=LABELS,
        )
        for fold in folds
    }
    by_fold = [(losses[name, 0] + losses[name, 1]) / 2 for name in "ab"]
    result = score_trial(trial_of(folds))
    assert result.log_loss == pytest.approx(np.mean(by_fold))
    assert result.log_loss_se == pytest.approx(np.std(by_fold, ddof=1) / np.sqrt(2))
    assert result.accuracy_se == pytest.approx(result.accuracy_sd / np.sqrt(2))


def test_calibration_errors_are_of_the_posteriors_before_and_after():
    answers = random_answers(3)
    result = score_trial(trial_of([FoldAnswers("a", 0, answers)]))
    share_bell = np.mean([one.clip.label == "bell" for one in answers])
    assert result.ece_uncalibrated == pytest.approx(0.98 - share_bell)
    assert result.ece != pytest.approx(result.ece_uncalibrated)
    assert (result.accuracy_se, result.log_loss_se) == (None, None)


def test_a_rejected_clip_still_has_posteriors():
    refused = answer("cat", [0.1, 0.8, 0.1])
    refused = refused._replace(decision=refused.decision._replace(label="unknown"))
    result = score_trial(trial_of([FoldAnswers("a", 0, [refused])]))
    assert result.accuracy == 0.0
    assert result.log_loss == pytest.approx(-np.log(0.8))
    assert result.ece == pytest.approx(0.2)


def test_a_silent_clip_counts_with_equal_posteriors():
    posteriors = posteriors_of([answer("dog", [0.0, 0.0, 0.0])])
    assert posteriors is not None
    assert posteriors.values.tolist() == [[1 / 3] * 3]


def test_untrained_labels_have_no_posterior():
    assert posteriors_of([answer("unknown", [0.2, 0.3, 0.5])]) is None
    assert posteriors_of([]) is None


def left_out(label: str, known: list[float], unknown: list[float], seed: int = 0) -> LeftOut:
    def answers(values: list[float], name: str) -> list[ClipAnswer]:
        return [answer(name, [1.0, 0.0, 0.0], knownness=value) for value in values]

    return LeftOut(label, seed, answers(known, "bell"), answers(unknown, label))


def test_the_folds_of_a_class_count_together_and_then_all_classes_alike():
    rng = np.random.default_rng(0)
    parts = [
        left_out(label, rng.random(n_known).round(1).tolist(), rng.random(n_unknown).round(1).tolist())
        for label, n_known, n_unknown in [("cat", 20, 3), ("cat", 11, 7), ("dog", 30, 2), ("dog", 5, 0)]
    ]
    areas, shares = [], []
    for label in ("cat", "dog"):
        known = [a.decision.in_domain_score for one in parts if one.label == label for a in one.known]
        unknown = [a.decision.in_domain_score for one in parts if one.label == label for a in one.unknown]
        areas.append(roc_auc_score([1] * len(known) + [0] * len(unknown), known + unknown))
        threshold = max(t for t in known if np.mean(np.array(known) >= t) >= 0.9)
        shares.append(np.mean(np.array(unknown) >= threshold))
    result = score_trial(trial_of([FoldAnswers("a", 0, random_answers(1))], parts))
    assert result.auroc_unknown == pytest.approx(np.mean(areas))
    assert result.auroc_unknown_se == pytest.approx(np.std(areas, ddof=1) / np.sqrt(2))
    assert result.accepted_unknown_at_90 == pytest.approx(np.mean(shares))


def test_what_was_not_tried_is_null():
    result = score_trial(trial_of([FoldAnswers("a", 0, random_answers(1))]))
    assert (result.auroc_unknown, result.auroc_unknown_se, result.accepted_unknown_at_90) == (None, None, None)
