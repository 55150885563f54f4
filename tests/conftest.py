"""What tests of several rooms share: a model of a few generated sounds, and a scene in which they occur."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings

from streamgmm.dataset.dataset import read_dataset
from streamgmm.demo.recordings import write_training_set, write_wav
from streamgmm.demo.scene import make_scene
from streamgmm.demo.sounds import SOUNDS
from streamgmm.model.file import save_model
from streamgmm.settings.config import Config
from streamgmm.training.trainer import train

DEMO_LABELS = ("doorbell", "knocking", "siren", "smoke_alarm")
DEMO_RATE_HZ = 16000
DEMO_CLIPS = 6
QUICK = {
    "search": False,
    "n_speed_copies": 0,
    "n_noise_copies": 0,
    "n_context_copies": 0,
    "world": False,
    "n_jobs": 1,
    "cache": False,
}
SCENE_S = 60.0
PROGRAMS_OF_OTHERS = (
    "system",
    "archive",
    "cli/test_archive.py",
    "monitor/test_monitor.py",
    "sinks/mqtt",
    "training/test_cluster.py",
)
"""Tests with sound servers, brokers, schedulers of a cluster, or terminals."""

CACHE_HOME = Path(tempfile.gettempdir()) / f"streamgmm-cache-{os.getpid()}"


def write_demo_model(folder: Path) -> Path:
    """A model of `DEMO_LABELS` and background, with the recordings that it was made of beside it."""
    write_training_set(folder / "recordings", DEMO_CLIPS, 0, DEMO_RATE_HZ)
    for label in set(SOUNDS) - set(DEMO_LABELS):
        shutil.rmtree(folder / "recordings" / label)
    config = msgspec.convert({"training": QUICK}, Config)
    save_model(train(read_dataset(folder / "recordings"), config, name="demo").model, folder / "demo.sgm")
    return folder / "demo.sgm"


# The speed of an example depends on what else the machine does.
settings.register_profile("streamgmm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("streamgmm")


def pytest_configure() -> None:
    """Let programs that tests start hear signals that this one ignores, as under `nohup` or behind `&`."""
    # Of this process alone: tests see nothing of the cache of the user, and share what the world sounds like.
    os.environ["XDG_CACHE_HOME"] = str(CACHE_HOME)
    os.environ.pop("STREAMGMM_CONFIG", None)
    for number in {signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # unlike SIG_IGN, not inherited over exec(2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Repeat a test of programs of others once: they lose a request now and then.

    A repetition is shown in the report (`-rR`); a fault of our own fails twice.
    """
    for item in items:
        if _has_programs_of_others(item.path):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give the tests of a file to one process, and to another one all those of programs of others."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "programs of others" if _has_programs_of_others(config.rootpath / file) else file

    return ByFile(config, log)


def _has_programs_of_others(file: Path) -> bool:
    return any(file.is_relative_to(Path(__file__).parent / name) for name in PROGRAMS_OF_OTHERS)


def pytest_unconfigure() -> None:
    """Remove the cache of this process."""
    shutil.rmtree(CACHE_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def no_clips_of_other_tests() -> None:
    """Begin without clips that another test has measured: all but the tests of the cache are to measure theirs."""
    shutil.rmtree(CACHE_HOME / "streamgmm" / "clips", ignore_errors=True)


@pytest.fixture(scope="session")
def demo_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of `DEMO_LABELS` and background, trained once."""
    return write_demo_model(tmp_path_factory.mktemp("demo_model"))


@pytest.fixture(scope="session")
def demo_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of 16-bit mono audio at the model's rate, in which every label occurs."""
    path = tmp_path_factory.mktemp("demo_scene") / "scene.wav"
    write_wav(path, make_scene(SCENE_S, 0, DEMO_RATE_HZ).samples, DEMO_RATE_HZ)
    return path
