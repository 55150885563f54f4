"""The rule of each label, from its settings in the configuration, else in the model, else the common settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamgmm import units
from streamgmm.decision.events import LabelRule
from streamgmm.errors import ConfigError
from streamgmm.labels import ANOMALY
from streamgmm.settings.decision import DecisionSection, LabelSection
from streamgmm.wording import did_you_mean


def make_rules(
    labels: Sequence[str], section: DecisionSection, overrides: Mapping[str, LabelSection], sample_rate_hz: int
) -> list[LabelRule]:
    """Return one rule per label.

    Args:
        labels: names of the model's labels.
        section: settings of the decisions: its `labels` take precedence over `overrides`, and these over the rest.
        overrides: settings of single labels in the model.
        sample_rate_hz: sample rate of positions and durations.

    Raises:
        ConfigError: `section.labels` names labels that the model does not have.
    """
    # All unknown labels at once, so that a single start shows every mistake.
    # What decides on the labels of a model alone ignores the settings of `anomaly`.
    known = {*labels, ANOMALY} if section.max_false_anomalies_per_hour else set(labels)
    problems = [_unknown_label(label, labels) for label in section.labels if label not in known]
    if problems:
        raise ConfigError(problems)
    unset = LabelSection()
    chains = [(section.labels.get(label, unset), overrides.get(label, unset)) for label in labels]
    return [_rule(chain, section, sample_rate_hz) for chain in chains]


def _unknown_label(label: str, labels: Sequence[str]) -> str:
    hint = did_you_mean(label, labels) or f"it has {', '.join(labels)}"
    return f"decision.labels.{label}: the model has no such label ({hint})"


def _rule(chain: Sequence[LabelSection], section: DecisionSection, sample_rate_hz: int) -> LabelRule:
    def first(name: str) -> float:
        # None means not set; the section has a value for every setting.
        values = (getattr(part, name) for part in chain)
        return float(next((value for value in values if value is not None), getattr(section, name)))

    def samples(name: str) -> int:
        return units.seconds_to_samples(first(name), sample_rate_hz)

    onset_threshold = first("onset_threshold")
    return LabelRule(
        onset_threshold=onset_threshold,
        # The two may come from different levels of settings; a low onset threshold then lowers the other.
        offset_threshold=min(first("offset_threshold"), onset_threshold),
        min_duration_samples=samples("min_duration_s"),
        hangover_samples=samples("hangover_s"),
        refractory_samples=samples("refractory_s"),
        max_duration_samples=units.seconds_to_samples(section.max_duration_s, sample_rate_hz),
    )
