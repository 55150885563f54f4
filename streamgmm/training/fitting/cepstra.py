"""Fit mixtures to cepstral frames by expectation maximisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from streamgmm.arrays import Float32Array, Float64Array, IndexArray
from streamgmm.labels import BACKGROUND
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.mixture import Mixture
from streamgmm.model.projection import Projection
from streamgmm.settings.training import TrainingSection
from streamgmm.training.extraction.clip_vectors import ClipVectors, one_at_a_time
from streamgmm.training.fitting.expectation import maximise, spread_mixture
from streamgmm.training.fitting.projection import MIN_DEVIATION

MIN_FRAMES_PER_COMPONENT = 20
"""More than for windows: neighbouring frames are nearly alike."""

MAX_FITTED_FRAMES = 40_000
"""Most frames of one label that a mixture is fitted to, drawn at random."""

MAX_FIRST_FRAMES, N_FIRST_ITERATIONS = 8_000, 8
N_LAST_ITERATIONS = 4
MAX_SPREAD_FRAMES = 2_000
"""Expectation maximisation starts on a subset of the frames, where an iteration is quick, and ends on all. In less time
than 20 iterations on 12 000 frames, it gives a 4 % lower log loss on spoken commands. It begins with frames far from
each other among `MAX_SPREAD_FRAMES`: to find them takes as long as an iteration."""

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
    of_labels = [[clip for clip in clips if clip.clip.label == label] for label in labels]
    n_drawn = [min(MAX_FITTED_FRAMES, _n_frames(own)) for own in of_labels]
    if min(n_drawn) < MIN_FRAMES_PER_COMPONENT:
        return None

    def draws() -> Iterator[Float32Array]:
        # Drawn again at each use: the frames of all labels together would take more memory than all else.
        return (_draw(own, training.seed + i) for i, own in enumerate(of_labels))

    mean, scale = _mean_and_deviation(draws(), 1 + sum(n_drawn) // MAX_SCALE_FRAMES)
    if scale.min() < MIN_DEVIATION:
        return None
    of_world = [clip for clip in clips if clip.is_world]

    def background() -> Iterator[Float32Array]:
        # Of frames of all labels, when there is no background at all.
        rest = np.random.default_rng(training.seed).permutation(sum(n_drawn))[:MAX_FITTED_FRAMES]
        yield _draw(of_world, training.seed) if of_world else _rows(rest, draws())

    # The background mixture comes last.
    fitted = chain(draws(), () if BACKGROUND in labels else background())
    projection = Projection(mean, scale, np.eye(len(mean)))
    mixtures = [
        _fit_frames(_standardised(frames, projection), training, training.seed + i) for i, frames in enumerate(fitted)
    ]
    return CepstralMixtures(projection, tuple(mixtures), DEFAULT_WEIGHT)


def _draw(clips: Sequence[ClipVectors], seed: int) -> Float32Array:
    """Draw at most `MAX_FITTED_FRAMES` frames of clips, those of copies included, in random order."""
    drawn = np.random.default_rng(seed).permutation(_n_frames(clips))[:MAX_FITTED_FRAMES]
    return _rows(drawn, (frames for clip in one_at_a_time(clips) for frames in _frames_of(clip)))


def _n_frames(clips: Sequence[ClipVectors]) -> int:
    return sum(len(frames) for clip in clips for frames in _frames_of(clip))


def _mean_and_deviation(draws: Iterable[Float32Array], step: int) -> tuple[Float64Array, Float64Array]:
    """Return mean and deviation of the frames of all draws, each of shape (n_cepstral_features,), from some of them."""
    # In double precision, as sums of so many lose digits.
    moments = [
        (len(own), own.mean(axis=0, dtype=np.float64), own.var(axis=0, dtype=np.float64))
        for own in (frames[::step] for frames in draws)
    ]
    n_frames = sum(n for n, _, _ in moments)
    mean = sum(n / n_frames * own for n, own, _ in moments)
    # The law of total variance.
    variance = sum(n / n_frames * (own + np.square(centre - mean)) for n, centre, own in moments)
    return np.asarray(mean), np.sqrt(variance)


def _rows(indices: IndexArray, parts: Iterable[Float32Array]) -> Float32Array:
    """Return rows of all parts together, of which only one is in memory at a time."""
    order = np.argsort(indices)
    rising, first = indices[order], 0
    rows: Float32Array | None = None
    for part in parts:
        if rows is None:
            rows = np.empty((len(indices), part.shape[1]), part.dtype)
        begin, end = np.searchsorted(rising, [first, first + len(part)])
        rows[order[begin:end]] = part[rising[begin:end] - first]
        first += len(part)
    assert rows is not None
    return rows


def _frames_of(clip: ClipVectors) -> Iterator[Float32Array]:
    """Yield the frames of a clip, of its altered copies, and of the sound in its copies in context."""
    if clip.cepstra is None:
        return
    yield clip.cepstra.vectors
    yield clip.cepstra.copies
    # A sound of the world is itself the copy in context.
    for context in () if clip.is_world else clip.contexts:
        if context.cepstra is not None:
            yield context.cepstra.copies


def _standardised(frames: Float32Array, projection: Projection) -> Float32Array:
    # In single precision an iteration takes half the time, and the mixtures are as good.
    # In place: drawn frames are nobody else's.
    frames -= projection.mean.astype(np.float32)
    frames /= projection.scale.astype(np.float32)
    return frames


def _fit_frames(frames: Float32Array, training: TrainingSection, seed: int) -> Mixture:
    n_components = max(1, min(training.n_cepstral_components, len(frames) // MIN_FRAMES_PER_COMPONENT))
    # The seed of the settings may be the largest of 32 bits, and the index of the label was added.
    seed, floor = seed % 2**32, training.variance_floor
    some = frames[:MAX_FIRST_FRAMES]
    # Not k-means: it would take longer than all the rest, and the mixtures are as good without.
    start = spread_mixture(some[:MAX_SPREAD_FRAMES], n_components, seed=seed, variance_floor=floor)
    first = maximise(some, start, variance_floor=floor, max_iterations=N_FIRST_ITERATIONS)
    return maximise(frames, first, variance_floor=floor, max_iterations=N_LAST_ITERATIONS)
