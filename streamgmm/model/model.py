"""The model: the result of training, and all that a run needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from streamgmm import __version__
from streamgmm.errors import DataError
from streamgmm.features.spec import FeatureSpec
from streamgmm.labels import check_label
from streamgmm.model.classifier import Classifier
from streamgmm.model.density import BackgroundDensity
from streamgmm.settings.decision import LabelSection
from streamgmm.wording import escaped


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier with the definition of its features and a record of its training.

    Attributes:
        name: name given at training; follows the rules of labels, because it reaches the same outputs.
        spec: definition of the features.
        classifier: scores the features.
        decision: decision settings of single labels that differ from the common ones; may be empty.
        card: record of the training as JSON values: hashes of the data, scores per class, versions, settings. Text is
            escaped to printable characters. There is no date, so that the same training gives the same file.
        tool_version: version of streamgmm that trained the model.
        sha256: content hash of the model file, 64 hexadecimal digits; empty before the model is saved.
        density: of the user's background, by which sounds that were never taught are noticed; None if there is none.

    Raises:
        DataError: the name is not valid, `decision` names a label that the model does not have, or the density is one
            of other features.
    """

    name: str
    spec: FeatureSpec
    classifier: Classifier
    decision: Mapping[str, LabelSection] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    tool_version: str = __version__
    sha256: str = ""
    density: BackgroundDensity | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", check_label(self.name))
        # A copy: a model stays as it was checked, even if the caller changes its mapping.
        object.__setattr__(self, "decision", dict(self.decision))
        if not isinstance(self.card, Mapping):
            raise DataError("the card is not an object")
        object.__setattr__(self, "card", _printable(self.card))
        n_features = self.classifier.projection.n_features
        if self.density is not None and self.density.n_features != n_features:
            raise DataError(f"density has {self.density.n_features} features, expected {n_features}")
        # A misspelt label would otherwise go unnoticed, with the common settings in effect.
        for label in self.decision:
            if label not in self.classifier.labels:
                raise DataError(f"decision names '{escaped(label)}', which is not a label of the model")

    @cached_property
    def for_clips(self) -> Model:
        """This model as it scores whole clips (see `Classifier.for_clips`)."""
        return replace(self, classifier=self.classifier.for_clips())

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the classifier."""
        return self.classifier.labels


def _printable(value: Any) -> Any:
    """Return the JSON value `value` with all text escaped: file names in a card may hold any character."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Mapping):
        return {escaped(str(key)): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value
