from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from streamgmm.evaluation.metrics import (
    N_BINS,
    accepted_unknown,
    auroc,
    calibration_error,
    log_loss,
    reliability,
    standard_error_of_mean,
)

# Few different values, so that ties are the rule.
SCORES = st.lists(st.integers(0, 8).map(lambda n: n / 8), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_auroc_against_scikit_learn(known, unknown):
    truth = [1] * len(known) + [0] * len(unknown)
    assert auroc(np.array(known), np.array(unknown)) == pytest.approx(roc_auc_score(truth, known + unknown))


@given(SCORES, SCORES, st.sampled_from([0.5, 0.9, 1.0]))
def test_accepted_unknown_against_trying_every_threshold(known, unknown, share):
    fine = [t for t in known if sum(score >= t for score in known) >= share * len(known) - 1e-9]
    expected = sum(score >= max(fine) for score in unknown) / len(unknown)
    assert accepted_unknown(np.array(known), np.array(unknown), share) == pytest.approx(expected)


@given(st.integers(0, 999), st.integers(2, 6), st.integers(1, 40))
def test_log_loss_against_scikit_learn(seed, n_labels, n_clips):
    rng = np.random.default_rng(seed)
    posteriors = rng.dirichlet(np.full(n_labels, 0.3), n_clips)
    truth = rng.integers(n_labels, size=n_clips)
    expected = sklearn_log_loss(truth, posteriors, labels=range(n_labels))
    assert log_loss(posteriors, truth.tolist()) == pytest.approx(expected, rel=1e-6)


def test_a_sure_mistake_costs_much_but_not_everything():
    assert log_loss(np.array([[0.0, 1.0]]), [0]) == pytest.approx(36.04, abs=0.01)


def slow_calibration_error(confidences: list[float], is_right: list[bool]) -> float:
    """As printed in the paper: bins ((m - 1) / M, m / M]."""
    total = 0.0
    for m in range(1, N_BINS + 1):
        own = [i for i, p in enumerate(confidences) if (m - 1) / N_BINS < p <= m / N_BINS or (m == 1 and p == 0.0)]
        if own:
            share = sum(is_right[i] for i in own) / len(own)
            mean = sum(confidences[i] for i in own) / len(own)
            total += len(own) / len(confidences) * abs(share - mean)
    return total


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_against_a_plain_loop(pairs):
    # A hair off the edges, where rounding and not the rule would decide.
    confidences = [min(1.0, p + 1e-7) if abs(p * N_BINS - round(p * N_BINS)) < 1e-9 else p for p, _ in pairs]
    is_right = [right for _, right in pairs]
    bins = reliability(np.array(confidences), np.array(is_right))
    assert calibration_error(bins) == pytest.approx(slow_calibration_error(confidences, is_right))
    assert sum(one.n_clips for one in bins) == len(pairs)


def test_perfect_confidence_has_no_error_and_sure_mistakes_the_greatest():
    ones = np.ones(5)
    assert calibration_error(reliability(ones, np.ones(5, bool))) == 0.0
    assert calibration_error(reliability(ones, np.zeros(5, bool))) == 1.0


def test_standard_error():
    assert standard_error_of_mean([1.0, 3.0]) == pytest.approx(1.0)
    assert standard_error_of_mean([1.0]) is None
