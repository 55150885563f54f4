"""Listings of data sets before any recording is opened, and collections of findings and problems."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from streamgmm.errors import DataError
from streamgmm.labels import check_label, check_labels
from streamgmm.wording import escaped

ListingKind = Literal["folders", "manifest", "strong"]

MAX_SHOWN_PROBLEMS = 20
"""Most problems that are reported in words; the others are counted."""

SHORTEST_SEGMENT_S = 0.01
"""Shortest labelled segment; Audacity writes a point in time as a label of zero duration."""


class Segment(NamedTuple):
    """A labelled part of a recording, by default the whole of it.

    Attributes:
        label: the class of the sound.
        onset_s: its start (s).
        offset_s: its end (s).
        is_gap: True if it lies between labelled segments.
    """

    label: str
    onset_s: float = 0.0
    offset_s: float = math.inf
    is_gap: bool = False

    @property
    def duration_s(self) -> float:
        """Duration (s); infinite for the whole of a recording of unknown length."""
        return self.offset_s - self.onset_s

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole recording, whatever its length."""
        return self.offset_s == math.inf

    @property
    def is_point(self) -> bool:
        """Whether it marks a point in time, without any sound."""
        # Half a microsecond for the rounding of the difference: 5.01 - 5.0 is a little less than 0.01.
        return self.duration_s < SHORTEST_SEGMENT_S - 5e-7


class Entry(NamedTuple):
    """One recording in the listing of a data set.

    Attributes:
        path: the recording.
        name: its name in the data set, which is its `source_id` by default.
        segments: its labelled segments.
        source_id: given origin of the recording, None for none.
        fold: given fold, None for none.
        has_gaps: True if the gaps between segments contain none of the labels.
        unnamed: segments without a label name; they are neither clips nor gaps.
    """

    path: Path
    name: str
    segments: Sequence[Segment]
    source_id: str | None = None
    fold: str | None = None
    has_gaps: bool = False
    unnamed: Sequence[Segment] = ()


class Listing(NamedTuple):
    """A data set before its recordings are opened.

    Attributes:
        kind: the form of the data set.
        labels: all its labels, including those without any recording.
        entries: its recordings, created during iteration.
    """

    kind: ListingKind
    labels: list[str]
    entries: Iterable[Entry]


class Skipped(NamedTuple):
    """A file or folder that was left out.

    Attributes:
        path: of the file or folder.
        reason: one of a few fixed words, e.g. `symlink`, `not_regular`, `not_audio`, `outside_class`,
            `unreadable`, or the reason of a `RecordingError`.
    """

    path: Path
    reason: str


class Findings(msgspec.Struct, frozen=True):
    """Findings collected while a data set is read.

    Attributes:
        skipped: files and folders that were left out.
        warnings: problems that the user may want to fix.
        notes: information for the user where nothing is wrong.
    """

    # Each instance gets lists of its own: msgspec copies an empty default.
    skipped: list[Skipped] = []
    warnings: list[str] = []
    notes: list[str] = []

    def warn(self, warning: str) -> None:
        """Add `warning`, escaped to one printable line whatever file names it contains."""
        self.warnings.append(escaped(warning))

    def note(self, note: str) -> None:
        """Add `note`, escaped to one printable line whatever file names it contains."""
        self.notes.append(escaped(note))

    def skip(self, path: Path, reason: str) -> None:
        """Record that `path` is left out for `reason`."""
        self.skipped.append(Skipped(path, reason))


class DatasetError(DataError):
    """A data set cannot be used; lists all problems found, the first `MAX_SHOWN_PROBLEMS` in words.

    Args:
        problems: one line per problem, each with its place.
        where: the folder or file with the problems.
        hint: how to fix them.
    """

    def __init__(self, problems: Sequence[str], *, where: str = "", hint: str = "") -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems), where=where, hint=hint)

    def __str__(self) -> str:
        # One line for each problem, all with the place, so that each can be understood and fixed alone.
        lines = [str(DataError(problem, where=self.where)) for problem in self.problems]
        return "\n".join([*lines, *self.remarks])

    @property
    def remarks(self) -> list[str]:
        """The lines of the hint."""
        return self.hint.split("\n") if self.hint else []


def distinct_labels(texts: Iterable[str], *, where: Path) -> list[str]:
    """Return the sorted labels for `texts`, which are all different.

    Raises:
        DatasetError: one is not a valid label, or two differ only by case or Unicode form.
    """
    try:
        # In sorted order, so that the same label is reported first whatever the order of a set.
        labels = [check_label(text) for text in sorted(texts)]
        if twice := sorted(label for label, n_texts in Counter(labels).items() if n_texts > 1):
            raise DataError(f"several labels differ only by Unicode form: {twice}", hint="merge them or rename one")
        return sorted(check_labels(labels))
    except DataError as error:
        raise DatasetError([error.what], where=str(where), hint=error.hint) from error


class DatasetProblems:
    """Collects problems, so that a user can fix them all at once, in bounded memory."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.n_found = 0

    def add(self, problem: str) -> None:
        """Count `problem`, and keep its text if it is one of the first `MAX_SHOWN_PROBLEMS`."""
        self.n_found += 1
        if self.n_found <= MAX_SHOWN_PROBLEMS:
            self._lines.append(problem)

    def lines(self) -> list[str]:
        """Return one line per kept problem, and one with the number of others."""
        n_more = self.n_found - len(self._lines)
        return [*self._lines, f"and {n_more} more like these"] if n_more else list(self._lines)

    def raise_if_any(self, *, where: Path, hint: str = "") -> None:
        """Raise the collected problems.

        Raises:
            DatasetError: there is at least one problem.
        """
        if self.n_found:
            raise DatasetError(self.lines(), where=str(where), hint=hint)
