"""The record beside a clip, without the audio: readers of it need no arrays."""

from __future__ import annotations

import msgspec

from streamgmm.clips.naming import ClipKind
from streamgmm.records import End, ModelInfo

CLIP_VERSION = 1


class ClipInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON file beside a clip.

    Attributes:
        v: major version of these keys.
        kind: reason of the clip.
        label: label of the sound; of an unknown one, the label that it resembles most.
        sample_rate_hz: rate of the clip.
        onset_s: position of the onset in the clip; negative if the clip begins later.
        offset_s: position of the offset in the clip, beyond its end if it was cut.
        duration_s: length of the clip.
        model: the model that decided.
        record: the `end` record of the event, without its number; of a sound without an event, what it would be.
    """

    v: int = CLIP_VERSION
    kind: ClipKind
    label: str
    sample_rate_hz: int
    onset_s: float
    offset_s: float
    duration_s: float
    model: ModelInfo
    record: End
