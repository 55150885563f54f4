from __future__ import annotations

import os

import pytest

from streamgmm.bench.machine import multiply_adds_per_s
from streamgmm.bench.result import BenchResult, ratio_text
from streamgmm.bench.suite import CAPTURE_CORE_SHARE, MARGIN, RATES_HZ, TYPICAL, run_bench
from streamgmm.bench.works import feature_works, numpy_name, pipeline_name
from streamgmm.cores import count_cores
from streamgmm.features.bank import group_bands
from streamgmm.features.kernel.loader import NUMPY, VARIABLE, kernel_name
from streamgmm.features.spec import FeatureSpec
from tests.bench.bench_rig import SHORT, hide_others
from tests.bench.test_peers import NOISE


@pytest.fixture(scope="module")
def result() -> BenchResult:
    with pytest.MonkeyPatch.context() as patch:
        hide_others(patch)
        return run_bench(SHORT)


def test_features_are_measured_at_both_rates_in_blocks_and_whole(result: BenchResult) -> None:
    assert [figure.name for figure in result.features] == [
        f"{way}, {rate}" for rate in ("16 kHz", "44.1 kHz") for way in ("blocks of 20 ms", "whole file")
    ]


def test_every_figure_has_a_ratio_against_a_peer_and_fits_its_cost(result: BenchResult) -> None:
    for figure in (*result.features, *result.pipelines):
        assert figure.faster_than
        assert min(figure.faster_than.values()) > 0.0
        assert figure.times_real_time == pytest.approx(1.0 / figure.cpu_s_per_s)


def test_shares_of_the_time_sum_to_one(result: BenchResult) -> None:
    assert 2 * len(result.shares) == len(result.pipelines)
    for shares in result.shares:
        assert shares.features + shares.scoring + shares.decision == pytest.approx(1.0)


def test_microphones_are_counted_by_cores_speed_and_margin(result: BenchResult) -> None:
    (typical,) = [figure for figure in result.pipelines if figure.name == pipeline_name(TYPICAL)]
    expected = count_cores() * typical.times_real_time * (1.0 - MARGIN)
    assert result.capacity.n_streams == pytest.approx(expected, abs=1.0)
    # Capture alone limits their number.
    assert 0 < result.capacity.n_microphones <= count_cores() * (1.0 - MARGIN) / CAPTURE_CORE_SHARE


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_multiply_adds_are_those_of_taps_without_padding(rate_hz: int) -> None:
    spec = FeatureSpec(sample_rate_hz=rate_hz)
    # Padding is exactly 0; a tap that is zero by chance would be one of thousands.
    n_products = sum(2 * int((abs(group.taps) > 0).sum()) * rate_hz / group.decimation for group in group_bands(spec))
    assert multiply_adds_per_s(spec) == pytest.approx(n_products, rel=1e-3)


@pytest.mark.skipif(kernel_name() == NUMPY, reason="the kernel was not built")
def test_the_numpy_fallback_is_measured_without_a_change_to_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = kernel_name()
    monkeypatch.setenv(VARIABLE, chosen)
    feature_works(NOISE, 16000, {}, has_kernel=True)[numpy_name(16000)].run()
    assert os.environ[VARIABLE] == chosen


def test_without_the_kernel_there_is_no_fallback_to_compare_with(monkeypatch: pytest.MonkeyPatch) -> None:
    assert numpy_name(16000) not in feature_works(NOISE, 16000, {}, has_kernel=False)


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.956, "0.96"), (8.94, "8.9"), (99.4, "99"), (99.6, "100"), (1234.5, "1234")]
)
def test_ratios_have_two_digits_or_are_whole(ratio: float, text: str) -> None:
    assert ratio_text(ratio) == text
