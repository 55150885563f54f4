"""Measure the sounds of the world, which a training takes as background."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import IndexArray, Samples
from streamgmm.audio.resample import resample
from streamgmm.dataset.clips import Clip, rng_of
from streamgmm.errors import DataError
from streamgmm.features.spec import FeatureSpec
from streamgmm.labels import BACKGROUND
from streamgmm.settings.training import CepstraChoice, TrainingSection
from streamgmm.training.extraction.ambiences import (
    N_AMBIENCES,
    Ambience,
    is_ambience,
    measure_ambiences,
    named_ambiences,
)
from streamgmm.training.extraction.augmentation import speed_copies
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, ContextCopy
from streamgmm.training.extraction.context import choose_bed, put_in_context
from streamgmm.training.extraction.extraction import drawn_background, masked
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.extraction.transmission import transmitted
from streamgmm.training.extraction.world_cache import find_world, kept_world
from streamgmm.training.workers import ProgressTracker, map_in_order, run_job, untracked
from streamgmm.world.kinds import kinds_named_by
from streamgmm.world.world import WorldSound, read_index, read_world

SNR_RANGE_DB = (0.0, 30.0)
LEVEL_RANGE_DB = (-30.0, 0.0)
"""Levels of the sounds above noise, and below full scale: from far away to close by."""

TRANSMITTED_SHARE = 0.5
"""Share of the sounds that pass through another microphone and perhaps a room."""

MIN_COVER = 0.3
"""Least share of a sound in a window that counts as one of it."""

MAX_WINDOWS = 10
"""Most windows of a sound, and of each of its copies, that are fitted to."""

N_COPIES = 3
"""Copies of each sound at another speed, level and place: all sounds together make some 16,000 windows."""

N_HELD_OUT = 2
"""Of the sound as it is and its copies, so many are heard where the sound is held out. What lies below a sound decides
about a false alarm too: with one hearing of each, thresholds changed with the draw of it."""

WAS_CUT_S = 1.3
"""Sounds of this length are parts of longer ones: all last 1.5 s at most, at another speed somewhat less."""

SOUNDS_PER_JOB = 16


OVER_NOISE_NOTE = (
    "everyday sounds are heard over noise and not over the background of the first training, whose measurements are no "
    "longer in ~/.cache/streamgmm: more of them may be taken for a label; train again to know"
)


class WorldClips(NamedTuple):
    """The sounds of the world as clips of background.

    Attributes:
        clips: of each sound.
        notes: for the user.
        is_over_background: whether the sounds were heard over the user's own background.
        ambiences: places in which nothing happens; none where the user's own background is known.
    """

    clips: list[ClipVectors]
    notes: tuple[str, ...] = ()
    is_over_background: bool = False
    ambiences: Sequence[Ambience] = ()


def world_clips(task: ExtractionTask, labels: Sequence[str], track: ProgressTracker = untracked) -> WorldClips:
    """Return the sounds of the world, without the kinds that a label names; none where the settings say so.

    Args:
        task: how to measure them.
        labels: of the user.
        track: shows the progress.
    """
    if not task.training.world:
        return WorldClips([])
    try:
        index = read_index()
        measured, is_over_background = _measured(_relevant(task), track)
    except DataError as error:
        return WorldClips([], (f"trained without the sounds that come with streamgmm: {error}",))
    kinds = {sound.id: sound.kind for sound in index.sounds}
    taught = frozenset[str]().union(*(kinds_named_by(label, frozenset(kinds.values())) for label in labels))
    ambiences = named_ambiences([clip for clip in measured if is_ambience(clip)], labels, index)
    clips = [clip for clip in measured if not is_ambience(clip) and kinds[clip.clip.path.name] not in taught]
    notes = (f"left out of the sounds that come with streamgmm: {', '.join(sorted(taught))}",) if taught else ()
    if task.heard_over and not is_over_background:
        notes = (*notes, OVER_NOISE_NOTE)
    return WorldClips(clips, notes, is_over_background, ambiences)


def _relevant(task: ExtractionTask) -> ExtractionTask:
    """Return the settings that the measured sounds depend on, and the number of jobs; all others at their defaults."""
    training = task.training
    cepstra: CepstraChoice = "never" if training.cepstra == "never" else "auto"
    relevant = TrainingSection(without=training.without, cepstra=cepstra, n_jobs=training.n_jobs)
    return msgspec.structs.replace(task, training=relevant, silence_gate_dbfs=0.0)


def _measured(task: ExtractionTask, track: ProgressTracker) -> tuple[list[ClipVectors], bool]:
    """Return the clips, and whether they were heard over the user's background."""
    heard_over = task.backgrounds_sha256
    # Of an earlier training, with frames or without: a fit without frames ignores them.
    for cepstra in ("auto", "never") if task.heard_over and not heard_over else ():
        training = msgspec.structs.replace(task.training, cepstra=cepstra)
        kept = find_world(_key(msgspec.structs.replace(task, training=training), task.heard_over))
        if kept is not None:
            return kept, True
    return kept_world(_key(task, heard_over), partial(_measure_all, task, track)), bool(heard_over)


def _key(task: ExtractionTask, heard_over: str) -> str:
    training = msgspec.structs.replace(task.training, n_jobs=0)
    content = [read_index().sha256, task.spec, training, heard_over]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def _measure_all(task: ExtractionTask, track: ProgressTracker) -> Iterator[ClipVectors]:
    world = read_world()
    jobs = [
        partial(_measure_sounds, world.sounds[i : i + SOUNDS_PER_JOB], world.rate_hz, task)
        for i in range(0, len(world.sounds), SOUNDS_PER_JOB)
    ]
    # With a background, it is itself what is heard where nothing happens.
    n_ambiences = 0 if task.backgrounds_sha256 else N_AMBIENCES
    jobs += [
        partial(measure_ambiences, range(i, min(i + SOUNDS_PER_JOB, n_ambiences)), task)
        for i in range(0, n_ambiences, SOUNDS_PER_JOB)
    ]
    results = map_in_order(run_job, jobs, task.training.n_jobs)
    for clips in track(results, "measuring everyday sounds", len(jobs)):
        yield from clips


def _measure_sounds(sounds: Sequence[WorldSound], rate_hz: int, task: ExtractionTask) -> list[ClipVectors]:
    return [_measure(sound, rate_hz, task) for sound in sounds]


def _measure(sound: WorldSound, rate_hz: int, task: ExtractionTask) -> ClipVectors:
    entry = sound.entry
    samples = resample(sound.samples, rate_hz, task.spec.sample_rate_hz)
    clip = Clip(
        path=Path("world") / entry.id,
        label=BACKGROUND,
        source_id=f"world/{entry.source_id}",
        duration_s=len(sound.samples) / rate_hz,
        sample_rate_hz=entry.rate_hz,
        content_sha256=hashlib.sha256(sound.samples.tobytes()).hexdigest(),
    )
    return _as_background(clip, [_heard(samples, clip, i, task) for i in range(1 + N_COPIES)])


def _heard(samples: Samples, clip: Clip, index: int, task: ExtractionTask) -> tuple[ContextCopy, IndexArray]:
    """Measure a sound as it is (index 0), or at another speed, somewhere; return also the windows that count as it.

    It is over one of the user's backgrounds, as the copies of his clips are: over other sound, it would seem to differ
    from them by what lies below it.
    """
    spec, training = task.spec, task.training
    # Seeded by the sound alone, so that it is measured once for trainings with any seed.
    rng = rng_of(clip, index)
    if index:
        samples = speed_copies(samples, 1, rng)[0]
    if rng.uniform() < TRANSMITTED_SHARE:
        samples = transmitted(samples, spec.sample_rate_hz, rng)
    heard = _at_level(lasting(samples, spec), rng.uniform(*LEVEL_RANGE_DB))
    bed = choose_bed(drawn_background(task, rng), spec.sample_rate_hz, rng, has_world=False)
    # There are many frames to a window: those of the copies are not needed to fit.
    has_cepstra = training.cepstra != "never" and index < N_HELD_OUT
    context = put_in_context(heard, spec, bed, rng.uniform(*SNR_RANGE_DB), rng, has_cepstra=has_cepstra)
    context = context._replace(vectors=masked(context.vectors, training.without, spec).astype(np.float32))
    is_usable = (context.covers >= MIN_COVER) & np.isfinite(context.vectors).all(axis=1)
    return context, np.sort(rng.permutation(np.flatnonzero(is_usable))[:MAX_WINDOWS])


def lasting(samples: Samples, spec: FeatureSpec) -> Samples:
    """Return a sound that was cut again and again until it lasts longer than a window; others as they are."""
    # By two hops, so that some windows hold nothing else.
    n_least = int((spec.window_s + 0.25) * spec.sample_rate_hz)
    was_cut = len(samples) >= WAS_CUT_S * spec.sample_rate_hz
    return np.resize(samples, n_least) if was_cut and len(samples) < n_least else samples


def _at_level(samples: Samples, peak_db: float) -> Samples:
    peak = max(float(np.abs(samples).max(initial=0.0)), 1e-9)
    return np.asarray(samples / peak * 10.0 ** (peak_db / 20.0), dtype=np.float32)


def _as_background(clip: Clip, heard: Sequence[tuple[ContextCopy, IndexArray]]) -> ClipVectors:
    (context, chosen), *others = heard
    vectors, cepstra = context.vectors[chosen], context.cepstra
    copies = np.concatenate([vectors[:0], *(other.vectors[own] for other, own in others)])
    if cepstra is not None:
        # Fitted to as frames of the clip, which are all frames of the context.
        cepstra = ClipCepstra(cepstra.vectors, cepstra.vectors[:0], cepstra.spans[chosen])
    contexts = tuple(_without_copies(own) for own, _ in heard[:N_HELD_OUT])
    return ClipVectors(clip, vectors, copies, None, cepstra, contexts, is_world=True)


def _without_copies(context: ContextCopy) -> ContextCopy:
    cepstra = context.cepstra
    return context._replace(cepstra=cepstra and cepstra._replace(copies=cepstra.copies[:0]))
