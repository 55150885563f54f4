"""Explanation of the output of a model at one moment of a recording."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float64Array, Samples, softmax
from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.rejection import GATES
from streamgmm.errors import UsageError
from streamgmm.explanation.attribution import attribute
from streamgmm.explanation.result import Contribution, Explanation, Gate, LabelState, MixtureComparison
from streamgmm.explanation.surroundings import Moment, Surroundings, surroundings_of
from streamgmm.features.bank import band_limits_hz
from streamgmm.features.spec import FeatureSpec
from streamgmm.features.window import Bands, window_layout
from streamgmm.labels import BACKGROUND
from streamgmm.model.classifier import Classifier
from streamgmm.model.model import Model
from streamgmm.records import RejectReason
from streamgmm.settings.config import Config
from streamgmm.wording import did_you_mean

UNSCORED: tuple[RejectReason, ...] = ("silence", "nonfinite")
"""Gates before the scores: where they reject, only their own values can be explained."""


class Explained(NamedTuple):
    """An explanation, with the data for a picture of it.

    Attributes:
        explanation: the report.
        surroundings: the recording around the moment.
    """

    explanation: Explanation
    surroundings: Surroundings


def explain(
    blocks: Iterable[Samples], model: Model, config: Config, at_s: float, against: str | None = None
) -> Explained:
    """Explain what a run of `model` would have reported at one moment of a recording.

    Args:
        blocks: float, shape (n,) each, at the model's rate, full scale 1.0; the recording from its beginning.
        model: what to explain.
        config: priors and decision are used.
        at_s: the moment (s).
        against: the label to compare the best one with, or `background`; None for the label that fits this window
            best among the others.

    Raises:
        UsageError: the recording ends before the moment; the model has no label `against`, or it is the best label.
        DataError: the recording holds no samples.
        ConfigError: the settings name a label that the model does not have.
    """
    # Before the recording is streamed, which takes most of the time.
    check_against(against, model)
    classifier = model.classifier.with_priors(config.model.priors)
    surroundings = surroundings_of(blocks, model, config, at_s)
    moment = surroundings.moment
    verdict, posteriors, _ = moment.judgement
    is_scored = verdict.reject not in UNSCORED
    # Stable, so that the first of equal posteriors is the best one, as for the judge.
    order = np.argsort(-posteriors, kind="stable").tolist()
    best = order[0] if is_scored else None
    rule = BayesRule(classifier.labels, classifier.competing_log_priors, classifier.likelihood_scale)
    posteriors_now = softmax(rule.logits(moment.scores))  # without smoothing
    other = None if best is None else _opponent(classifier, posteriors_now, best, against)
    rate_hz = model.spec.sample_rate_hz
    heard_samples = round(moment.scores.window_share * model.spec.window_samples)
    explanation = Explanation(
        t=units.samples_to_seconds(moment.scores.end_sample, rate_hz),
        start_t=units.samples_to_seconds(max(0, moment.scores.end_sample - heard_samples), rate_hz),
        window_share=moment.scores.window_share,
        level_dbfs=moment.scores.level_dbfs,
        label=verdict.label,
        best=None if best is None else model.labels[best],
        reject=verdict.reject,
        gates=_gates(moment, classifier, config, best),
        labels=_label_states(surroundings, model.labels, posteriors_now, order, is_scored=is_scored),
        comparison=None if best is None or other is None else compare(moment, classifier, model.spec, best, other),
    )
    return Explained(explanation, surroundings)


def check_against(against: str | None, model: Model) -> None:
    """Reject a label that the model does not have.

    Raises:
        UsageError: there is no such label.
    """
    if against is None or against == BACKGROUND or against in model.labels:
        return
    hint = did_you_mean(against, model.labels) or f"it has {', '.join(model.labels)}"
    raise UsageError(f"cannot compare with '{against}': the model has no such label", hint=hint)


def _opponent(classifier: Classifier, posteriors: Float64Array, best: int, against: str | None) -> int | None:
    """Return the index of the mixture to compare the best label with; None if there is no other."""
    n_mixtures = len(classifier.all_mixtures)
    if against is None:
        # By this window alone, as its likelihoods are attributed; the background comes after all labels.
        ranking = [*np.argsort(-posteriors, kind="stable").tolist(), *range(len(posteriors), n_mixtures)]
        return next((i for i in ranking if i != best), None)
    # A background that is not a label has the last mixture.
    index = classifier.labels.index(against) if against in classifier.labels else n_mixtures - 1
    if index == best:
        raise UsageError(f"cannot compare with '{against}': it is the best label itself", hint="name another one")
    return index


def _gates(moment: Moment, classifier: Classifier, config: Config, best: int | None) -> list[Gate]:
    """Return the value and the limit of each gate, and which of them rejected according to the judge."""
    scores, reject = moment.scores, moment.judgement.verdict.reject
    llr = None if best is None else float(scores.llrs[best])
    log_likelihood = None if best is None else float(scores.log_likelihoods[best])
    floor = None if best is None or np.isneginf(classifier.floors[best]) else float(classifier.floors[best])
    numbers: dict[RejectReason, tuple[float | None, float | None, str]] = {
        "silence": (scores.level_dbfs, config.decision.silence_gate_dbfs, "dBFS"),
        "nonfinite": (None, None, ""),
        "background": (llr, config.decision.min_llr, "nat"),
        "unknown": (log_likelihood, floor, "nat"),
    }
    n_passed = len(GATES) if reject is None else GATES.index(reject)
    # Gates before the rejection, the rejecting one, and those not reached; `zip` ignores the surplus at the end.
    outcomes = [*n_passed * [True], False, *len(GATES) * [None]]
    return [
        Gate(refusal=name, value=numbers[name][0], limit=numbers[name][1], unit=numbers[name][2], is_passed=outcome)
        for name, outcome in zip(GATES, outcomes, strict=False)
    ]


def _label_states(
    surroundings: Surroundings,
    labels: tuple[str, ...],
    posteriors_now: Float64Array,
    order: list[int],
    *,
    is_scored: bool,
) -> dict[str, LabelState]:
    moment = surroundings.moment

    def numbers(values: Float64Array) -> list[float | None]:
        return [value if is_scored else None for value in values.tolist()]

    posteriors, smoothed = numbers(posteriors_now), numbers(moment.judgement.posteriors)
    log_likelihoods, llrs = numbers(moment.scores.log_likelihoods), numbers(moment.scores.llrs)
    return {
        labels[i]: LabelState(
            posterior=posteriors[i],
            smoothed_posterior=smoothed[i],
            log_likelihood=log_likelihoods[i],
            llr=llrs[i],
            onset_threshold=surroundings.rules[i].onset_threshold,
            offset_threshold=surroundings.rules[i].offset_threshold,
            state=moment.states[i].value,
            event_start_t=moment.event_starts.get(labels[i]),
        )
        for i in order
    }


def compare(moment: Moment, classifier: Classifier, spec: FeatureSpec, best: int, other: int) -> MixtureComparison:
    """Attribute the log-likelihood ratio of two mixtures at a moment that was scored.

    Args:
        moment: a hop with a window vector.
        classifier: with the priors of the run.
        spec: features of the model.
        best: index of a label.
        other: index of the other mixture among `classifier.all_mixtures`.
    """
    vector, evidence = moment.observation.features.vector, moment.observation.cepstral_evidence
    if vector is None:
        raise ValueError("a window without a vector has no scores to compare")
    # The last entry is the background, which may not be a label; its ratio to itself is 0.
    llrs = np.append(moment.scores.llrs, 0.0)
    log_priors = np.append(classifier.competing_log_priors, 0.0)
    llr = float(llrs[best] - llrs[other])
    log_prior_ratio = float(log_priors[best] - log_priors[other])
    frames = None
    if classifier.cepstra is not None and evidence is not None:
        frames = classifier.cepstra.weight * float(evidence[best] - evidence[other])
    attribution = attribute(classifier, vector, best, other)
    return MixtureComparison(
        label=classifier.labels[best],
        against=(*classifier.labels, BACKGROUND)[other],
        llr=llr,
        log_prior_ratio=log_prior_ratio,
        log_odds=classifier.likelihood_scale * llr + log_prior_ratio,
        likelihood_scale=classifier.likelihood_scale,
        baseline=attribution.baseline,
        frames=frames,
        rest=llr - (frames or 0.0) - attribution.baseline - float(attribution.parts.sum()),
        parts=gather(attribution.parts, spec),
    )


def gather(values: Float64Array, spec: FeatureSpec) -> list[Contribution]:
    """Sum the features of one kind and place, in the order of the vector; `values` has shape (n_features,)."""
    sums: defaultdict[tuple[str, Bands], float] = defaultdict(float)
    keys = ((block.kind, place) for block in window_layout(spec) for place in block.bands)
    # Features of several scales or lags have the same key, and add up.
    for key, value in zip(keys, values.tolist(), strict=True):
        sums[key] += value
    limits_hz = band_limits_hz(spec).tolist()
    return [
        Contribution(kind=kind, bands=place, low_hz=limits_hz[place[0]], high_hz=limits_hz[place[-1] + 1], nats=nats)
        for (kind, place), nats in sums.items()
    ]
