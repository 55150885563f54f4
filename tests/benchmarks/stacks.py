"""What a hop costs in a stack of many sources, relative to a hop alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from rich.table import Table

from streamgmm.audio.reading import read_recording
from streamgmm.model.file import load_model
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.settings.config import Config
from streamgmm.settings.output import OutputSection
from streamgmm.stack import records_of_stack
from tests.benchmarks.material import Material

SIZES = (2, 4, 8, 16, 32)
CONFIG = Config(output=OutputSection(windows=True))


def stacks_table(material: Material, n_rounds: int) -> Table:
    """Costs of stacks of 2 to 32 hops."""
    model, samples = load_model(material.model_path), read_recording(material.scene_path).samples
    table = Table("hops in a stack", title="CPU of a hop in a stack")
    table.add_column("times alone", justify="right")
    for size in SIZES:
        table.add_row(str(size), f"{stack_ratio(model, samples, size, n_rounds):.2f}")
    return table


def stack_ratio(model: Model, samples: np.ndarray, size: int, n_rounds: int) -> float:
    """CPU of `size` hops in a stack, relative to that of each by itself: the median of interleaved rounds."""
    n = model.spec.hop_samples
    hops = samples[: len(samples) // n * n].reshape(-1, n)
    alone, stacked = ([Pipeline(model, CONFIG, "run") for _ in range(size)] for _ in range(2))
    ratios = []
    # The first round fills windows and caches.
    for i in range(n_rounds + 1):
        some = hops[10 * i % (len(hops) - 10) :][:10]
        alone_s = _cpu_s(lambda hop: [pipeline.push(hop) for pipeline in alone], some)
        stacked_s = _cpu_s(lambda hop: records_of_stack(stacked, [hop] * size), some)
        ratios.append(stacked_s / alone_s)
    return float(np.median(ratios[1:]))


def _cpu_s(work: Callable[[np.ndarray], object], hops: Sequence[np.ndarray] | np.ndarray) -> float:
    started_s = time.thread_time()
    for hop in hops:
        work(hop)
    return time.thread_time() - started_s
