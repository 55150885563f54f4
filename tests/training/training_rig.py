"""Clips without recordings, and small data sets of made sounds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import Dataset
from streamgmm.decision.clip import ClipDecision
from streamgmm.demo.recordings import render_clip, write_wav
from streamgmm.evaluation.answering import ClipAnswer
from streamgmm.settings.config import Config
from streamgmm.training.extraction.clip_vectors import ClipVectors

RATE_HZ = 8000
QUICK = tuple(
    part
    for setting in ("search=false", "n_jobs=1", "n_speed_copies=0", "n_context_copies=0", "world=false")
    for part in ("--set", f"training.{setting}")
)
"""Options of a command that make a training short."""
SOUND_LABELS = ("bird_song", "footsteps", "phone_ring")
N_FEATURES = 12


def write_sounds(root: Path, labels: Iterable[str] = SOUND_LABELS, n_clips: int = 4, rate_hz: int = RATE_HZ) -> Path:
    """A folder per label with `n_clips` recordings of about 2.5 s each."""
    for i_label, label in enumerate(labels):
        (root / label).mkdir(parents=True)
        for i_clip in range(n_clips):
            rng = np.random.default_rng((9, i_label, i_clip))
            write_wav(root / label / f"{i_clip}.wav", render_clip(label, rng, rate_hz), rate_hz)
    return root


def config_with(**training: Any) -> Config:
    """The default settings with other ones for training; one process, as the data sets are small, and no cache."""
    return msgspec.convert({"training": {"n_jobs": 1, "cache": False, **training}}, Config)


def quick_config(**training: Any) -> Config:
    """Like `config_with`, without the world, the copies and the search that cost most of the time."""
    return config_with(**{"n_speed_copies": 0, "n_context_copies": 0, "world": False, "search": False, **training})


def make_clip(label: str, number: int, *, source_id: str | None = None, fold: str | None = None) -> Clip:
    """A clip of a recording that does not exist."""
    name = f"{label}/{number}.wav"
    return Clip(
        path=Path(name),
        label=label,
        source_id=source_id or name,
        fold=fold,
        duration_s=1.0,
        sample_rate_hz=RATE_HZ,
        content_sha256=hashlib.sha256(name.encode()).hexdigest(),
    )


def make_dataset(clips: Sequence[Clip]) -> Dataset:
    """A data set of `clips`, nothing left out."""
    labels = sorted({clip.label for clip in clips})
    return Dataset(
        path=Path("data"), clips=list(clips), labels=labels, skipped=[], warnings=[], notes=[], kind="folders"
    )


def vectors_of(clip: Clip, centre: float, n_vectors: int = 30, spread: float = 1.0) -> ClipVectors:
    """Normally distributed vectors around `centre` in the dimension that the label's length picks."""
    rng = np.random.default_rng(int(clip.content_sha256, 16))
    vectors = (spread * rng.standard_normal((n_vectors, N_FEATURES))).astype(np.float32)
    vectors[:, len(clip.label) % N_FEATURES] += centre
    return ClipVectors(clip, vectors[: n_vectors // 2], vectors[n_vectors // 2 :])


def make_clips(centres: Mapping[str, float], n_clips: int = 6, **settings: Any) -> list[ClipVectors]:
    """`n_clips` clips for each label, each from a source of its own."""
    return [
        vectors_of(make_clip(label, number), centre, **settings)
        for label, centre in centres.items()
        for number in range(n_clips)
    ]


def with_folds(dataset: Dataset, folds: Sequence[str | None]) -> Dataset:
    """`dataset` with the folds given, dealt out clip by clip."""
    clips = [msgspec.structs.replace(clip, fold=folds[i % len(folds)]) for i, clip in enumerate(dataset.clips)]
    return msgspec.structs.replace(dataset, clips=clips)


def answered_as(clip: Clip, label: str) -> ClipAnswer:
    """An answer that was as sure before calibration, and thinks nothing of other labels."""
    decision = ClipDecision(label, 1.0, {}, 1, 0.0, 1.0, {})
    return ClipAnswer(clip, decision, decision)
