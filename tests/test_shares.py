from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from streamgmm.shares import Z_95, interval_text, share_text, wilson_interval


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 10_000))
    return draw(st.integers(0, n)), n


@given(counts())
def test_the_interval_is_that_of_scipy(pair: tuple[int, int]) -> None:
    theirs = binomtest(*pair).proportion_ci(0.95, method="wilson")
    assert wilson_interval(*pair) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@given(counts())
def test_the_ends_are_the_shares_whose_score_test_would_just_reject(pair: tuple[int, int]) -> None:
    n_right, n = pair
    share = n_right / n
    for end in wilson_interval(n_right, n):
        deviation = Z_95 * np.sqrt(end * (1.0 - end) / n)
        assert abs(share - end) == pytest.approx(deviation, abs=1e-7)


def test_the_quantile_is_that_of_the_normal_distribution() -> None:
    assert pytest.approx(norm.ppf(0.975), abs=1e-15) == Z_95


@given(counts())
def test_the_interval_holds_the_share_and_stays_within_0_and_1(pair: tuple[int, int]) -> None:
    low, high = wilson_interval(*pair)
    assert 0.0 <= low <= pair[0] / pair[1] <= high <= 1.0


@pytest.mark.parametrize(
    ("n_right", "n", "text"),
    [
        (5, 5, "5 of 5 (57 to 100 %)"),
        (0, 5, "0 of 5 (0 to 43 %)"),
        (1, 1, "1 of 1 (21 to 100 %)"),
        (3, 4, "3 of 4 (30 to 95 %)"),
        (374, 400, "374 of 400 (91 to 96 %)"),
        (0, 0, "-"),
    ],
)
def test_a_share_is_read_as_counts_with_an_interval(n_right: int, n: int, text: str) -> None:
    assert share_text(n_right, n) == text


@pytest.mark.parametrize("n_repeats", [1, 2, 5, 10, 100])
def test_repeating_a_trial_makes_its_share_no_surer(n_repeats: int) -> None:
    assert interval_text(4 * n_repeats, 5 * n_repeats, n_repeats) == interval_text(4, 5)


def test_of_nothing_nothing_is_known() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
