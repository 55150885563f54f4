"""Load the model that the settings name, or the bundled one."""

from __future__ import annotations

import logging

from streamgmm.errors import ConfigError, UsageError
from streamgmm.model.file import load_model
from streamgmm.model.model import Model
from streamgmm.model.shipped import load_shipped_model
from streamgmm.settings.decision import DecisionSection, LabelSection
from streamgmm.settings.features import FeaturesSection
from streamgmm.settings.loading import LoadedConfig

logger = logging.getLogger("streamgmm.run")


def load_chosen_model(loaded: LoadedConfig) -> Model:
    """Load the model that the settings name.

    Raises:
        UsageError: the settings name no model.
        ConfigError: explicit feature settings differ from those of the model.
        StreamgmmError: the model cannot be read.
    """
    path = loaded.config.model.path
    if not path:
        raise UsageError("no model is given", hint="make one with `streamgmm train`, then use --model FILE")
    model = load_model(path)
    _check_settings(loaded, model)
    return model


def load_chosen_or_shipped_model(loaded: LoadedConfig) -> Model:
    """Load the model that the settings name, or the bundled one, which is then reported in the log.

    Raises:
        ConfigError: explicit feature settings differ from those of the model.
        StreamgmmError: the model cannot be read.
    """
    model = load_model_quietly(loaded)
    if not loaded.config.model.path:
        logger.info(
            "no model is given: using the bundled model %s, which detects %s and nothing else; "
            "`streamgmm train FOLDER -o my.sgm` makes your own, for --model my.sgm",
            model.name,
            ", ".join(model.labels),
        )
    return model


def load_model_quietly(loaded: LoadedConfig) -> Model:
    """Load the model as `load_chosen_or_shipped_model` does, without a log line."""
    if loaded.config.model.path:
        return load_chosen_model(loaded)
    model = load_shipped_model()
    _check_settings(loaded, model)
    return model


def _check_settings(loaded: LoadedConfig, model: Model) -> None:
    _refuse_other_features(loaded, model)
    _warn_of_idle_threshold(loaded.config.decision, model)


def _warn_of_idle_threshold(section: DecisionSection, model: Model) -> None:
    """Log which labels a changed common threshold does not count for, as the model has one of theirs."""
    if section.onset_threshold == DecisionSection().onset_threshold:
        return
    own = [label for label, of_model in model.decision.items() if of_model.onset_threshold is not None]
    idle = [label for label in own if section.labels.get(label, LabelSection()).onset_threshold is None]
    if idle:
        logger.warning(
            "decision.onset_threshold=%g does not count for %s: the model has thresholds of its own; "
            "set decision.labels.%s.onset_threshold",
            section.onset_threshold,
            ", ".join(idle),
            idle[0] if len(idle) == 1 else "LABEL",
        )


def _refuse_other_features(loaded: LoadedConfig, model: Model) -> None:
    """Reject explicit feature settings that differ from the model's, as they would be ignored silently.

    Raises:
        ConfigError: lists each such setting.
    """
    problems = []
    for key in sorted(loaded.explicit_keys):
        section, _, name = key.partition(".")
        if section != "features":
            continue
        wanted, has = getattr(loaded.config.features, name), getattr(model.spec, name)
        # These defaults leave the choice to the training, and so contradict no model.
        is_open = name in ("sample_rate_hz", "window_s") and wanted == getattr(FeaturesSection(), name)
        if wanted != has and not is_open:
            problems.append(f"{key} is {wanted}, but the model was trained with {has}; drop the setting, or train anew")
    if problems:
        raise ConfigError(problems)
