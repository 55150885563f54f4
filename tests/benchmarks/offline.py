"""Costs without a clock: the stages of the pipeline, and `classify` as a whole process."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pywt
import soundfile
from rich.table import Table

from streamgmm.features.bank import design_bands
from streamgmm.features.extractor import FeatureStream
from streamgmm.features.kernel.library import kernel_name
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.transform import WaveletTransform
from streamgmm.pipeline import Pipeline
from streamgmm.settings.config import Config
from tests.benchmarks.material import SCENE_S, Material

PEER_SECONDS = 2.0


def stages_table(material: Material, n_rounds: int) -> Table:
    """CPU time of each stage per second of audio, medians of interleaved rounds, with PyWavelets' cwt as peer."""
    table = Table("stage", title=f"CPU per second of audio, one core (kernel: {kernel_name()})")
    for heading in ("ms", "x real time"):
        table.add_column(heading, justify="right")
    samples, rate_hz = soundfile.read(material.scene_path, dtype="float32")
    times_s: dict[str, list[float]] = {}
    for _ in range(n_rounds):
        for name, (seconds, work) in _stages(material, samples, rate_hz).items():
            started_s = time.process_time()
            work()
            times_s.setdefault(name, []).append((time.process_time() - started_s) / seconds)
    for name, values in times_s.items():
        table.add_row(name, f"{1000 * median(values):.2f}", f"{1 / median(values):.0f}")
    return table


def _stages(material: Material, samples: np.ndarray, rate_hz: int) -> dict[str, tuple[float, Callable[[], object]]]:
    noise = np.random.default_rng(0).standard_normal(44100 * 10).astype(np.float32) * 0.1
    peer = samples[: int(PEER_SECONDS * rate_hz)]
    bands = design_bands(material.model.spec)
    scales = [pywt.central_frequency("cmor1.5-1.0") * rate_hz / band.centre_hz for band in bands]

    def transform() -> None:
        bank = WaveletTransform(material.model.spec)
        n = material.model.spec.hop_samples
        for start in range(0, len(samples) - n, n):
            bank.push_hop(samples[start : start + n])

    return {
        "peer: pywt.cwt, as many bands, 16 kHz": (PEER_SECONDS, lambda: pywt.cwt(peer, scales, "cmor1.5-1.0")),
        "wavelet bank in numpy, 16 kHz": (SCENE_S, transform),
        "features, 16 kHz": (SCENE_S, lambda: FeatureStream(material.model.spec).push(samples)),
        "features, 44.1 kHz": (10.0, lambda: FeatureStream(FeatureSpec(sample_rate_hz=44100)).push(noise)),
        "samples to records, 16 kHz": (SCENE_S, lambda: Pipeline(material.model, Config()).push(samples)),
    }


def classify_table(material: Material, n_rounds: int) -> Table:
    """`classify` as a process: CPU of all of it, start of the interpreter included."""
    command = [sys.executable, "-m", "streamgmm", "classify", "--model", str(material.model_path)]
    files = [str(material.scene_path)] * 10
    values = []
    for _ in range(n_rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, *files], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        values.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    cpu_s, audio_s = median(values), len(files) * SCENE_S
    table = Table("classify, whole process", title="Ten minutes of audio at 16 kHz")
    for heading in ("CPU s", "x real time on one core"):
        table.add_column(heading, justify="right")
    table.add_row("10 files of 60 s", f"{cpu_s:.2f}", f"{audio_s / cpu_s:.0f}")
    return table
