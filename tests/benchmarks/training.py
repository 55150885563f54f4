"""Prints what a training costs beside a plain script: `python -m tests.benchmarks.training [FOLDER] [--quick]`.

The script is what one would write with librosa and scikit-learn for the same purpose: MFCC with their slopes of each
clip and of three copies of it (faster, slower, noisy), and a mixture per label, whose number of components is chosen by
cross-validation. It learns nothing of other sounds, no threshold and no calibration. FOLDER is a data set below
STREAMGMM_DATA (default: esc10).
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from streamgmm.arrays import AnyArray, Float64Array, Samples
from streamgmm.dataset.dataset import read_dataset
from tests.benchmarks.live import memory_mib

N_COMPONENTS = (8, 16, 32)
SPEEDS = (0.9, 1.1)
NOISE_DB = 10.0
N_FOLDS = 5
PERIOD_S = 0.25


class Cost(NamedTuple):
    """Of a process and all its children: wall time (s), CPU time (s), and the highest sum of their PSS (MiB)."""

    wall_s: float
    busy_s: float
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training", description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", default="esc10", help="data set below STREAMGMM_DATA (default: esc10)")
    parser.add_argument("--quick", action="store_true", help="train without the search for settings")
    parser.add_argument("--script", action="store_true", help="be the plain script")
    args = parser.parse_args()
    folder = Path(os.environ["STREAMGMM_DATA"]) / args.folder
    if args.script:
        run_script(folder)
    else:
        Console(width=110).print(training_table(folder, is_quick=args.quick))


def training_table(folder: Path, *, is_quick: bool) -> Table:
    """Costs of the plain script, of a first training, and of a second one on the same recordings."""
    table = Table("training", title=f"{folder.name}, all processes")
    for heading in ("wall s", "CPU s", "CPU, part of the script's", "peak PSS MiB"):
        table.add_column(heading, justify="right")
    script = watch([sys.executable, "-m", "tests.benchmarks.training", folder.name, "--script"], dict(os.environ))
    table.add_row("librosa and scikit-learn", *_cells(script, script))
    with tempfile.TemporaryDirectory() as cache:
        for name in ("streamgmm train", "the same again, features cached"):
            cost = watch(_train_command(folder, Path(cache), is_quick), {**os.environ, "XDG_CACHE_HOME": cache})
            table.add_row(name, *_cells(cost, script))
    return table


def _train_command(folder: Path, output: Path, is_quick: bool) -> list[str]:
    command = [sys.executable, "-m", "streamgmm", "train", str(folder), "-o", str(output / "model.sgm"), "--no-memory"]
    return [*command, *(["--quick"] if is_quick else [])]


def _cells(cost: Cost, script: Cost) -> list[str]:
    times = [f"{cost.wall_s:.0f}", f"{cost.busy_s:.0f}", f"{cost.busy_s / script.busy_s:.2f}"]
    return [*times, f"{cost.peak_mib:.0f}"]


def watch(command: list[str], env: dict[str, str]) -> Cost:
    """Run a command to its end, and measure it."""
    started_s, peak_mib = time.monotonic(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as program:
        before = os.times()
        while program.poll() is None:
            with suppress(FileNotFoundError, ProcessLookupError):  # a process of it has just ended
                peak_mib = max(peak_mib, memory_mib(program.pid)[1])
            time.sleep(PERIOD_S)
        after = os.times()
    if program.returncode:
        raise RuntimeError(f"{command[2]} failed ({program.returncode})")
    busy_s = after.children_user - before.children_user + after.children_system - before.children_system
    return Cost(time.monotonic() - started_s, busy_s, peak_mib)


def run_script(folder: Path) -> None:
    """Choose the number of components by cross-validation, and fit a mixture of each label."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    clips = read_dataset(folder).clips
    labels = np.array([clip.label for clip in clips])
    features = [_features(clip.path) for clip in clips]
    folds = np.random.default_rng(0).permutation(len(clips)) % N_FOLDS
    right = {n: np.mean([_accuracy(features, labels, folds == i, n) for i in range(N_FOLDS)]) for n in N_COMPONENTS}
    best = max(N_COMPONENTS, key=lambda n: right[n])
    _fit(features, labels, best)
    print(f"{best} components: {right[best]:.1%}", file=sys.stderr)


def _features(path: Path) -> list[Float64Array]:
    """MFCC and slopes of a clip, then of its copies, each of shape (n_frames, 40)."""
    samples, rate_hz = librosa.load(path, sr=None)
    copies = [samples, *(librosa.effects.time_stretch(samples, rate=speed) for speed in SPEEDS), _noisy(samples)]
    found = []
    for one in copies:
        mfcc = librosa.feature.mfcc(y=one, sr=rate_hz, n_mfcc=20)
        found.append(np.concatenate([mfcc, librosa.feature.delta(mfcc, mode="nearest")]).T.astype(np.float64))
    return found


def _noisy(samples: Samples) -> Samples:
    deviation = np.sqrt(np.mean(np.square(samples))) * 10.0 ** (-NOISE_DB / 20.0)
    noise = np.random.default_rng(0).standard_normal(len(samples), dtype=np.float32)
    return np.asarray(samples + np.float32(deviation) * noise)


def _accuracy(features: list[list[Float64Array]], labels: AnyArray, is_tested: AnyArray, n_components: int) -> float:
    mixtures = _fit([*compress(features, ~is_tested)], labels[~is_tested], n_components)
    scores = [[mixture.score(clip[0]) for mixture in mixtures.values()] for clip in compress(features, is_tested)]
    return float(np.mean(np.array([*mixtures])[np.argmax(scores, axis=1)] == labels[is_tested]))


def _fit(features: list[list[Float64Array]], labels: AnyArray, n_components: int) -> dict[str, GaussianMixture]:
    return {
        label: GaussianMixture(n_components, covariance_type="diag", reg_covar=1.0, random_state=0).fit(
            np.concatenate([copy for clip in compress(features, labels == label) for copy in clip])
        )
        for label in np.unique(labels)
    }


if __name__ == "__main__":
    main()
