"""Fit mixtures to cepstral frames by expectation maximisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from streamgmm.arrays import Float32Array
from streamgmm.labels import BACKGROUND
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.mixture import Mixture
from streamgmm.model.projection import Projection
from streamgmm.settings.training import TrainingSection
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.fitting.expectation import maximise, spread_mixture
from streamgmm.training.fitting.projection import MIN_DEVIATION

MIN_FRAMES_PER_COMPONENT = 20
"""More than for windows: neighbouring frames are nearly alike."""

MAX_FITTED_FRAMES = 40_000
"""Most frames of one label that a mixture is fitted to, drawn at random."""

MAX_FIRST_FRAMES, N_FIRST_ITERATIONS = 8_000, 8
N_LAST_ITERATIONS = 4
"""Expectation maximisation starts on a subset of the frames, where an iteration is quick, and ends on all. In less time
than 20 iterations on 12 000 frames, it gives a 4 % lower log loss on spoken commands."""

MAX_SCALE_FRAMES = 100_000
"""Most frames, of all labels together, from which mean and deviation are computed."""

DEFAULT_WEIGHT = 1.0
"""Weight of cepstral frames relative to windows, before validation."""


def fit_cepstra(
    clips: Sequence[ClipVectors], labels: Sequence[str], training: TrainingSection
) -> CepstralMixtures | None:
    """Fit one diagonal mixture to the frames of each label.

    Cepstral coefficients are nearly uncorrelated, so the projection only standardises them.

    Args:
        clips: at least one for each label, with cepstral frames.
        labels: sorted names.
        training: number of components, variance floor, seed.

    Returns:
        The mixtures; None if a label has too few frames, or a coefficient is constant.
    """
    drawn = [_draw(clips, label, training.seed + i) for i, label in enumerate(labels)]
    if min(map(len, drawn)) < MIN_FRAMES_PER_COMPONENT:
        return None
    together = np.concatenate(drawn)
    of_world = [clip for clip in clips if clip.is_world]
    # Every k-th frame keeps the proportions of the labels. In double precision, as sums of so many lose digits.
    some = together[:: 1 + len(together) // MAX_SCALE_FRAMES].astype(np.float64)
    mean, scale = some.mean(axis=0), some.std(axis=0)
    if scale.min() < MIN_DEVIATION:
        return None
    if BACKGROUND not in labels and of_world:
        drawn.append(_draw(of_world, BACKGROUND, training.seed))
    elif BACKGROUND not in labels:
        # The background mixture comes last: of frames of all labels, when there is no background at all.
        rng = np.random.default_rng(training.seed)
        drawn.append(together[rng.permutation(len(together))[:MAX_FITTED_FRAMES]])
    projection = Projection(mean, scale, np.eye(together.shape[1]))
    mixtures = [
        _fit_frames(_standardised(frames, projection), training, training.seed + i) for i, frames in enumerate(drawn)
    ]
    return CepstralMixtures(projection, tuple(mixtures), DEFAULT_WEIGHT)


def _draw(clips: Sequence[ClipVectors], label: str, seed: int) -> Float32Array:
    """Draw at most `MAX_FITTED_FRAMES` frames of a label, those of copies included, in random order."""
    own = [clip for clip in clips if clip.cepstra is not None and clip.clip.label == label]
    if not own:
        # Only its length is looked at: too few frames.
        return np.zeros((0, 1), dtype=np.float32)
    frames = np.concatenate([part for clip in own for part in _frames_of(clip)])
    return frames[np.random.default_rng(seed).permutation(len(frames))[:MAX_FITTED_FRAMES]]


def _frames_of(clip: ClipVectors) -> Iterator[Float32Array]:
    """Yield the frames of a clip, of its altered copies, and of the sound in its copies in context."""
    if clip.cepstra is not None:
        yield clip.cepstra.vectors
        yield clip.cepstra.copies
    # A sound of the world is itself the copy in context.
    for context in () if clip.is_world else clip.contexts:
        if context.cepstra is not None:
            yield context.cepstra.copies


def _standardised(frames: Float32Array, projection: Projection) -> Float32Array:
    # In single precision an iteration takes half the time, and the mixtures are as good.
    return np.asarray((frames - projection.mean) / projection.scale, dtype=np.float32)


def _fit_frames(frames: Float32Array, training: TrainingSection, seed: int) -> Mixture:
    n_components = max(1, min(training.n_cepstral_components, len(frames) // MIN_FRAMES_PER_COMPONENT))
    # The seed of the settings may be the largest of 32 bits, and the index of the label was added.
    seed, floor = seed % 2**32, training.variance_floor
    some = frames[:MAX_FIRST_FRAMES]
    # Not k-means: it would take longer than all the rest, and the mixtures are as good without.
    start = spread_mixture(some, n_components, seed=seed, variance_floor=floor)
    first = maximise(some, start, variance_floor=floor, max_iterations=N_FIRST_ITERATIONS)
    return maximise(frames, first, variance_floor=floor, max_iterations=N_LAST_ITERATIONS)
