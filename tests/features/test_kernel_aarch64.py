"""The kernel on AArch64, as on a Raspberry Pi: compiled for it, and run by an emulator of that processor."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from streamgmm.features.analysis import HopMeasures
from streamgmm.features.cepstra import n_cepstral_features
from streamgmm.features.kernel.analysis import design_of
from streamgmm.features.kernel.loader import VARIABLE, find_kernel
from streamgmm.features.kernel.version import FOLDER, SOURCES
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.window import n_features
from streamgmm.model.mixture import MixtureBank
from streamgmm.model.scoring import KernelScorer
from tests.features.kernel_rig import assert_same, hops_of, noise
from tests.model.model_rig import make_parts
from tests.required import require_or_skip

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
ROOT = "/usr/aarch64-linux-gnu"
"""Where the libraries of that processor are, for the emulator."""

DRIVER = Path(__file__).with_name("kernel_driver.c")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel as a program for AArch64."""
    for part in (COMPILER, EMULATOR):
        if shutil.which(part) is None:
            require_or_skip("aarch64", f"{part} is not installed")
    path = tmp_path_factory.mktemp("aarch64") / "kernel"
    sources = [FOLDER / source.name for source in SOURCES]
    flags = ["-std=gnu11", "-O3", "-Wall", "-Werror", "-Wno-psabi", '-DKERNEL_VERSION="test"', f"-I{FOLDER}"]
    subprocess.run([COMPILER, *flags, "-o", path, DRIVER, *sources, "-lm"], check=True)
    return path


def run(program: Path, *parts: bytes) -> np.ndarray:
    done = subprocess.run([EMULATOR, "-L", ROOT, program], input=b"".join(parts), capture_output=True, check=True)
    return np.frombuffer(done.stdout)


def analysis_input(spec: FeatureSpec, hops: np.ndarray) -> list[bytes]:
    """What the program reads of a design and the hops to analyse."""
    tables = design_of(spec)
    taps = [group.taps.tobytes() for group in tables.groups]
    others = [tables.arrays[name].tobytes() for name in ("first_state", "shape_cosines", "cepstral_cosines")]
    designs = [bytes(tables.design), bytes(tables.group_designs)]
    return [*designs, *taps, *others, np.int32(len(hops)).tobytes(), hops.tobytes()]


def scoring_input(scorer: KernelScorer, vectors: np.ndarray) -> list[bytes]:
    """What the program reads of mixtures and the vectors to score."""
    names = ("starts", "mean", "matrix", "log_norms", "factors", "means")
    arrays = [scorer._arrays[name].tobytes() for name in names]
    return [bytes(scorer._mixtures), *arrays, np.int32(len(vectors)).tobytes(), vectors.tobytes()]


def measures_of(output: np.ndarray, spec: FeatureSpec, n_hops: int) -> list[HopMeasures]:
    rows = output[: n_hops * (2 + spec.hop_frames + n_features(spec))].reshape(n_hops, -1)
    frames = output[rows.size :].reshape(-1, n_cepstral_features(spec))
    ends = np.cumsum(rows[:, 0]).astype(int).tolist()
    first = 2 + spec.hop_frames
    each = zip(rows, [0, *ends], ends, strict=False)
    return [HopMeasures(row[1], row[2:first], row[first:], frames[begin:end]) for row, begin, end in each]


def make_scorer() -> KernelScorer:
    projection, mixtures = make_parts(3, n_features=50, n_dimensions=25)
    kernel = find_kernel()
    if kernel is None:
        require_or_skip("kernel", "it was not built: pip install -e .")
    return KernelScorer(kernel, projection, mixtures, MixtureBank(mixtures))


@pytest.mark.parametrize(("rate_hz", "window_s"), [(16000, 1.0), (44100, 1.0), (16000, 4.0)])
def test_aarch64_has_the_features_and_scores_of_this_machine(program: Path, rate_hz: int, window_s: float) -> None:
    spec = FeatureSpec(sample_rate_hz=rate_hz, window_s=window_s)
    hops = hops_of(spec, noise(rate_hz))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        scorer = make_scorer()
    vectors = np.random.default_rng(4).normal(size=(9, 50))
    expected = scorer.score(vectors).log_likelihoods
    output = run(program, *analysis_input(spec, hops), *scoring_input(scorer, vectors))
    np.testing.assert_allclose(output[-expected.size :].reshape(expected.shape), expected, rtol=1e-10, atol=1e-9)
    assert_same(measures_of(output[: -expected.size], spec, len(hops)), spec, noise)
