"""What decides on the hops of a stream, put together from a model and settings."""

from __future__ import annotations

from typing import NamedTuple

from streamgmm.decision.anomaly import AnomalyJudge, anomaly_density, anomaly_settings
from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.events import LabelRule
from streamgmm.decision.judge import Judge
from streamgmm.decision.rules import make_rules
from streamgmm.labels import ANOMALY
from streamgmm.model.density import BackgroundDensity
from streamgmm.model.model import Model
from streamgmm.settings.config import Config


class DecisionParts(NamedTuple):
    """The parts of the decisions on one stream.

    Attributes:
        judge: of the hops.
        rules: one per label of the judge; those of the model's labels come first.
        density: gives the strangeness that the judge needs; None if it needs none.
    """

    judge: Judge
    rules: list[LabelRule]
    density: BackgroundDensity | None


def assemble(model: Model, config: Config) -> DecisionParts:
    """Return the parts of the decisions of a run.

    Raises:
        ConfigError: the settings name a label that the model does not have, or ask for anomalies of a model that was
            not taught a background.
    """
    section, spec = config.decision, model.spec
    density = anomaly_density(model, section)
    if density is None:
        rules = make_rules(model.labels, section, model.decision, spec.sample_rate_hz)
        return DecisionParts(make_judge(model, config), rules, None)
    overrides = {**model.decision, ANOMALY: anomaly_settings(section, spec)}
    rules = make_rules((*model.labels, ANOMALY), section, overrides, spec.sample_rate_hz)
    judge = AnomalyJudge(bayes_rule(model, config), section, spec, density.tail, rules[:-1])
    return DecisionParts(judge, rules, density)


def make_judge(model: Model, config: Config) -> Judge:
    """Return the judge of hops by the labels of a model alone, without anomalies.

    Raises:
        ConfigError: the settings give a prior to a label that the model does not have.
    """
    return Judge(bayes_rule(model, config), config.decision, model.spec.hop_samples / model.spec.sample_rate_hz)


def bayes_rule(model: Model, config: Config) -> BayesRule:
    """Return the weights of likelihoods and priors in the posteriors of a model's labels.

    Raises:
        ConfigError: the settings give a prior to a label that the model does not have.
    """
    classifier = model.classifier.with_priors(config.model.priors)
    return BayesRule(classifier.labels, classifier.competing_log_priors, classifier.likelihood_scale)
