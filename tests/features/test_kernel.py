"""The compiled kernel against numpy: the same features within rounding, for real recordings and for noise."""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgmm.features.analysis import HopMeasures, NumpyAnalysis
from streamgmm.features.extractor import make_analysis
from streamgmm.features.kernel import analysis as module
from streamgmm.features.kernel.analysis import DesignTables, KernelAnalysis, design_of
from streamgmm.features.kernel.loader import NUMPY, VARIABLE, Kernel, find_kernel, kernel_names
from streamgmm.features.spec import FeatureSpec
from tests.features.kernel_rig import analyse, assert_same, noise, recordings, vectors_of
from tests.required import require_or_skip

RATES_HZ = [8000, 16000, 22050, 44100, 48000]
LEVELS = [name for name in kernel_names() if name != NUMPY]
SPEC = FeatureSpec(sample_rate_hz=8000)


@pytest.fixture(params=LEVELS or [NUMPY])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """Each level of the kernel in turn."""
    if request.param == NUMPY:
        require_or_skip("kernel", "it was not built: pip install -e .")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, request.param)
        found = find_kernel()
    assert found is not None
    return found


def bits_of(measures: list[HopMeasures]) -> list[bytes]:
    return [b"".join(np.asarray(part).tobytes() for part in hop) for hop in measures]


def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


def assert_kernel_same(kernel: Kernel, spec: FeatureSpec, make: Callable[[int], np.ndarray]) -> None:
    found = analyse(KernelAnalysis(kernel, spec, has_cepstra=True), spec, make(spec.sample_rate_hz))
    assert_same(found, spec, make)


@pytest.mark.parametrize("window_s", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_recordings_have_the_features_of_numpy(kernel: Kernel, rate_hz: int, window_s: float) -> None:
    assert_kernel_same(kernel, FeatureSpec(sample_rate_hz=rate_hz, window_s=window_s), recordings)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_noise_has_the_features_of_numpy(kernel: Kernel, rate_hz: int) -> None:
    assert_kernel_same(kernel, FeatureSpec(sample_rate_hz=rate_hz), noise)


@pytest.mark.parametrize("sizes", [[1] * 12, [5, 7], [11, 1]])
def test_hops_have_the_same_bits_however_they_are_grouped(kernel: Kernel, sizes: list[int]) -> None:
    hops = noise(SPEC.sample_rate_hz)[: 12 * SPEC.hop_samples].reshape(12, -1)
    whole = KernelAnalysis(kernel, SPEC, has_cepstra=True).push_hops(hops, SPEC.hop_samples)
    grouped, parts = KernelAnalysis(kernel, SPEC, has_cepstra=True), np.split(hops, np.cumsum(sizes)[:-1])
    found = [measures for part in parts for measures in grouped.push_hops(part, SPEC.hop_samples)]
    assert bits_of(found) == bits_of(whole)


@pytest.mark.parametrize("n_bytes", [4, 12, 20])
def test_hops_have_the_same_bits_wherever_they_are_in_memory(kernel: Kernel, n_bytes: int) -> None:
    hops = noise(SPEC.sample_rate_hz)[: 9 * SPEC.hop_samples].reshape(9, -1)
    moved = np.zeros(hops.nbytes + n_bytes, dtype=np.uint8)[n_bytes:].view(np.float32).reshape(hops.shape)
    moved[:] = hops
    found, expected = (KernelAnalysis(kernel, SPEC).push_hops(each, SPEC.hop_samples) for each in (moved, hops))
    assert bits_of(found) == bits_of(expected)


def test_two_streams_and_a_reset_do_not_affect_each_other(kernel: Kernel) -> None:
    hops = noise(SPEC.sample_rate_hz)[: 9 * SPEC.hop_samples].reshape(9, -1)
    one, other = KernelAnalysis(kernel, SPEC, has_cepstra=True), KernelAnalysis(kernel, SPEC, has_cepstra=True)
    first = []
    for hop in hops:
        first += one.push_hops(hop[np.newaxis], SPEC.hop_samples)
        other.push_hops(hop[np.newaxis, ::-1].copy(), SPEC.hop_samples)
    other.reset()
    assert bits_of(other.push_hops(hops, SPEC.hop_samples)) == bits_of(first)
    assert other.flush_cepstra().tobytes() == one.flush_cepstra().tobytes()


@settings(max_examples=25, deadline=None)
@given(
    sample_rate_hz=st.integers(1000, 192_000),
    hop_s=st.floats(0.016, 0.3),
    window_s=st.floats(0.3, 2.0),
    n_bands=st.integers(8, 64),
    name=st.sampled_from(LEVELS or [NUMPY]),
)
def test_any_features_are_those_of_numpy(
    sample_rate_hz: int, hop_s: float, window_s: float, n_bands: int, name: str
) -> None:
    spec = FeatureSpec(sample_rate_hz=sample_rate_hz, hop_s=hop_s, window_s=window_s, n_bands=n_bands)
    hops = np.random.default_rng(3).normal(0.0, 0.1, (4, spec.hop_samples)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, name)
        found = make_analysis(spec, has_cepstra=True).push_hops(hops, spec.hop_samples // 2)
    expected = NumpyAnalysis(spec, has_cepstra=True).push_hops(hops, spec.hop_samples // 2)
    np.testing.assert_allclose(vectors_of(found), vectors_of(expected), atol=2e-3)
    for hop, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(hop.frame_levels_db, reference.frame_levels_db, atol=5e-3)
        np.testing.assert_allclose(hop.cepstra, reference.cepstra, atol=1e-3)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_long_stream_takes_no_more_memory_than_a_short_one(kernel: Kernel) -> None:
    analysis = KernelAnalysis(kernel, SPEC, has_cepstra=True)
    hops = noise(SPEC.sample_rate_hz)[: 40 * SPEC.hop_samples].reshape(40, -1)
    analysis.push_hops(hops, SPEC.hop_samples)
    before = resident_pages()
    for _ in range(100):
        analysis.push_hops(hops, SPEC.hop_samples)
        KernelAnalysis(kernel, SPEC)
    # A stream takes more than 100 pages.
    assert resident_pages() - before < 1000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.25])
@pytest.mark.parametrize("place", [0, SPEC.hop_samples - 1, 3 * SPEC.hop_samples + 5, 4 * SPEC.hop_samples - 1])
def test_hops_with_a_sample_that_is_not_usable_change_nothing(kernel: Kernel, bad: float, place: int) -> None:
    hops = np.clip(noise(SPEC.sample_rate_hz)[: 4 * SPEC.hop_samples].reshape(4, -1), -1.0, 1.0)
    broken = hops.copy()
    broken.flat[place] = bad
    for analysis in (KernelAnalysis(kernel, SPEC, has_cepstra=True), NumpyAnalysis(SPEC, has_cepstra=True)):
        analysis.push_hops(hops.copy(), SPEC.hop_samples)
        expected = bits_of(analysis.push_hops(hops.copy(), SPEC.hop_samples))
        analysis.reset()
        analysis.push_hops(hops.copy(), SPEC.hop_samples)
        before = broken.tobytes()
        assert analysis.push_hops(broken, SPEC.hop_samples, largest=1.0, offset=0.5) == []
        assert broken.tobytes() == before
        assert bits_of(analysis.push_hops(hops.copy(), SPEC.hop_samples)) == expected


def test_an_offset_is_subtracted_in_place(kernel: Kernel) -> None:
    hops = noise(SPEC.sample_rate_hz)[: 4 * SPEC.hop_samples].reshape(4, -1)
    lower, shifted = hops - np.float32(0.1), hops.copy()
    found = KernelAnalysis(kernel, SPEC).push_hops(shifted, SPEC.hop_samples, largest=10.0, offset=0.1)
    assert shifted.tobytes() == lower.tobytes()
    assert bits_of(found) == bits_of(KernelAnalysis(kernel, SPEC).push_hops(lower, SPEC.hop_samples))


class WatchedLibrary:
    """The library of a kernel, which calls `on_plan` while a plan is made."""

    def __init__(self, functions: ctypes.CDLL, on_plan: Callable[[], None]) -> None:
        self._functions, self._on_plan = functions, on_plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._functions, name)

    def streamgmm_kernel_plan(self, *arguments: Any) -> Any:
        self._on_plan()
        return self._functions.streamgmm_kernel_plan(*arguments)


def test_G4_tables_that_no_cache_keeps_live_until_the_plan_has_copied_them(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads may make the tables of one design at once: the cache keeps those of one of them."""
    taps: list[weakref.ref[Any]] = []

    def uncached(spec: FeatureSpec) -> DesignTables:
        tables = design_of.__wrapped__(spec)
        taps.extend(weakref.ref(group.taps) for group in tables.groups)
        return tables

    def check() -> None:
        assert taps
        assert all(of_group() is not None for of_group in taps)

    monkeypatch.setattr(module, "design_of", uncached)
    watched = Kernel(cast("ctypes.CDLL", WatchedLibrary(kernel.functions, check)), kernel.level)
    spec, hops = FeatureSpec(sample_rate_hz=16000, window_s=0.77), noise(16000)[:16384].reshape(8, -1)
    found = KernelAnalysis(watched, spec).push_hops(hops.copy(), spec.hop_samples)
    assert bits_of(found) == bits_of(KernelAnalysis(kernel, spec).push_hops(hops.copy(), spec.hop_samples))
