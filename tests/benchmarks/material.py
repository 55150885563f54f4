"""A model and a scene to measure with, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from streamgmm.dataset.dataset import read_dataset
from streamgmm.demo.recordings import write_training_set, write_wav
from streamgmm.demo.scene import make_scene
from streamgmm.model.file import save_model
from streamgmm.settings.config import Config
from streamgmm.training.trainer import train

RATE_HZ = 16000
SCENE_S = 60.0


class Material(NamedTuple):
    """Ten sounds, a model of them, and a minute in which they occur."""

    model_path: Path
    scene_path: Path
    rate_hz: int


def make_material(folder: Path, rate_hz: int = RATE_HZ) -> Material:
    write_training_set(folder / "recordings", 6, 0, rate_hz)
    training = train(read_dataset(folder / "recordings"), Config(), name="benchmark")
    model_path, scene_path = folder / "model.sgm", folder / "scene.wav"
    save_model(training.model, model_path)
    write_wav(scene_path, make_scene(SCENE_S, 0, rate_hz).samples, rate_hz)
    return Material(model_path, scene_path, rate_hz)
