"""Train a model on a data set: measure, choose, fit, calibrate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamgmm.dataset.checks import check_rivals
from streamgmm.dataset.clips import data_sha256
from streamgmm.dataset.dataset import Dataset, common_rate_hz, warn_of_narrow_band
from streamgmm.dataset.listing import DatasetProblems, Skipped
from streamgmm.dataset.reasons import explanation
from streamgmm.decision.anomaly import check_anomaly_label
from streamgmm.errors import ConfigError
from streamgmm.features.kernel.loader import kernel_name
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.window import window_layout
from streamgmm.model.classifier import Classifier
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection, LabelSection
from streamgmm.training.background_sounds import is_judged, model_without_background, taught_sound_notes
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.extraction import with_backgrounds
from streamgmm.training.extraction.task import ExtractionTask
from streamgmm.training.extraction.world_clips import WorldClips, world_clips
from streamgmm.training.fitting.density import fit_density
from streamgmm.training.fitting.fitting import Fit, fit_classifier, unconverged_allowed
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.selection.held_out import hear_ambiences
from streamgmm.training.selection.threshold_report import as_sections, deaf_notes, thresholds_in_card
from streamgmm.training.selection.thresholds import choose_thresholds
from streamgmm.training.selection.validation import Validation, validate
from streamgmm.training.selection.window_length import WindowLengths
from streamgmm.training.workers import ProgressTracker, ThreadExecutor, run_job, untracked

# Another version of any of these may change features or fit, and so the bytes of a model.
LIBRARIES = ("numpy", "PyWavelets", "scikit-learn", "scipy", "soxr", "soundfile")


class Training(NamedTuple):
    """A trained model and the data and choices behind it.

    Attributes:
        model: ready to be saved.
        validation: scores of held-out clips.
        clips: vectors of each usable clip.
        dataset: the training data; recordings without any sound are among its skipped ones.
        task: how the clips were measured.
        notes: choices that the trainer made.
    """

    model: Model
    validation: Validation
    clips: list[ClipVectors]
    dataset: Dataset
    task: ExtractionTask
    notes: list[str]


def make_task(dataset: Dataset, config: Config) -> ExtractionTask:
    """Return how to measure the recordings of `dataset`: by the settings, or at their own sample rate if none is set.

    Raises:
        ConfigError: the settings contradict each other.
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
    # Not a set: error messages list the kinds in the order of the features.
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
    dataset: Dataset, config: Config, *, name: str, is_strict: bool = False, track: ProgressTracker = untracked
) -> Training:
    """Measure all clips, hold out each source once for calibration, and fit the model on all of them.

    Args:
        dataset: the clips to train on.
        config: its sections features, training, source and decision are used.
        name: of the model.
        is_strict: whether a recording that was left out, or any warning, is an error.
        track: shows the progress.

    Raises:
        DataError: a class has too few usable clips, or there is nothing to tell the only class from.
    """
    check_rivals(dataset.labels, has_world=config.training.world)
    task = make_task(dataset, config)
    check_anomaly_label(dataset.labels, config.decision)
    dataset = warn_of_narrow_band(dataset, task.spec.sample_rate_hz)
    if is_strict:
        _refuse_any(dataset.skipped, dataset.warnings, dataset.path)
    # Backgrounds are taken from all clips of the data set: copies over them are made before any clip is held out.
    lengths = WindowLengths(dataset.clips, with_backgrounds(task, dataset.clips), track)
    extraction = lengths.measured()
    # Again: only measuring shows which recordings are silent throughout.
    if is_strict:
        _refuse_any(extraction.skipped, [], dataset.path)
    dataset = extraction.usable(dataset, config.training.min_clips)
    chosen = lengths.choose(dataset.clips, dataset.labels)
    # The other lengths leave the disk.
    del lengths, extraction
    # The chosen one: sounds of the world are measured in windows of the same length, and over the same backgrounds.
    world = world_of_labels(dataset.labels, chosen.task, track)
    fit, validation = fit_in_world(chosen.clips, world, dataset.labels, chosen.task, track)
    # The task in the result has the chosen settings, for a later fit to the same vectors.
    # The backgrounds by their hash alone: a memory of the training holds no names of files.
    task = msgspec.structs.replace(
        task, spec=chosen.task.spec, training=validation.training, heard_over=chosen.task.backgrounds_sha256
    )
    card = make_card(dataset.labels, task, chosen.clips, validation)
    classifier = calibrated(fit, validation.calibration)
    decision, room_notes = decide_thresholds(validation, classifier, task.spec, config.decision, card)
    # Whether or not anomalies are on: they are switched on in the settings of a run. In an executor as the fit.
    (density,) = ThreadExecutor().map(run_job, [partial(fit_density, chosen.clips, task.spec)])
    model = Model(name=name, spec=task.spec, classifier=classifier, decision=decision, card=card, density=density)
    notes = [*fit.notes, *chosen.notes, *validation.notes, *room_notes]
    if is_judged(dataset.clips, world, model):
        unlearnt = model_without_background(model, [*chosen.clips, *world.clips], validation, track)
        notes += taught_sound_notes(dataset.clips, unlearnt, config, track)
    return Training(model, validation, chosen.clips, dataset, task, notes)


def decide_thresholds(
    validation: Validation,
    classifier: Classifier,
    spec: FeatureSpec,
    section: DecisionSection,
    card: dict[str, Any],
) -> tuple[dict[str, LabelSection], list[str]]:
    """Return the decision settings of labels for a budget of false alarms, and notes; the card gets what they leave.

    A threshold that the settings change from the default is the user's choice, and is kept.
    """
    has_own = section.onset_threshold != DecisionSection().onset_threshold
    if validation.held_out is None or has_own or not section.max_false_alarms_per_hour:
        return {}, []
    thresholds = choose_thresholds(
        validation.held_out,
        classifier,
        section,
        spec,
        ambiences=validation.ambiences,
        is_over_background=validation.is_over_background,
    )
    if not thresholds:
        return {}, []
    card["room"] = msgspec.to_builtins(thresholds_in_card(thresholds, section.max_false_alarms_per_hour))
    return as_sections(thresholds), deaf_notes(thresholds, section.max_false_alarms_per_hour)


def _refuse_any(skipped: Sequence[Skipped], warnings: Sequence[str], where: Path) -> None:
    """Raise the omissions and warnings that a training that is not strict would report at its end."""
    problems = DatasetProblems()
    for path, reason in skipped:
        problems.add(f"{path}: would be left out: {explanation(reason, path)}")
    for warning in warnings:
        problems.add(warning)
    problems.raise_if_any(where=where)


def fit_calibrated(
    clips: Sequence[ClipVectors], labels: Sequence[str], task: ExtractionTask, track: ProgressTracker = untracked
) -> tuple[Fit, Validation]:
    """Fit on all clips and the sounds of the world, with settings and calibration chosen by cross-validation.

    Raises:
        DataError: there is nothing to tell the only class from.
    """
    return fit_in_world(clips, world_of_labels(labels, task, track), labels, task, track)


def world_of_labels(labels: Sequence[str], task: ExtractionTask, track: ProgressTracker = untracked) -> WorldClips:
    """Return the sounds of the world that are foreign to `labels`.

    Raises:
        DataError: there is nothing to tell the only class from.
    """
    world = world_clips(task, labels, track)
    check_rivals(labels, has_world=bool(world.clips), reasons=world.notes)
    return world


def fit_in_world(
    clips: Sequence[ClipVectors],
    world: WorldClips,
    labels: Sequence[str],
    task: ExtractionTask,
    track: ProgressTracker = untracked,
) -> tuple[Fit, Validation]:
    """Fit as `fit_calibrated`, beside sounds of the world that are known already."""
    clips = [*clips, *world.clips]
    with unconverged_allowed():
        validation = validate(clips, labels, task.training, track)
        notes = (*world.notes, *validation.notes)
        validation = validation._replace(notes=notes, is_over_background=world.is_over_background)
        has_cepstra = validation.calibration.uses_cepstra
        job = partial(fit_classifier, clips, labels, validation.training, has_cepstra=has_cepstra)
        # An executor for one job: it gives the fit one BLAS thread, on which the last bits of the model depend.
        (fit,) = track(ThreadExecutor().map(run_job, [job]), "fitting", 1)
    # In an executor as the fit.
    (ambiences,) = ThreadExecutor().map(run_job, [partial(hear_ambiences, world.ambiences, fit.classifier)])
    return fit, validation._replace(ambiences=ambiences)


def make_card(
    labels: Sequence[str], task: ExtractionTask, clips: Sequence[ClipVectors], validation: Validation
) -> dict[str, Any]:
    """Describe a training for the model file; without a date, so that equal trainings give equal bytes."""
    n_clips = Counter(clip.clip.label for clip in clips)
    n_windows = Counter[str]()
    for clip in clips:
        n_windows[clip.clip.label] += len(clip.vectors)
    training = msgspec.to_builtins(validation.training)
    # Processes and cache have no influence on the model; the credit goes to the top, where it is read.
    del training["n_jobs"], training["cache"]
    credit = training.pop("credit")
    return {
        **({"credit": credit} if credit else {}),
        "data_sha256": data_sha256(clip.clip for clip in clips),
        "n_clips": {label: n_clips[label] for label in labels},
        "n_windows": {label: n_windows[label] for label in labels},
        "held_out_accuracy": validation.accuracy,
        "held_out_recalls": validation.recalls,
        "settings": {"features": msgspec.to_builtins(task.spec), "training": training},
        # Kernels differ in the last bits of features, and so of models.
        "versions": {"kernel": kernel_name(), **{library: version(library) for library in LIBRARIES}},
    }
