"""From a data set's recordings to the vectors that the mixtures learn from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import BoolArray, Float32Array, Float64Array, FloatArray, Samples
from streamgmm.audio.channels import Channel
from streamgmm.audio.reading import RecordingError
from streamgmm.config import TrainingSection
from streamgmm.dataset.clips import Clip, rng_of
from streamgmm.dataset.dataset import Dataset, keep_usable
from streamgmm.dataset.listing import Skipped
from streamgmm.dataset.loading import by_recording, load_clips
from streamgmm.decision.clip import vote_weight
from streamgmm.features.extractor import Features, extract
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.window import window_layout
from streamgmm.labels import BACKGROUND
from streamgmm.training.extraction.augmentation import background_copy, noise_copy, speed_copies
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, Limits, thinned
from streamgmm.training.extraction.transmission import transmitted
from streamgmm.training.workers import Track, map_in_order, untracked

ACTIVE_RANGE_DB = 45.0
"""Windows this far below the loudest of their clip are pauses, and are not learnt as the class."""

MAX_BACKGROUND_S = 30.0
"""What is kept of a recording that copies are heard over."""

MAX_BACKGROUNDS = 64

MAX_WINDOWS = 600_000
MAX_FRAMES = 4_000_000
"""Of all clips together, those of recordings and those of copies each: 1.4 and 0.8 GB at most. Of sets so large that
they have more, each clip gives an equal share."""


ELSEWHERE_SHARE = 0.8
"""Of the copies, how many are heard elsewhere, through another microphone and perhaps in another room: the more, the
less these matter, and the more the clips as they were recorded do. Chosen with `transmission.ROOM_SHARE` on ESC-10,
between 0.4 and all of them."""


class ExtractionTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all recordings.

    Attributes:
        spec: what to measure.
        training: how many copies, and the seed.
        channel: which channel, or the mean.
        silence_gate_dbfs: windows below it are silent.
        backgrounds: clips of which as many copies over a background are made as in noise; empty for none.
    """

    spec: FeatureSpec
    training: TrainingSection
    channel: Channel
    silence_gate_dbfs: float
    backgrounds: tuple[Clip, ...] = ()


class Extraction(NamedTuple):
    """Vectors of all usable clips, in the order of the data set, and what had to be left out."""

    clips: list[ClipVectors]
    skipped: list[Skipped]

    def usable(self, dataset: Dataset, min_clips: int) -> Dataset:
        """The part of `dataset` that was measured.

        Raises:
            DatasetError: a class has less than `min_clips` left.
        """
        return keep_usable(dataset, [clip.clip for clip in self.clips], self.skipped, min_clips=min_clips)


def extract_clips(clips: Sequence[Clip], task: ExtractionTask, track: Track = untracked) -> Extraction:
    """Measure all clips and their copies, on as many cores as `task.training.n_jobs` says."""
    recordings = by_recording(clips)
    n_windows, n_frames = (max(1, most // max(1, len(clips))) for most in (MAX_WINDOWS, MAX_FRAMES))
    limits = Limits(n_windows, n_windows, n_frames)
    work = partial(_extract_recording, task=task, limits=limits)
    results = map_in_order(work, recordings, task.training.n_jobs)
    extraction = Extraction([], [])
    for result in track(results, "measuring", len(recordings)):
        extraction.clips.extend(result.clips)
        extraction.skipped.extend(result.skipped)
    return extraction


def with_backgrounds(task: ExtractionTask, clips: Sequence[Clip]) -> ExtractionTask:
    """`task` with copies over the backgrounds among `clips`, an even choice if they are many."""
    backgrounds = [clip for clip in clips if clip.label == BACKGROUND]
    chosen = np.unique(np.linspace(0, len(backgrounds) - 1, MAX_BACKGROUNDS).round().astype(int)) if backgrounds else ()
    return msgspec.structs.replace(task, backgrounds=tuple(backgrounds[i] for i in chosen))


def _extract_recording(clips: list[Clip], task: ExtractionTask, limits: Limits) -> Extraction:
    path = clips[0].path
    try:
        loaded = load_clips(clips, task.spec.sample_rate_hz, task.channel)
    except RecordingError as error:
        return Extraction([], [Skipped(path, error.reason)])
    measured = [_extract_clip(clip, samples, task) for clip, samples in zip(clips, loaded, strict=True)]
    usable = [_within(vectors, limits, task.training.seed) for vectors in measured if len(vectors.vectors)]
    skipped = [Skipped(path, "silent")] * (len(measured) - len(usable))
    return Extraction(usable, skipped)


def _within(clip: ClipVectors, limits: Limits, seed: int) -> ClipVectors:
    n_cepstral_copies = len(clip.cepstra.copies) if clip.cepstra else 0
    sizes = (len(clip.vectors), len(clip.copies), n_cepstral_copies)
    if all(size <= limit for size, limit in zip(sizes, limits, strict=True)):
        return clip
    return thinned(clip, limits, rng_of(clip.clip, seed))


def _extract_clip(clip: Clip, samples: Samples, task: ExtractionTask) -> ClipVectors:
    rng = rng_of(clip, task.training.seed)
    has_cepstra = task.training.cepstra != "never"
    measure = partial(extract, spec=task.spec, has_cepstra=has_cepstra)
    recorded = measure(samples)
    is_active = active_windows(recorded.levels_dbfs, clip.label, task.silence_gate_dbfs)
    faster, noisy = _faster_copies(samples, task, rng), _noisy_copies(clip, samples, task, rng)
    copies = [measure(copy) for copy in (*faster, *noisy)]
    are_active = [
        active_windows(copy.levels_dbfs, clip.label, task.silence_gate_dbfs) for copy in copies[: len(faster)]
    ]
    # Where the clip pauses, its noisy copy is noise alone: nothing to learn the class from.
    are_active += [is_active] * len(noisy)
    is_used = is_active & np.isfinite(recorded.vectors).all(axis=1)
    without = partial(silenced, kinds=task.training.without, spec=task.spec)
    vectors = without(recorded.vectors[is_used].astype(np.float32))
    windows = [without(copy.vectors[active]) for copy, active in zip(copies, are_active, strict=True)]
    return ClipVectors(
        clip=clip,
        vectors=vectors,
        copies=np.concatenate([vectors[:0], *map(_finite, windows)]),
        votes=vote_weight(recorded.window_shares[is_used], recorded.window_levels_dbfs[is_used]),
        cepstra=_clip_cepstra(recorded, is_used, copies, task.spec) if has_cepstra else None,
    )


def _faster_copies(samples: Samples, task: ExtractionTask, rng: np.random.Generator) -> list[Samples]:
    copies = speed_copies(samples, task.training.n_speed_copies, rng)
    return [_elsewhere(copy, task, rng) for copy in copies]


def _noisy_copies(clip: Clip, samples: Samples, task: ExtractionTask, rng: np.random.Generator) -> list[Samples]:
    """Copies in noise and over backgrounds, each as long as the clip."""
    n_copies = task.training.n_noise_copies
    rate_hz = task.spec.sample_rate_hz
    copies = [noise_copy(_elsewhere(samples, task, rng), rate_hz, rng) for _ in range(n_copies)]
    if task.backgrounds and clip.label != BACKGROUND:
        for _ in range(n_copies):
            background = _background(task.backgrounds[rng.integers(len(task.backgrounds))], task)
            copies.append(background_copy(_elsewhere(samples, task, rng), background, rng))
    return copies


def _elsewhere(samples: Samples, task: ExtractionTask, rng: np.random.Generator) -> Samples:
    is_elsewhere = task.training.rooms and rng.uniform() < ELSEWHERE_SHARE
    return transmitted(samples, task.spec.sample_rate_hz, rng) if is_elsewhere else samples


def _background(clip: Clip, task: ExtractionTask) -> Samples:
    return _loaded_background(clip, task.spec.sample_rate_hz, task.channel)


@lru_cache(maxsize=64)
def _loaded_background(clip: Clip, sample_rate_hz: int, channel: Channel) -> Samples:
    # Kept, as every clip is heard over one of them.
    (samples,) = load_clips([clip], sample_rate_hz, channel)
    return samples[: int(MAX_BACKGROUND_S * sample_rate_hz)]


def _clip_cepstra(recorded: Features, is_used: BoolArray, copies: Sequence[Features], spec: FeatureSpec) -> ClipCepstra:
    ends = np.cumsum(recorded.n_frames)
    starts = np.concatenate([np.zeros(spec.window_samples // spec.hop_samples, dtype=np.intp), ends])[: len(ends)]
    vectors = recorded.cepstra.astype(np.float32)
    altered = [copy.cepstra.astype(np.float32) for copy in copies]
    return ClipCepstra(vectors, np.concatenate([vectors[:0], *altered]), np.stack([starts, ends], axis=1)[is_used])


def silenced(vectors: FloatArray, kinds: Collection[str], spec: FeatureSpec) -> FloatArray:
    """Vectors (n, n_features) with 0 in place of all features of some kinds: they then have no say in a projection."""
    is_silenced = np.repeat(
        [block.kind in kinds for block in window_layout(spec)], [len(block.places) for block in window_layout(spec)]
    )
    return np.where(is_silenced, vectors.dtype.type(0), vectors) if is_silenced.any() else vectors


def _finite(vectors: FloatArray) -> Float32Array:
    """The vectors without those of windows that hold a sample that is no sound (see `HopFeatures`)."""
    finite: Float32Array = vectors[np.isfinite(vectors).all(axis=1)].astype(np.float32)
    return finite


def active_windows(levels_dbfs: Float64Array, label: str, silence_gate_dbfs: float) -> BoolArray:
    """Which windows sound; shape (n,). A background is allowed to be quiet, but not to be silent."""
    if not len(levels_dbfs):
        return np.zeros(0, dtype=bool)
    relative_gate_dbfs = -np.inf if label == BACKGROUND else levels_dbfs.max() - ACTIVE_RANGE_DB
    return np.asarray(levels_dbfs >= max(silence_gate_dbfs, relative_gate_dbfs))
