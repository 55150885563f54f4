"""The mixtures over frame vectors, fitted by expectation maximisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.mixture import GaussianMixture

from streamgmm.config import TrainingSection
from streamgmm.labels import BACKGROUND
from streamgmm.model.frames import FrameMixtures
from streamgmm.model.mixture import Mixture
from streamgmm.model.projection import Projection
from streamgmm.training.clip_vectors import ClipVectors
from streamgmm.training.projection import MIN_DEVIATION

Array = npt.NDArray[np.float64]

MIN_FRAMES_PER_COMPONENT = 20
MAX_FRAMES = 12_000
"""Frames of one label that a mixture is fitted to, drawn at random: more of them change nothing but the time."""

MAX_ITERATIONS = 20
DEFAULT_WEIGHT = 1.0
"""Of frames beside windows, until validation says otherwise."""


def fit_frames(clips: Sequence[ClipVectors], labels: Sequence[str], training: TrainingSection) -> FrameMixtures | None:
    """One diagonal mixture for the frames of each label.

    Cepstra hardly depend on each other, so no projection turns them: it standardises only.

    Args:
        clips: at least one for each label, with frames.
        labels: sorted names.
        training: number of components, variance floor, seed.

    Returns:
        The mixtures; None if a label has too few frames, or frames that do not differ.
    """
    drawn = [_draw(clips, label, training.seed + i) for i, label in enumerate(labels)]
    if min(map(len, drawn)) < MIN_FRAMES_PER_COMPONENT:
        return None
    together = np.concatenate(drawn)
    if together.std(axis=0).min() < MIN_DEVIATION:
        return None
    if BACKGROUND not in labels:
        rng = np.random.default_rng(training.seed)
        drawn.append(together[rng.permutation(len(together))[:MAX_FRAMES]])
    projection = Projection(together.mean(axis=0), together.std(axis=0), np.eye(together.shape[1]))
    mixtures = [_fit(projection.apply(frames), training, training.seed + i) for i, frames in enumerate(drawn)]
    return FrameMixtures(projection, tuple(mixtures), DEFAULT_WEIGHT)


def _draw(clips: Sequence[ClipVectors], label: str, seed: int) -> Array:
    """At most `MAX_FRAMES` of the frames of a label, those of altered copies among them."""
    own = [clip.frames for clip in clips if clip.frames is not None and clip.clip.label == label]
    if not own:
        return np.zeros((0, 1))
    frames = np.concatenate([part for one in own for part in (one.vectors, one.copies)])
    return frames[np.random.default_rng(seed).permutation(len(frames))[:MAX_FRAMES]].astype(np.float64)


def _fit(frames: Array, training: TrainingSection, seed: int) -> Mixture:
    n_components = max(1, min(training.n_frame_components, len(frames) // MIN_FRAMES_PER_COMPONENT))
    # k-means to the end would take longer than all that follows, and the mixtures come out as good.
    fitted = GaussianMixture(
        n_components,
        covariance_type="diag",
        reg_covar=training.variance_floor,
        random_state=seed % 2**32,
        max_iter=MAX_ITERATIONS,
        init_params="k-means++",
    ).fit(frames)
    return Mixture(fitted.weights_ / fitted.weights_.sum(), fitted.means_, fitted.covariances_, "diag")
