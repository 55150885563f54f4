"""The machine that is measured, and how much its filter bank multiplies."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from streamgmm import __version__
from streamgmm.bench.result import Machine
from streamgmm.cores import count_cores
from streamgmm.features.bank import design_bands, n_taps
from streamgmm.features.kernel.loader import kernel_name
from streamgmm.features.spec import FeatureSpec

CPU_INFO = Path("/proc/cpuinfo")
DISTRIBUTIONS = {"pywt": "pywavelets"}
"""Names of distributions that differ from those of their modules."""


def describe_machine(modules: Iterable[str]) -> Machine:
    """Return processor, cores, kernel and the versions of `modules`."""
    versions = {"streamgmm": __version__, "python": platform.python_version()}
    for module in modules:
        try:
            versions[module] = version(DISTRIBUTIONS.get(module, module))
        except PackageNotFoundError:
            versions[module] = "unknown"
    return Machine(processor=_processor(), n_cores=count_cores(), kernel=kernel_name(), versions=versions)


def multiply_adds_per_s(spec: FeatureSpec) -> float:
    """Count the multiply-adds of the bank per second of sound, two for each tap of each coefficient."""
    rate_hz = spec.sample_rate_hz
    return sum(2.0 * n_taps(band, rate_hz) * rate_hz / band.decimation for band in design_bands(spec))


def _processor() -> str:
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.processor() or platform.machine()
