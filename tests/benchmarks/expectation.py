"""Prints how long expectation maximisation takes beside scikit-learn's, from the same start, with the same likelihood:
`python -m tests.benchmarks.expectation [--vectors N] [--rounds N]`."""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
import warnings
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from streamgmm.model.mixture import Mixture, MixtureBank
from streamgmm.training.fitting.expectation import maximise, spread_mixture

N_DIMENSIONS = 40
N_ITERATIONS = 5
FLOOR = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.expectation", description=__doc__.split("\n")[0])
    parser.add_argument("--vectors", type=int, default=200_000, metavar="N", help="of 40 dimensions (default: 200000)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of both by turns (default: 5)")
    args = parser.parse_args()
    table = Table("components", title=f"{N_ITERATIONS} iterations on {args.vectors} vectors, CPU time on one core")
    for heading in ("scikit-learn, s", "streamgmm, s", "ratio", "difference of log-likelihoods, nat"):
        table.add_column(heading, justify="right")
    warnings.simplefilter("ignore", ConvergenceWarning)
    for n_components in (16, 64):
        table.add_row(*_measure(n_components, args.vectors, args.rounds))
    Console(width=120).print(table)


def _measure(n_components: int, n_vectors: int, n_rounds: int) -> list[str]:
    rng = np.random.default_rng(n_components)
    centres = 2.0 * rng.standard_normal((n_components, N_DIMENSIONS))
    vectors = centres[rng.integers(n_components, size=n_vectors)] + rng.standard_normal((n_vectors, N_DIMENSIONS))
    start = spread_mixture(vectors[:10_000], n_components, seed=0, variance_floor=1.0)
    times_s: list[tuple[float, float]] = []
    for _ in range(n_rounds):
        before_s = time.process_time()
        theirs = _theirs(vectors, start)
        between_s = time.process_time()
        ours = maximise(vectors, start, variance_floor=FLOOR, max_iterations=N_ITERATIONS)
        times_s.append((between_s - before_s, time.process_time() - between_s))
    difference = MixtureBank([ours]).log_likelihoods_of_many(vectors).mean() - theirs.score(vectors)
    their_s, our_s = (median(column) for column in zip(*times_s, strict=True))
    ratio = median(one / other for one, other in times_s)
    return [str(n_components), f"{their_s:.2f}", f"{our_s:.2f}", f"{ratio:.1f}", f"{difference:.0e}"]


def _theirs(vectors: np.ndarray, start: Mixture) -> GaussianMixture:
    mixture = GaussianMixture(
        start.n_components,
        covariance_type="diag",
        reg_covar=FLOOR,
        max_iter=N_ITERATIONS,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=1.0 / start.covariances,
    )
    return mixture.fit(vectors)


if __name__ == "__main__":
    main()
