"""Measure the recordings of a data set: from clips to the vectors that mixtures are fitted to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import BoolArray, Float32Array, Float64Array, FloatArray, Samples
from streamgmm.audio.channels import ChannelChoice
from streamgmm.audio.reading import RecordingError
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
from streamgmm.training.extraction.clip_cache import ClipCache, Kept, Upkeep, clip_cache
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, ContextCopy, Limits, thinned
from streamgmm.training.extraction.context import CONTEXT_SNRS_DB, FILLED_COVER, choose_bed, frame_spans, put_in_context
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.extraction.transmission import transmitted
from streamgmm.training.extraction.vector_file import VectorFile
from streamgmm.training.workers import ProgressTracker, map_in_order, untracked

ACTIVE_WINDOW_RANGE_DB = 45.0
"""Windows this far below the loudest of their clip are pauses, and not trained on as the class."""

MAX_BACKGROUND_S = 30.0
"""Longest part of a background recording that is mixed with copies."""

MAX_BACKGROUNDS = 64
"""Most background recordings that copies are mixed with; each process keeps as many in memory."""

MAX_EXTRACTED_WINDOWS = 600_000
MAX_EXTRACTED_FRAMES = 4_000_000
"""Most windows and frames of all clips together, for recordings and for copies each: 1.4 and 0.8 GB. In larger data
sets each clip gives an equal share."""

TRANSMITTED_SHARE = 0.8
"""Share of copies that pass through another microphone and perhaps another room. A higher share makes the model less
sensitive to room and microphone, and gives more weight to the clips as recorded. Chosen with `transmission.ROOM_SHARE`
on ESC-10, among values from 0.4 to 1."""


class Extraction(NamedTuple):
    """Vectors of all usable clips, in the order of the data set, and the recordings that were left out."""

    clips: list[ClipVectors]
    skipped: list[Skipped]

    def usable(self, dataset: Dataset, min_clips: int) -> Dataset:
        """Return `dataset` with the clips that were measured.

        Raises:
            DatasetError: a class has fewer than `min_clips` left.
        """
        return keep_usable(dataset, [clip.clip for clip in self.clips], self.skipped, min_clips=min_clips)


class _Measured(NamedTuple):
    """The clips of one recording, and what became of those that were to be kept for the next training."""

    extraction: Extraction
    kept: Kept = Kept()


class _Collected(NamedTuple):
    """The positions of the clips of one recording in the file, and why others were left out."""

    positions: list[int]
    skipped: list[Skipped]


def extract_clips(clips: Sequence[Clip], task: ExtractionTask, track: ProgressTracker = untracked) -> Extraction:
    """Measure all clips and their copies in `task.training.n_jobs` processes, unless they were measured before.

    Raises:
        SystemResourceError: there is no room for their vectors on the disk of temporary files.
    """
    # One job per recording, not per clip: decoding and resampling it is done once for all its clips.
    recordings = by_recording(clips)
    limits = _limits_of(len(clips))
    cache = clip_cache(task)
    # Limited within each job, so that processes never send back more than is kept.
    work = partial(_extract_recording, task=task, limits=limits, cache=cache)
    upkeep = Upkeep(cache)
    with VectorFile() as vectors:

        def collect(measured: _Measured) -> _Collected:
            upkeep.note(measured.kept)
            return _Collected([vectors.add(clip) for clip in measured.extraction.clips], measured.extraction.skipped)

        # Read by this process: where all were measured before, no other has to be started.
        kept = (_kept_recording(own, task, limits, cache) for own in recordings)
        before = [None if measured is None else collect(measured) for measured in kept]
        missing = [own for own, collected in zip(recordings, before, strict=True) if collected is None]
        new = map(collect, map_in_order(work, missing, task.training.n_jobs))
        results = list(track(_merged(before, new), "measuring", len(recordings)))
        clips_in_file = vectors.clips()
    upkeep.end()
    return Extraction(
        [clips_in_file[position] for result in results for position in result.positions],
        [skipped for result in results for skipped in result.skipped],
    )


def _limits_of(n_clips: int) -> Limits:
    # Equal limits and not what others leave: the sizes of other clips are not known within a job.
    n_windows, n_frames = (max(1, most // max(1, n_clips)) for most in (MAX_EXTRACTED_WINDOWS, MAX_EXTRACTED_FRAMES))
    return Limits(n_windows, n_windows, n_frames)


def without_contexts(clips: Sequence[ClipVectors], n_extracted: int) -> list[ClipVectors] | None:
    """Return clips as if measured without copies in context and without cepstral frames.

    Args:
        clips: from an extraction.
        n_extracted: number of clips that were to be measured there, silent ones included.

    Returns:
        vectors that are shared with `clips`; None if there may have been more than the limits allow, so that it is not
        known which windows are those of copies in context.
    """
    limits = _limits_of(n_extracted)
    if any(len(clip.vectors) >= limits.n_windows or len(clip.copies) >= limits.n_copies for clip in clips):
        return None
    # Windows of copies in context are the last ones (see `_extract_clip`).
    n_kept = [len(clip.copies) - sum(len(_filled(context)) for context in clip.contexts) for clip in clips]
    return [
        clip._replace(copies=clip.copies[:n], cepstra=None, contexts=()) for clip, n in zip(clips, n_kept, strict=True)
    ]


def _merged(before: Sequence[_Collected | None], new: Iterator[_Collected]) -> Iterator[_Collected]:
    """Yield what was measured before, with the next one of `new` in each gap."""
    for collected in before:
        yield next(new) if collected is None else collected
    # Read to the end, where its processes end in order.
    next(new, None)


def with_backgrounds(task: ExtractionTask, clips: Sequence[Clip]) -> ExtractionTask:
    """Return `task` with the backgrounds among `clips`, evenly chosen if there are more than `MAX_BACKGROUNDS`."""
    backgrounds = [clip for clip in clips if clip.label == BACKGROUND]
    # Unique, as evenly spaced positions repeat where there are fewer backgrounds than `MAX_BACKGROUNDS`.
    chosen = np.unique(np.linspace(0, len(backgrounds) - 1, MAX_BACKGROUNDS).round().astype(int)) if backgrounds else ()
    return msgspec.structs.replace(task, backgrounds=tuple(backgrounds[i] for i in chosen))


def _extract_recording(clips: list[Clip], task: ExtractionTask, limits: Limits, cache: ClipCache | None) -> _Measured:
    path = clips[0].path
    try:
        loaded = load_clips(clips, task.spec.sample_rate_hz, task.channel)
    # It was readable when the data set was read, but may have been changed or removed since.
    except RecordingError as error:
        return _Measured(Extraction([], [Skipped(path, error.reason)]))
    measured = [_extract_clip(clip, samples, task) for clip, samples in zip(clips, loaded, strict=True)]
    # Before they are limited: the limits depend on the number of clips.
    kept = cache.write(measured) if cache is not None else Kept()
    return _Measured(_usable(measured, limits, task.training.seed), kept)


def _kept_recording(
    clips: list[Clip], task: ExtractionTask, limits: Limits, cache: ClipCache | None
) -> _Measured | None:
    """Return the clips of a recording that were all measured before; None if one was not."""
    vectors: list[ClipVectors] = []
    for clip in clips:
        if cache is None or (kept := cache.read(clip)) is None:
            return None
        vectors.append(kept)
    return _Measured(_usable(vectors, limits, task.training.seed))


def _usable(clips: Sequence[ClipVectors], limits: Limits, seed: int) -> Extraction:
    """Return the clips that are not silent, within the limits."""
    usable = [_limit_size(clip, limits, seed) for clip in clips if len(clip.vectors)]
    silent = [Skipped(clip.clip.path, "silent") for clip in clips if not len(clip.vectors)]
    return Extraction(usable, silent)


def _limit_size(clip: ClipVectors, limits: Limits, seed: int) -> ClipVectors:
    # Most clips are within the limits; drawing all of their rows would only copy the arrays.
    n_cepstral_copies = len(clip.cepstra.copies) if clip.cepstra else 0
    sizes = (len(clip.vectors), len(clip.copies), n_cepstral_copies)
    if all(size <= limit for size, limit in zip(sizes, limits, strict=True)):
        return clip
    return thinned(clip, limits, rng_of(clip.clip, seed))


def _extract_clip(clip: Clip, samples: Samples, task: ExtractionTask) -> ClipVectors:
    # Seeded by the content of the clip: its copies do not depend on the other clips, nor on the number of processes.
    rng = rng_of(clip, task.training.seed)
    has_cepstra = task.training.cepstra != "never"
    measure = partial(extract, spec=task.spec, has_cepstra=has_cepstra)
    recorded = measure(samples)
    is_active = active_windows(recorded.levels_dbfs, clip.label, task.silence_gate_dbfs)
    faster, noisy = _speed_copies(samples, task, rng), _noisy_copies(clip, samples, task, rng)
    copies = [measure(copy) for copy in (*faster, *noisy)]
    contexts = _contexts(clip, samples, task, rng)
    # A faster copy has hops of its own, and so its own pauses.
    are_active = [
        active_windows(copy.levels_dbfs, clip.label, task.silence_gate_dbfs) for copy in copies[: len(faster)]
    ]
    # Where the clip pauses, its noisy copy is noise alone, however loud, and no example of the class.
    are_active += [is_active] * len(noisy)
    is_used = is_active & np.isfinite(recorded.vectors).all(axis=1)
    without = partial(masked, kinds=task.training.without, spec=task.spec)
    vectors = without(recorded.vectors[is_used].astype(np.float32))
    windows = [without(copy.vectors[active]) for copy, active in zip(copies, are_active, strict=True)]
    return ClipVectors(
        clip=clip,
        vectors=vectors,
        # The empty part gives dtype and width where there are no copies.
        copies=np.concatenate([vectors[:0], *map(_finite, windows), *map(_filled, contexts)]),
        votes=vote_weight(recorded.window_shares[is_used], recorded.window_levels_dbfs[is_used]),
        cepstra=_clip_cepstra(recorded, is_used, copies, task.spec) if has_cepstra else None,
        contexts=contexts,
    )


def _contexts(clip: Clip, samples: Samples, task: ExtractionTask, rng: np.random.Generator) -> tuple[ContextCopy, ...]:
    """Return copies of the clip within other sound, every other one at another speed."""
    if clip.label == BACKGROUND or not len(samples):
        return ()
    rate_hz, contexts = task.spec.sample_rate_hz, []
    for i in range(task.training.n_context_copies):
        # Each level is heard both ways, in turn.
        is_at_own_speed = (i + i // len(CONTEXT_SNRS_DB)) % 2 == 0
        sound = samples if is_at_own_speed else speed_copies(samples, 1, rng)[0]
        sound = _maybe_transmitted(sound, task, rng)
        bed = choose_bed(drawn_background(task, rng), rate_hz, rng, has_world=task.training.world)
        snr_db = CONTEXT_SNRS_DB[i % len(CONTEXT_SNRS_DB)]
        has_cepstra = task.training.cepstra != "never"
        context = put_in_context(sound, task.spec, bed, snr_db, rng, has_cepstra=has_cepstra)
        vectors = masked(context.vectors, task.training.without, task.spec)
        contexts.append(context._replace(vectors=vectors.astype(np.float32)))
    return tuple(contexts)


def drawn_background(task: ExtractionTask, rng: np.random.Generator) -> list[Samples]:
    """Return one of the user's background recordings, or none where there is none."""
    if not task.backgrounds:
        return []
    chosen = task.backgrounds[rng.integers(len(task.backgrounds))]
    return [_loaded_background(chosen, task.spec.sample_rate_hz, task.channel)]


def _filled(context: ContextCopy) -> Float32Array:
    """Return the windows that the sound fills."""
    return _finite(context.vectors[context.covers >= FILLED_COVER])


def _speed_copies(samples: Samples, task: ExtractionTask, rng: np.random.Generator) -> list[Samples]:
    copies = speed_copies(samples, task.training.n_speed_copies, rng)
    return [_maybe_transmitted(copy, task, rng) for copy in copies]


def _noisy_copies(clip: Clip, samples: Samples, task: ExtractionTask, rng: np.random.Generator) -> list[Samples]:
    """Return copies in noise and over backgrounds, each as long as the clip."""
    n_copies = task.training.n_noise_copies
    rate_hz = task.spec.sample_rate_hz
    copies = [noise_copy(_maybe_transmitted(samples, task, rng), rate_hz, rng) for _ in range(n_copies)]
    if task.backgrounds and clip.label != BACKGROUND:
        for _ in range(n_copies):
            chosen = task.backgrounds[rng.integers(len(task.backgrounds))]
            background = _loaded_background(chosen, rate_hz, task.channel)
            copies.append(background_copy(_maybe_transmitted(samples, task, rng), background, rng))
    return copies


def _maybe_transmitted(samples: Samples, task: ExtractionTask, rng: np.random.Generator) -> Samples:
    is_elsewhere = task.training.rooms and rng.uniform() < TRANSMITTED_SHARE
    return transmitted(samples, task.spec.sample_rate_hz, rng) if is_elsewhere else samples


@lru_cache(maxsize=64)
def _loaded_background(clip: Clip, sample_rate_hz: int, channel: ChannelChoice) -> Samples:
    # Cached, as each background is mixed with many clips.
    (samples,) = load_clips([clip], sample_rate_hz, channel)
    return samples[: int(MAX_BACKGROUND_S * sample_rate_hz)]


def _clip_cepstra(recorded: Features, is_used: BoolArray, copies: Sequence[Features], spec: FeatureSpec) -> ClipCepstra:
    vectors = recorded.cepstra.astype(np.float32)
    altered = [copy.cepstra.astype(np.float32) for copy in copies]
    return ClipCepstra(vectors, np.concatenate([vectors[:0], *altered]), frame_spans(recorded, spec)[is_used])


def masked(vectors: FloatArray, kinds: Collection[str], spec: FeatureSpec) -> FloatArray:
    """Return vectors (n, n_features) with all features of some kinds set to 0: constant features get no projection."""
    is_masked = np.repeat(
        [block.kind in kinds for block in window_layout(spec)], [len(block.bands) for block in window_layout(spec)]
    )
    return np.where(is_masked, vectors.dtype.type(0), vectors) if is_masked.any() else vectors


def _finite(vectors: FloatArray) -> Float32Array:
    """Return the vectors without those of windows that contain an invalid sample (see `HopFeatures`)."""
    finite: Float32Array = vectors[np.isfinite(vectors).all(axis=1)].astype(np.float32)
    return finite


def active_windows(levels_dbfs: Float64Array, label: str, silence_gate_dbfs: float) -> BoolArray:
    """Return which windows are active; shape (n,). A background may be quiet, but not silent."""
    if not len(levels_dbfs):
        return np.zeros(0, dtype=bool)
    # Backgrounds have no pauses: their quiet parts are what the model has to learn as background.
    relative_gate_dbfs = -np.inf if label == BACKGROUND else levels_dbfs.max() - ACTIVE_WINDOW_RANGE_DB
    return np.asarray(levels_dbfs >= max(silence_gate_dbfs, relative_gate_dbfs))
