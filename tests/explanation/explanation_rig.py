"""Models of random numbers, and intermittent noise as their input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection
from streamgmm.settings.output import OutputSection
from tests.model.model_rig import N_FRAME_FEATURES, SPEC, make_model

CONFIG = Config(
    decision=DecisionSection(onset_threshold=0.6, min_llr=-1e6, min_duration_s=0.0),
    output=OutputSection(windows=True),
)
"""Passes every background, and reports every hop."""

FLOOR = -3.0
DURATION_S = 6.0
SILENT_S = (4.0, 4.5)


def random_model(labels=("dog", "glass", "owl"), *, has_cepstra=False, **settings) -> Model:
    """Confident enough that events come and go, and strict enough that some windows are unknown."""
    model = make_model(labels=labels, n_cepstral_features=N_FRAME_FEATURES if has_cepstra else 0, **settings)
    classifier = replace(
        model.classifier, likelihood_scale=3.0, floors=np.full(len(labels), -15.0 if has_cepstra else FLOOR)
    )
    return replace(model, classifier=classifier)


def noise() -> np.ndarray:
    """Noise in bursts at the rate of `SPEC`, with digital silence at `SILENT_S`."""
    rng = np.random.default_rng(3)
    rate_hz = SPEC.sample_rate_hz
    bursts = np.repeat(rng.gamma(0.5, size=round(4 * DURATION_S)), rate_hz // 4)
    samples = (0.1 * bursts * rng.normal(size=len(bursts))).astype(np.float32)
    begin, end = (round(bound_s * rate_hz) for bound_s in SILENT_S)
    samples[begin:end] = 0.0
    return samples


def in_blocks(samples: np.ndarray, n_block=1234) -> Iterator[np.ndarray]:
    for begin in range(0, len(samples), n_block):
        yield samples[begin : begin + n_block]
