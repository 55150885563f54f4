"""Refuse a background with taught sounds, which a tuning would count as false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamgmm.errors import DataError
from streamgmm.listening.taught_sounds import TaughtSound, listed
from streamgmm.tuning.refusals import BudgetError
from streamgmm.wording import escaped


class TaughtSoundError(DataError):
    """The background holds a sound that the model is to report."""


def with_likeness(error: BudgetError, found: Sequence[TaughtSound]) -> BudgetError:
    """Return `error` with a hint at where the background sounds like labels of which hardly a sound would be found."""
    if not found:
        return error
    likeness = f"the background sounds like {listed(found)}: if that is one, record the room without it"
    return BudgetError(error.what, where=error.where, hint=f"{likeness}; or else {error.hint}")


def taught_sound_error(found: Sequence[TaughtSound], recalls: Mapping[str, float]) -> TaughtSoundError:
    """Return an error that tells where the sounds are, and the recall of each label that a tuning would leave."""
    labels = dict.fromkeys(one.label for one in found)
    left = ", ".join(f"{recalls[label]:.0%} of '{escaped(label)}'" for label in labels)
    what = f"the background seems to hold taught sounds: {listed(found)}; thresholds made from it would find {left}"
    return TaughtSoundError(what, hint="record the room without them, or accept them as false alarms: --accept-events")
