"""Everything that a training leaves behind and a run needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamgmm import __version__
from streamgmm.config import LabelSection
from streamgmm.errors import DataError
from streamgmm.features.spec import FeatureSpec
from streamgmm.labels import check_label
from streamgmm.model.classifier import Classifier
from streamgmm.wording import escaped


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier, the features it was trained on, and how it came to be.

    Attributes:
        name: given at training; follows the rules of labels, since it reaches the same readers.
        spec: of the features; a run follows it.
        classifier: what scores them.
        decision: what single labels decide otherwise than the configuration's rest; may be empty.
        card: of the training, JSON-able: hashes of the data, scores per class, versions, settings.
            Text in it is escaped to printable characters. It holds no date by itself, so that the
            same training gives the same file.
        tool_version: of the streamgmm that trained it.
        sha256: content hash of the file, 64 hexadecimal digits; empty until the model was in one.

    Raises:
        DataError: the name is unusable, or `decision` names a label that does not exist.
    """

    name: str
    spec: FeatureSpec
    classifier: Classifier
    decision: Mapping[str, LabelSection] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    tool_version: str = __version__
    sha256: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", check_label(self.name))
        object.__setattr__(self, "decision", dict(self.decision))
        if not isinstance(self.card, Mapping):
            raise DataError("the card is not an object")
        object.__setattr__(self, "card", _printable(self.card))
        for label in self.decision:
            if label not in self.classifier.labels:
                raise DataError(f"decision names '{escaped(label)}', which is not a label of the model")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the classifier."""
        return self.classifier.labels


def _printable(value: Any) -> Any:
    """JSON-able `value` with all text escaped: file names in a card may hold any character."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Mapping):
        return {escaped(str(key)): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value
