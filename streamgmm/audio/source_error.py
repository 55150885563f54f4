"""Base of the errors with which live sources fail."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from streamgmm.errors import DeviceError

R = TypeVar("R", bound=str)

_STALL_REASONS = frozenset({"open_timeout", "no_first_block", "stalled", "starved"})


class LiveSourceError(DeviceError, Generic[R]):
    """Raised when a live source cannot be opened, or when it is lost.

    Args:
        reason: reason as a keyword, for counters and logs.
        what: description of the problem in one line.
        where: name of the source.
        hint: advice for the user.

    Attributes:
        hopeless_reasons: reasons for which waiting does not help; after any other, the source may come back.
    """

    hopeless_reasons: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, reason: R, what: str, *, where: str = "", hint: str = "") -> None:
        self.reason: R = reason
        self.is_hopeless = reason in self.hopeless_reasons
        self.is_stall = reason in _STALL_REASONS
        super().__init__(what, where=where, hint=hint)
