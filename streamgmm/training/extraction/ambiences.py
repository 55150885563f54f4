"""Measure ambiences: places in which nothing happens, of noise and of those sounds of the world that last."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float64Array
from streamgmm.dataset.clips import Clip
from streamgmm.features.extractor import extract
from streamgmm.labels import BACKGROUND, sounds_like_background
from streamgmm.training.extraction.augmentation import DIGITAL_SILENCE
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, ContextCopy
from streamgmm.training.extraction.context import (
    BED_KINDS,
    WORLD_BED_SHARE,
    frame_spans,
    lasting_sounds,
    noise_bed,
    recorded_bed,
)
from streamgmm.training.extraction.extraction import masked
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.extraction.transmission import transmitted
from streamgmm.world.kinds import NOISE, kinds_named_by
from streamgmm.world.world import WorldIndex

N_AMBIENCES = 200

DURATION_S = 3.0
"""Time of an ambience in which windows are whole."""

N_LAYERS = 2
SECOND_RANGE_DB = (-12.0, 0.0)
"""What lies below the first layer, relative to it: rain on wind, voices in traffic."""

LEVEL_RANGE_DBFS = (-60.0, -20.0)
"""From a quiet room before a microphone of little gain to a noisy place."""

TRANSMITTED_SHARE = 0.5
"""Share that passes through another microphone and perhaps a room."""

NOISE_LIKE_KINDS = frozenset({"rain", "wind", "sea", "running water", "hiss and steam"})
"""Kinds that noise is taken for with good reason."""

FOLDER = Path("ambience")


class Ambience(NamedTuple):
    """An ambience, and the labels that name what it is made of: where rain was taught, rain is no false alarm."""

    clip: ClipVectors
    named_by: frozenset[str]


def is_ambience(clip: ClipVectors) -> bool:
    """Return whether a measured clip of the world is an ambience, and none of its sounds."""
    return clip.clip.path.parent == FOLDER


def named_ambiences(clips: Sequence[ClipVectors], labels: Sequence[str], index: WorldIndex) -> list[Ambience]:
    """Return ambiences with the labels that name what each is made of."""
    known = frozenset({*(sound.kind for sound in index.sounds), NOISE})
    kinds_of = {label: kinds_named_by(label, known) for label in labels}
    return [
        Ambience(clip, frozenset(label for label in labels if _is_named(label, kinds_of[label], kinds_in(clip, index))))
        for clip in clips
    ]


def _is_named(label: str, kinds: frozenset[str], kinds_heard: frozenset[str]) -> bool:
    if kinds & NOISE_LIKE_KINDS:
        kinds |= {NOISE}
    # Whoever teaches `quiet` as a sound wants to hear of it.
    return bool(kinds & kinds_heard) or sounds_like_background(label)


def kinds_in(clip: ClipVectors, index: WorldIndex) -> frozenset[str]:
    """Return the kinds of what an ambience is made of."""
    kinds = [sound.kind for sound in index.sounds if sound.kind in BED_KINDS]
    drawn = _draw_layers(_rng_of(int(clip.clip.path.name)), len(kinds))
    return frozenset(NOISE if i is None else kinds[i] for i in drawn)


def measure_ambiences(numbers: Sequence[int], task: ExtractionTask) -> list[ClipVectors]:
    """Measure ambiences by their numbers, each as a copy in context that fills all of its windows."""
    return [_measure(number, task) for number in numbers]


def _rng_of(number: int) -> np.random.Generator:
    return np.random.default_rng([number, 0xA3B1])


def _draw_layers(rng: np.random.Generator, n_lasting: int) -> list[int | None]:
    """Return the index of the lasting sound in each layer; None for noise."""
    drawn = [(rng.uniform() < WORLD_BED_SHARE, int(rng.integers(max(1, n_lasting)))) for _ in range(N_LAYERS)]
    return [i if is_recorded and n_lasting else None for is_recorded, i in drawn]


def _measure(number: int, task: ExtractionTask) -> ClipVectors:
    spec, rng = task.spec, _rng_of(number)
    n_samples = units.seconds_to_samples(spec.window_s + DURATION_S, spec.sample_rate_hz)
    samples = _render(rng, n_samples, spec.sample_rate_hz).astype(np.float32)
    if rng.uniform() < TRANSMITTED_SHARE:
        samples = transmitted(samples, spec.sample_rate_hz, rng)
    level_dbfs = rng.uniform(*LEVEL_RANGE_DBFS)
    samples *= units.db_to_amplitude(level_dbfs) / max(float(np.std(samples)), DIGITAL_SILENCE)
    has_cepstra = task.training.cepstra != "never"
    measured = extract(samples, spec, has_cepstra=has_cepstra)
    vectors = masked(measured.vectors, task.training.without, spec).astype(np.float32)
    cepstra = None
    if has_cepstra:
        frames = measured.cepstra.astype(np.float32)
        cepstra = ClipCepstra(frames, frames[:0], frame_spans(measured, spec))
    heard = ContextCopy(vectors, np.ones(len(vectors)), measured.levels_dbfs, snr_db=0.0, cepstra=cepstra)
    clip = Clip(
        path=FOLDER / str(number),
        label=BACKGROUND,
        source_id=f"ambience/{number}",
        duration_s=n_samples / spec.sample_rate_hz,
        sample_rate_hz=spec.sample_rate_hz,
        content_sha256=hashlib.sha256(samples.tobytes()).hexdigest(),
    )
    # Heard alone, and never fitted to.
    return ClipVectors(clip, vectors[:0], vectors[:0], contexts=(heard,), is_world=True)


def _render(rng: np.random.Generator, n_samples: int, rate_hz: int) -> Float64Array:
    sounds = lasting_sounds(rate_hz)
    first, second = (
        noise_bed(n_samples, rng, sample_rate_hz=rate_hz)
        if i is None
        else recorded_bed(n_samples, rng, recording=sounds[i])
        for i in _draw_layers(rng, len(sounds))
    )
    return first + units.db_to_amplitude(rng.uniform(*SECOND_RANGE_DB)) * second
