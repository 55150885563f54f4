"""The error of a model file that is rejected."""

from __future__ import annotations

from typing import Literal

from streamgmm.errors import DataError

ModelErrorReason = Literal[
    "digest",  # The hash of the content differs from that in the header.
    "features",  # This build cannot compute the features of the model.
    "foreign",  # Another kind of file.
    "header",  # The header is not strict JSON with the expected keys.
    "labels",  # A label or the name breaks the rules.
    "layout",  # The arrays differ from those that follow from the spec.
    "not_regular",  # A link, directory, pipe or device.
    "self_test",  # Scores differ from those at training.
    "too_large",  # Above one of the limits.
    "truncated",  # The end is missing.
    "values",  # The numbers do not make a valid classifier.
    "version",  # Another version of the format.
]
"""Reasons for the rejection of a model file: a closed list, suitable for counters."""


class ModelError(DataError):
    """A model file was rejected.

    Args:
        reason: kind of fault.
        what: the fault, in one line.
        offset: position of the fault in the file (bytes).
        where: name of the file.
        hint: remedy for the user.
    """

    def __init__(
        self, reason: ModelErrorReason, what: str, *, offset: int = 0, where: str = "", hint: str = ""
    ) -> None:
        self.reason = reason
        self.offset = offset
        super().__init__(f"{what}, at byte {offset}", where=where, hint=hint)
