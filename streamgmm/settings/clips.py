"""Settings of the recordings that a run keeps of what it detects."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from streamgmm.settings.section import Place, Section

RollS = Annotated[float, Meta(ge=0.0, le=30.0, extra={"unit": "s"})]


class ClipsSection(Section, frozen=True, kw_only=True):
    """Audio of what `run` detects, with whatever is said meanwhile; none is stored unless a directory is named."""

    directory: Annotated[
        Place,
        Meta(description="folder for the audio and the record of each event, open to whoever may read it; empty: none"),
    ] = ""
    pre_roll_s: Annotated[RollS, Meta(description="audio before the onset, at most half of max_clip_s")] = 1.0
    post_roll_s: Annotated[RollS, Meta(description="audio after the offset")] = 1.0
    max_clip_s: Annotated[
        float, Meta(ge=1.0, le=60.0, description="a longer clip is cut at its end", extra={"unit": "s"})
    ] = 30.0
    labels: Annotated[list[str], Meta(description="only of these labels; empty: of all")] = msgspec.field(
        default_factory=list
    )
    near_miss_margin: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1.0,
            description="also sounds without an event whose score came this close to the onset threshold; 0: none",
        ),
    ] = 0.0
    unknown: Annotated[bool, Meta(description="also sounds that were rejected as `unknown`")] = False
    max_age_days: Annotated[
        float, Meta(ge=0.0, le=36500.0, description="older clips are removed; 0: never", extra={"unit": "days"})
    ] = 30.0
    max_mib: Annotated[
        int,
        Meta(ge=1, le=100_000_000, description="size of all clips; the lowest scores go first", extra={"unit": "MiB"}),
    ] = 1024
    max_per_label: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="clips of one label, the best and the latest; near misses count apart"),
    ] = 200
