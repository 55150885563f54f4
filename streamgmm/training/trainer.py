"""From a data set to a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamgmm.config import Config
from streamgmm.dataset.clips import data_sha256
from streamgmm.dataset.dataset import Dataset, at_rate, common_rate_hz
from streamgmm.dataset.listing import Problems, Skipped
from streamgmm.dataset.reasons import explanation
from streamgmm.errors import ConfigError
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.window import window_layout
from streamgmm.model.model import Model
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import ExtractionTask, with_backgrounds
from streamgmm.training.fitting.fitting import Fit, fit_classifier, unconverged_allowed
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.selection.validation import Validation, validate
from streamgmm.training.selection.window_length import WindowLengths
from streamgmm.training.workers import Track, map_in_threads, untracked

LIBRARIES = ("numpy", "PyWavelets", "scikit-learn", "scipy", "soxr", "soundfile")


class Training(NamedTuple):
    """A model and how it came to be.

    Attributes:
        model: ready to be saved.
        validation: how clips fared that were held out.
        clips: what each usable clip taught.
        dataset: what it was trained on; recordings that hold no sound are among its skipped ones.
        task: how the clips were measured.
        notes: what the trainer decided by itself.
    """

    model: Model
    validation: Validation
    clips: list[ClipVectors]
    dataset: Dataset
    task: ExtractionTask
    notes: list[str]


def make_task(dataset: Dataset, config: Config) -> ExtractionTask:
    """What to measure on the recordings of `dataset`: the configuration, and their own rate where it says none.

    Raises:
        ConfigError: the numbers do not fit together.
    """
    features = config.features
    try:
        spec = FeatureSpec(
            sample_rate_hz=features.sample_rate_hz or common_rate_hz(dataset),
            window_s=features.window_s,
            hop_s=features.hop_s,
            n_bands=features.n_bands,
            min_hz=features.min_hz,
        )
    except ValueError as error:
        raise ConfigError([f"features: {error}"]) from error
    kinds = list(dict.fromkeys(block.kind for block in window_layout(spec)))
    for unknown in sorted(set(config.training.without) - set(kinds)):
        raise ConfigError([f"training.without: no kind of features is '{unknown}', there are {', '.join(kinds)}"])
    if set(kinds) <= set(config.training.without):
        raise ConfigError(["training.without: leaves no features to learn from"])
    return ExtractionTask(
        spec=spec,
        training=config.training,
        channel=config.source.channel,
        silence_gate_dbfs=config.decision.silence_gate_dbfs,
    )


def train(
    dataset: Dataset, config: Config, *, name: str, is_strict: bool = False, track: Track = untracked
) -> Training:
    """Measure all clips, hold out each source once for calibration, and fit the model on all of them.

    Args:
        dataset: what to learn.
        config: features, training and source sections are used.
        name: of the model.
        is_strict: whether a recording that was left out, or anything that was warned of, is an error.
        track: shows how far the work is.

    Raises:
        DataError: a class has not enough usable sound.
    """
    task = make_task(dataset, config)
    dataset = at_rate(dataset, task.spec.sample_rate_hz)
    if is_strict:
        _refuse_any(dataset.skipped, dataset.warnings, dataset.path)
    lengths = WindowLengths(dataset.clips, with_backgrounds(task, dataset.clips), track)
    extraction = lengths.measured()
    if is_strict:
        _refuse_any(extraction.skipped, [], dataset.path)
    dataset = extraction.usable(dataset, config.training.min_clips)
    chosen = lengths.choose(dataset.clips, dataset.labels)
    fit, validation = fit_calibrated(chosen.clips, dataset.labels, task, track)
    task = msgspec.structs.replace(task, spec=chosen.task.spec, training=validation.training)
    card = make_card(dataset.labels, task, chosen.clips, validation)
    model = Model(name=name, spec=task.spec, classifier=calibrated(fit, validation.calibration), card=card)
    notes = [*fit.notes, *chosen.notes, *validation.notes]
    return Training(model, validation, chosen.clips, dataset, task, notes)


def _refuse_any(skipped: Sequence[Skipped], warnings: Sequence[str], where: Path) -> None:
    """Raise what a training that is not strict would have told afterwards."""
    problems = Problems()
    for path, reason in skipped:
        problems.add(f"{path}: would be left out: {explanation(reason, path)}")
    for warning in warnings:
        problems.add(warning)
    problems.raise_if_any(where=where)


@unconverged_allowed()
def fit_calibrated(
    clips: Sequence[ClipVectors], labels: Sequence[str], task: ExtractionTask, track: Track = untracked
) -> tuple[Fit, Validation]:
    """Fit on all clips, in the way and with the calibration that held-out clips suggest."""
    validation = validate(clips, labels, task.training, track)

    def fit_all(_: None) -> Fit:
        has_cepstra = validation.calibration.cepstral_weight > 0.0
        return fit_classifier(clips, labels, validation.training, has_cepstra=has_cepstra)

    (fit,) = track(map_in_threads(fit_all, [None]), "fitting", 1)
    return fit, validation


def make_card(
    labels: Sequence[str], task: ExtractionTask, clips: Sequence[ClipVectors], validation: Validation
) -> dict[str, Any]:
    """What is worth knowing about the training later; holds no date, so that it can be repeated exactly."""
    n_clips = Counter(clip.clip.label for clip in clips)
    n_windows = Counter[str]()
    for clip in clips:
        n_windows[clip.clip.label] += len(clip.vectors)
    training = msgspec.to_builtins(validation.training)
    # On how many cores it was made says nothing of the model; a credit changes nothing, and is to be seen.
    del training["n_jobs"]
    credit = training.pop("credit")
    return {
        **({"credit": credit} if credit else {}),
        "data_sha256": data_sha256(clip.clip for clip in clips),
        "n_clips": {label: n_clips[label] for label in labels},
        "n_windows": {label: n_windows[label] for label in labels},
        "held_out_accuracy": validation.accuracy,
        "held_out_recalls": validation.recalls,
        "settings": {"features": msgspec.to_builtins(task.spec), "training": training},
        "versions": {library: version(library) for library in LIBRARIES},
    }
