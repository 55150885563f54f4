"""Answers of a model to clips; without scikit-learn, so that worker processes start quickly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from streamgmm.analyser import Analyser
from streamgmm.arrays import Samples
from streamgmm.dataset.clips import Clip
from streamgmm.dataset.loading import by_recording, load_clips
from streamgmm.decision.clip import ClipDecision
from streamgmm.evaluation.conditions import UNCHANGED, Conditions, apply_conditions
from streamgmm.features.extractor import HopFeatures, clip_features
from streamgmm.features.spec import FeatureSpec
from streamgmm.listening.clips import decide_scores
from streamgmm.model.classifier import PLAIN_VOTES
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.training.workers import map_in_order


class ClipAnswer(NamedTuple):
    """The answer to one clip that the model was not trained on.

    Attributes:
        clip: with the true label.
        decision: the answer.
        uncalibrated: the answer with a likelihood scale and a sharpness of 1.
    """

    clip: Clip
    decision: ClipDecision
    uncalibrated: ClipDecision


def answer_clips(
    clips: Sequence[Clip], model: Model, config: Config, conditions: Conditions = UNCHANGED
) -> Iterator[ClipAnswer]:
    """Yield the answer to each clip under `conditions`, through the same objects as a live stream, on all cores."""
    for (answer,) in answer_with_each(clips, [model], config, conditions):
        yield answer


def answer_with_each(
    clips: Sequence[Clip], models: Sequence[Model], config: Config, conditions: Conditions = UNCHANGED
) -> Iterator[tuple[ClipAnswer, ...]]:
    """Yield the answers of several models to each clip, in order; models with the same features share measurements."""
    # One job per recording: it is decoded and measured once for all its clips and all models.
    work = partial(_answer_recording, models=models, config=config, conditions=conditions)
    for answers in map_in_order(work, by_recording(clips), config.training.n_jobs):
        yield from answers


def clips_in_conditions(
    clips: Sequence[Clip], spec: FeatureSpec, config: Config, conditions: Conditions
) -> list[Samples]:
    """Return the samples of `clips`, all of one recording, under `conditions`: float32, shape (n,) each.

    Raises:
        DataError: the recording, or that of the noise, cannot be used.
    """
    loaded = load_clips(clips, spec.sample_rate_hz, config.source.channel)
    return [
        apply_conditions(samples, clip, conditions, spec, config.decision.silence_gate_dbfs)
        for clip, samples in zip(clips, loaded, strict=True)
    ]


def _answer_recording(
    clips: list[Clip], models: Sequence[Model], config: Config, conditions: Conditions
) -> list[tuple[ClipAnswer, ...]]:
    has_cepstra = any(model.for_clips.classifier.used_cepstra is not None for model in models)
    measured: dict[FeatureSpec, list[list[HopFeatures]]] = {}
    # Models may differ in the length of windows, which each training chooses.
    for spec in {model.spec for model in models}:
        heard = clips_in_conditions(clips, spec, config, conditions)
        measured[spec] = [clip_features(samples, spec, has_cepstra=has_cepstra) for samples in heard]
    return [
        tuple(_answer(clip, measured[model.spec][i_clip], model, config) for model in models)
        for i_clip, clip in enumerate(clips)
    ]


def _answer(clip: Clip, features: Sequence[HopFeatures], model: Model, config: Config) -> ClipAnswer:
    model = model.for_clips
    hops = Analyser(model).score_all(features)
    # Only the decision is repeated: the log-likelihoods of windows depend on neither of these two.
    plain = replace(model.classifier, likelihood_scale=1.0, clips=PLAIN_VOTES)
    uncalibrated = replace(model, classifier=plain)
    return ClipAnswer(clip, decide_scores(hops, model, config), decide_scores(hops, uncalibrated, config))
