"""A model of one class and a background in three dimensions, and streams of hops around points of its space."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamgmm.decision.hop_scores import HopScores
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.window import n_features
from streamgmm.model.classifier import Classifier
from streamgmm.model.mixture import Mixture, MixtureBank
from streamgmm.model.model import Model
from streamgmm.model.projection import Projection
from streamgmm.pipeline import Pipeline
from streamgmm.records import Record, Start
from streamgmm.settings.config import Config

# Hops as long as they may be, so that an hour takes few.
SPEC = FeatureSpec(sample_rate_hz=8000, window_s=1.0, hop_s=0.24, n_bands=8)
HOP_S = SPEC.hop_samples / SPEC.sample_rate_hz
BELL = (6.0, 0.0, 0.0)
HUM = (2.2, 1.5, 0.0)
"""A sound of the room: background for the model, but so near to the bell that it is taken for it now and then."""

QUIET_ROOM = (-3.0, -2.0, 1.0)


def make_mixture(mean: tuple[float, ...], deviation: float) -> Mixture:
    return Mixture(np.ones(1), np.array([mean]), np.full((1, 3), deviation**2), "diag")


def make_model(sha256: str = "a" * 64, *, has_label: bool = True) -> Model:
    projection = Projection(np.zeros(n_features(SPEC)), np.ones(n_features(SPEC)), np.eye(n_features(SPEC), 3))
    bell, background = make_mixture(BELL, 1.0), make_mixture((0.0, 0.0, 0.0), 3.0)
    labels, mixtures = (("bell", "background"), (bell, background)) if has_label else (("bell",), (bell,))
    floors = np.full(len(labels), -np.inf)
    return Model("bells", SPEC, Classifier(labels, projection, mixtures, background, 0.8, floors), sha256=sha256)


def make_pipeline(model: Model | None = None, config: Config | None = None, *, learns_room: bool = True) -> Pipeline:
    return Pipeline(model or make_model(), config or Config(), "run", learns_room=learns_room)


def points(centre: tuple[float, ...], duration_s: float, seed: int = 0, deviation: float = 0.7) -> np.ndarray:
    """Vectors of a sound, shape (n, 3), each of them near the one before, as overlapping windows are."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(round(duration_s / HOP_S), 3))
    offsets, last = np.empty_like(steps), np.zeros(3)
    for i, step in enumerate(steps):
        offsets[i] = last = 0.8 * last + 0.6 * step
    return np.array(centre) + deviation * offsets


class Stream:
    """Feeds a pipeline with hops; positions go on from call to call."""

    def __init__(self, pipeline: Pipeline, model: Model | None = None) -> None:
        self.pipeline = pipeline
        self._classifier = (model or make_model()).classifier
        self._bank = MixtureBank(self._classifier.all_mixtures)
        self._n_hops = 0

    def hear(self, vectors: np.ndarray, level_dbfs: float = -30.0) -> list[Record]:
        return self.pipeline.decide(self._hops(vectors, level_dbfs))

    def n_starts(self, vectors: np.ndarray) -> int:
        return sum(isinstance(record, Start) for record in self.hear(vectors))

    def lose(self) -> None:
        """Lose no audio, which is a loss all the same."""
        self.pipeline.analyser.skip(self._n_hops * SPEC.hop_samples - self.pipeline.analyser.end_sample)
        self.pipeline.lost(0, "overload")

    def hop(self, vector: np.ndarray, level_dbfs: float = -30.0, window_share: float = 1.0) -> HopScores:
        scores = self._bank.log_likelihoods(vector)
        n_labels = len(self._classifier.labels)
        self._n_hops += 1
        return HopScores(
            end_sample=self._n_hops * SPEC.hop_samples,
            level_dbfs=level_dbfs,
            log_likelihoods=scores[:n_labels],
            llrs=scores[:n_labels] - scores[-1],
            is_in_domain=np.ones(n_labels, dtype=bool),
            levels_db=np.full(1, level_dbfs),
            window_share=window_share,
            projected=vector,
            of_window=scores,
        )

    def _hops(self, vectors: np.ndarray, level_dbfs: float) -> Iterator[HopScores]:
        return (self.hop(vector, level_dbfs) for vector in vectors)


def bells(n_bells: int, seed: int = 1) -> np.ndarray:
    """Bells of two seconds, six seconds apart, in a quiet room."""
    parts = []
    for i in range(n_bells):
        parts += [points(QUIET_ROOM, 6.0, seed + i), points(BELL, 2.0, 1000 + seed + i)]
    return np.concatenate([*parts, points(QUIET_ROOM, 6.0, seed)])
