"""Settings of the decision: from the posteriors of hops to events."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamgmm.settings.section import Section

OnsetThreshold = Annotated[float, Meta(gt=0.0, le=1.0)]
OffsetThreshold = Annotated[float, Meta(ge=0.0, le=1.0)]
UpToHour = Annotated[float, Meta(ge=0.0, le=3600.0, extra={"unit": "s"})]
UpToDay = Annotated[float, Meta(ge=0.0, le=86400.0, extra={"unit": "s"})]


class LabelSection(Section, frozen=True, kw_only=True):
    """Decision settings of one label; None takes the value of the decision section."""

    onset_threshold: OnsetThreshold | None = None
    offset_threshold: OffsetThreshold | None = None
    min_duration_s: UpToHour | None = None
    hangover_s: UpToHour | None = None
    refractory_s: UpToDay | None = None


def _require_hysteresis(of_label: str, onset_threshold: float, offset_threshold: float) -> None:
    if offset_threshold > onset_threshold:
        raise ValueError(
            f"offset_threshold{of_label} ({offset_threshold:g}) must not exceed onset_threshold ({onset_threshold:g})"
        )


class DecisionSection(Section, frozen=True, kw_only=True):
    """Turning the posteriors of hops into events."""

    smoothing: Annotated[
        Literal["exponential", "hmm", "none"],
        Meta(description="exponential forgets smoothly; hmm is the forward pass of a sticky hidden Markov model"),
    ] = "exponential"
    smoothing_s: Annotated[
        float, Meta(ge=0.0, le=60.0, description="time constant of exponential smoothing", extra={"unit": "s"})
    ] = 0.25
    hmm_mean_duration_s: Annotated[
        float,
        Meta(
            gt=0.0,
            le=3600.0,
            description="mean time that the hmm stays in one label; longer is calmer",
            extra={"unit": "s"},
        ),
    ] = 2.0
    onset_threshold: Annotated[
        OnsetThreshold,
        Meta(description="an event starts at this smoothed posterior, where neither model nor `labels` set another"),
    ] = 0.7
    max_false_alarms_per_hour: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1000.0,
            description="budget by which `train` sets each threshold, among 570 foreign sounds an hour; 0: none",
            extra={"unit": "1/h"},
        ),
    ] = 5.0
    max_false_anomalies_per_hour: Annotated[
        float,
        Meta(
            ge=0.0,
            le=1000.0,
            description="budget of `anomaly`, which reports sounds that are no class and unlike the background; 0: off",
            extra={"unit": "1/h"},
        ),
    ] = 0.0
    offset_threshold: Annotated[
        OffsetThreshold, Meta(description="an event ends below this posterior; lower than the onset, to avoid flicker")
    ] = 0.4
    min_duration_s: Annotated[
        UpToHour, Meta(description="shorter events are not reported, so that a click is no alarm")
    ] = 0.24
    hangover_s: Annotated[
        UpToHour, Meta(description="an event survives gaps this short, so that two barks are one event")
    ] = 0.5
    refractory_s: Annotated[
        UpToDay, Meta(description="no new event of the same label this soon after one has ended")
    ] = 0.0
    max_duration_s: Annotated[UpToDay, Meta(description="a longer event is ended and a new one started; 0: never")] = (
        0.0
    )
    silence_gate_dbfs: Annotated[
        float,
        Meta(ge=-200.0, le=0.0, description="hops below this level are labelled `silence`", extra={"unit": "dBFS"}),
    ] = -75.0
    min_llr: Annotated[
        float,
        Meta(
            ge=-1e6,
            le=1e6,
            description="minimum log-likelihood ratio of a label to the background",
            extra={"unit": "nat"},
        ),
    ] = 0.0
    room_adaptation: Annotated[
        bool,
        Meta(description="learn the sounds of the room as background while nothing is detected; not for files"),
    ] = True
    labels: Annotated[
        dict[str, LabelSection],
        Meta(
            description="per label: onset_threshold, offset_threshold, min_duration_s, hangover_s, refractory_s",
            examples=[{"doorbell": {"onset_threshold": 0.8}}],
        ),
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        # ValueError is what both msgspec and the reader of the settings expect from a check of several values.
        _require_hysteresis("", self.onset_threshold, self.offset_threshold)
        for label, own in self.labels.items():
            # A label inherits what it leaves out, so only the resulting pair can be checked.
            onset = self.onset_threshold if own.onset_threshold is None else own.onset_threshold
            offset = self.offset_threshold if own.offset_threshold is None else own.offset_threshold
            _require_hysteresis(f" of {label}", onset, offset)
