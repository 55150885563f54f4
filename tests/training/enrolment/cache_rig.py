"""Training caches of synthetic vectors, and models fitted to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from streamgmm.features.cepstra import n_cepstral_features
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.window import n_features
from streamgmm.model.model import Model
from streamgmm.settings.decision import LabelSection
from streamgmm.settings.training import TrainingSection
from streamgmm.training.enrolment.training_cache import TrainingCache, make_cache
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, ContextCopy
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.trainer import fit_calibrated, make_card
from tests.training.training_rig import make_clip

SPEC = FeatureSpec(sample_rate_hz=8000, n_bands=8)
TASK = ExtractionTask(
    spec=SPEC,
    training=TrainingSection(
        search=False,
        n_components=1,
        n_cepstral_components=2,
        n_speed_copies=0,
        n_noise_copies=0,
        n_context_copies=0,
        world=False,
        n_jobs=1,
    ),
    channel="mean",
    silence_gate_dbfs=-75.0,
)
LABELS = ("dog", "owl", "siren")


def wide_clip(
    label: str, number: int, *, n_windows: int = 6, has_cepstra: bool = False, n_contexts: int = 0
) -> ClipVectors:
    """A clip around a place of its label's own, as wide as the features of `SPEC`; as many copies as windows."""
    clip = make_clip(label, number)
    rng = np.random.default_rng(int(clip.content_sha256, 16))
    centre = np.random.default_rng(sum(map(ord, label))).normal(0.0, 1.5, n_features(SPEC))
    vectors = (centre + rng.normal(size=(2 * n_windows, len(centre)))).astype(np.float32)
    shares = np.linspace(0.25, 1.0, n_windows)
    frames = wide_frames(rng, n_windows) if has_cepstra else None
    contexts = tuple(
        ContextCopy(
            padded(vectors),
            np.linspace(0.0, 1.0, len(vectors) + 1),
            np.full(len(vectors) + 1, -20.0),
            i * 6.0,
            wide_frames(rng, len(vectors) + 1) if has_cepstra else None,
        )
        for i in range(n_contexts)
    )
    return ClipVectors(clip, vectors[:n_windows], vectors[n_windows:], shares, frames, contexts)


def padded(vectors: np.ndarray) -> np.ndarray:
    """After a window that has no vector."""
    return np.concatenate([np.full_like(vectors[:1], np.nan), vectors])


def wide_frames(rng: np.random.Generator, n_windows: int) -> ClipCepstra:
    """Seven frames a window, of which two are those of the window before; and two that no window holds."""
    vectors = rng.normal(size=(5 * n_windows + 4, n_cepstral_features(SPEC))).astype(np.float32)
    first = 5 * np.arange(n_windows) + 1
    return ClipCepstra(
        vectors, vectors[:9] + 1.0, np.stack([first, first + 7], axis=1)[:n_windows].clip(max=len(vectors))
    )


def wide_clips(labels: Iterable[str] = LABELS, n_clips: int = 4, **settings: Any) -> list[ClipVectors]:
    return [wide_clip(label, number, **settings) for label in labels for number in range(n_clips)]


def small_cache(labels: Iterable[str] = LABELS, *, has_cepstra: bool = False, **settings: Any) -> TrainingCache:
    return make_cache(wide_clips(labels, has_cepstra=has_cepstra, **settings), TASK, has_cepstra=has_cepstra)


def model_of(cache: TrainingCache, **decision: LabelSection) -> Model:
    """A model fitted to `cache`, not linked to it yet."""
    choice = "always" if cache.has_cepstra else "never"
    training = msgspec.structs.replace(cache.task.training, cepstra=choice)
    task = msgspec.structs.replace(cache.task, training=training)
    fit, validation = fit_calibrated(cache.clips, cache.labels, task)
    card = make_card(cache.labels, cache.task, cache.clips, validation)
    model = Model(name="yard", spec=SPEC, classifier=calibrated(fit, validation.calibration), card=card)
    return replace(model, decision=decision)


def assert_same_cache(first: TrainingCache, second: TrainingCache) -> None:
    """Equal to the last bit."""
    assert first.task == second.task
    assert [clip.clip for clip in first.clips] == [clip.clip for clip in second.clips]
    for one, other in zip(first.clips, second.clips, strict=True):
        for own, their in zip(arrays_of(one), arrays_of(other), strict=True):
            assert own.dtype == their.dtype
            assert np.array_equal(own, their, equal_nan=True)


def arrays_of(clip: ClipVectors) -> list[np.ndarray]:
    contexts = [
        part for one in clip.contexts for part in (one.vectors, one.covers, one.levels_dbfs, *(one.cepstra or ()))
    ]
    return [clip.vectors, clip.copies, clip.votes, *(clip.cepstra or ()), *contexts]
