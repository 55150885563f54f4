"""Plain recognisers of whole clips to compare with: common features, and models of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, NamedTuple

import librosa
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from streamgmm.arrays import AnyArray, Float64Array
from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import Dataset, common_rate_hz
from streamgmm.dataset.loading import load_clips

N_MELS = 64
N_MFCC = 20
N_COMPONENTS = 32
N_TREES = 500
VARIANCE_FLOOR = 1.0
"""Of the mixtures: silent frames are all alike, and a component of them would collapse."""


class Spectra(NamedTuple):
    """Common features of a clip.

    Attributes:
        mel_db: shape (n_frames, N_MELS), log mel spectrum relative to its maximum.
        mfcc: shape (n_frames, 2 * N_MFCC), cepstral coefficients and their slopes.
    """

    mel_db: Float64Array
    mfcc: Float64Array


class Split(NamedTuple):
    """Clips to learn from with their labels, and clips to recognise."""

    known: list[Spectra]
    labels: AnyArray
    tested: list[Spectra]


def baselines_right(dataset: Dataset, tested: Sequence[str], n_seeds: int) -> dict[str, Float64Array]:
    """Return the shares of clips that each baseline recognises, shape (n_folds, n_seeds), with each fold held out."""
    rate_hz = common_rate_hz(dataset)
    spectra = [measure(clip, rate_hz) for clip in dataset.clips]
    labels = np.array([clip.label for clip in dataset.clips])
    right: dict[str, list[list[float]]] = {name: [] for name in BASELINES}
    for fold in tested:
        is_tested = np.array([clip.fold == fold for clip in dataset.clips])
        split = Split([*compress(spectra, ~is_tested)], labels[~is_tested], [*compress(spectra, is_tested)])
        for name, recognise in BASELINES.items():
            answers = [recognise(split, seed) for seed in range(n_seeds)]
            right[name].append([float(np.mean(own == labels[is_tested])) for own in answers])
    return {name: np.array(shares) for name, shares in right.items()}


def measure(clip: Clip, rate_hz: int) -> Spectra:
    (samples,) = load_clips([clip], rate_hz)
    mel = librosa.feature.melspectrogram(y=samples, sr=rate_hz, n_mels=N_MELS)
    mel_db = librosa.power_to_db(mel, ref=np.max).astype(np.float64)
    mfcc = librosa.feature.mfcc(S=mel_db, n_mfcc=N_MFCC)
    return Spectra(mel_db.T, np.concatenate([mfcc, librosa.feature.delta(mfcc)]).T)


def by_mixtures(split: Split, seed: int) -> AnyArray:
    """Recognise clips by the likelihood of their frames under a mixture of each label."""
    names = np.unique(split.labels)
    mixtures = [
        GaussianMixture(N_COMPONENTS, covariance_type="diag", reg_covar=VARIANCE_FLOOR, random_state=seed).fit(
            np.concatenate([clip.mfcc for clip in compress(split.known, split.labels == name)])
        )
        for name in names
    ]
    scores = np.array([[mixture.score(clip.mfcc) for mixture in mixtures] for clip in split.tested])
    return np.asarray(names[scores.argmax(axis=1)])


def by_forest(split: Split, seed: int) -> AnyArray:
    return _by_statistics(RandomForestClassifier(N_TREES, random_state=seed), split, lambda clip: clip.mfcc)


def by_line(split: Split, seed: int) -> AnyArray:
    # No random numbers: every seed gives the same.
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _by_statistics(model, split, lambda clip: clip.mel_db)


def _by_statistics(model: Any, split: Split, features: Callable[[Spectra], Float64Array]) -> AnyArray:
    """Recognise clips by the mean and deviation of their features over time."""
    known, tested = (
        np.array([np.concatenate([features(clip).mean(axis=0), features(clip).std(axis=0)]) for clip in clips])
        for clips in (split.known, split.tested)
    )
    return np.asarray(model.fit(known, split.labels).predict(tested))


BASELINES: dict[str, Callable[[Split, int], AnyArray]] = {
    "Gaussian mixtures on MFCC": by_mixtures,
    "random forest on MFCC statistics": by_forest,
    "logistic regression on mel statistics": by_line,
}
"""By name: from a split and a seed to the labels of the tested clips."""
