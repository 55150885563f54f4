"""A scene, and a model of three moments of it, so that labels come and go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamgmm.demo.scene import make_scene
from streamgmm.features.extractor import extract
from streamgmm.features.spec import FeatureSpec
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.classifier import Classifier
from streamgmm.model.mixture import Mixture
from streamgmm.model.model import Model
from streamgmm.model.projection import Projection
from streamgmm.records import Record, Stamper, encode_json, numbered
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection
from streamgmm.settings.output import OutputSection

SPEC = FeatureSpec(sample_rate_hz=8000)
LABELS = ("ding", "dong", "hum")
DURATION_S = 12.0
CONFIG = Config(
    decision=DecisionSection(min_llr=-1e6, min_duration_s=0.0, smoothing_s=0.1),
    output=OutputSection(windows=True, updates=True),
)


def make_samples() -> np.ndarray:
    scene = make_scene(60.0, 5, SPEC.sample_rate_hz)
    return np.asarray(scene.samples[: int(DURATION_S * SPEC.sample_rate_hz) + 777])


def make_bells(samples: np.ndarray, *, has_frames: bool) -> Model:
    """Mixtures around windows of the very scene."""
    features = extract(samples, SPEC, has_cepstra=True)
    vectors = features.vectors
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((vectors.shape[1], 4)) / 20
    projection = Projection(vectors.mean(axis=0), vectors.std(axis=0) + 1e-3, matrix)
    projected = projection.apply(vectors)
    anchors = projected[[10, 45, 80]]
    mixtures = tuple(Mixture(np.ones(1), anchor[None], np.full((1, 4), 0.5), "diag") for anchor in anchors)
    background = Mixture(np.ones(1), projected.mean(axis=0)[None], projected.var(axis=0)[None] * 9 + 1, "diag")
    classifier = Classifier(LABELS, projection, mixtures, background, 1.0, np.full(3, -np.inf))
    if has_frames:
        classifier = replace(classifier, cepstra=mixtures_of_frames(features.cepstra))
    return Model(name="bells", spec=SPEC, classifier=classifier)


def mixtures_of_frames(frames: np.ndarray) -> CepstralMixtures:
    """A component for each label and the background, around single frames."""
    projection = Projection(frames.mean(axis=0), frames.std(axis=0), np.eye(frames.shape[1]))
    anchors = projection.apply(frames[[100, 300, 500, 700]])
    mixtures = tuple(Mixture(np.ones(1), anchor[None], np.full(anchor[None].shape, 4.0), "diag") for anchor in anchors)
    return CepstralMixtures(projection, mixtures, 0.02)


def lines(records: list[Record]) -> bytes:
    """The records as they are sent."""
    stamper = Stamper("test")
    return b"".join(encode_json(record) for record in numbered(map(stamper.stamp, records)))
