"""Counts of the events of an archive, by label and by hour of the day."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from streamgmm.archive.folder import ArchiveFolder

HOURS_PER_DAY = 24


class LabelSummary(msgspec.Struct, kw_only=True):
    """The events of one label.

    Attributes:
        n_events: number of events.
        n_recordings: number of recordings in which there are any.
        total_s: sum of their durations (s).
        n_by_hour: number of events that began in each hour of the day (UTC), of those with a known time.
    """

    n_events: int = 0
    n_recordings: int = 0
    total_s: float = 0.0
    n_by_hour: list[int] = msgspec.field(default_factory=lambda: [0] * HOURS_PER_DAY)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The events of an archive.

    Attributes:
        model: name of the model.
        sha256: content hash of the model.
        n_recordings: number of recordings, also of those without events.
        n_events: number of events.
        n_timed: number of events with a known time.
        labels: those with events, in order of name.
    """

    model: str
    sha256: str
    n_recordings: int
    n_events: int
    n_timed: int
    labels: dict[str, LabelSummary]


def summarise(folder: ArchiveFolder) -> Summary:
    """Return the summary of the archive in `folder`.

    Raises:
        InputMissingError: it is no archive, or does not exist.
        DataError: one of its files is damaged.
    """
    manifest = folder.manifest()
    labels: dict[str, LabelSummary] = defaultdict(LabelSummary)
    n_recordings = n_timed = 0
    for table in folder.tables():
        n_recordings += 1
        rows = table.select(["label", "onset_s", "offset_s", "onset_time"]).to_pylist()
        for row in rows:
            own = labels[row["label"]]
            own.n_events += 1
            own.total_s += row["offset_s"] - row["onset_s"]
            if (time := row["onset_time"]) is not None:
                own.n_by_hour[time.hour] += 1
                n_timed += 1
        for label in {row["label"] for row in rows}:
            labels[label].n_recordings += 1
    return Summary(
        model=manifest.model,
        sha256=manifest.sha256,
        n_recordings=n_recordings,
        n_events=sum(own.n_events for own in labels.values()),
        n_timed=n_timed,
        labels=dict(sorted(labels.items())),
    )
