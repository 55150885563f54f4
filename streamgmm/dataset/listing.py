"""What a data set says about its recordings before any of them is opened, and what is found wrong on the way."""

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

Kind = Literal["folders", "manifest", "strong"]

MAX_PROBLEMS = 20
"""Problems that are written out; the rest is counted."""

MIN_STRETCH_S = 0.01
"""Shortest labelled stretch; Audacity writes a mark of a point in time as one without length."""


class Stretch(NamedTuple):
    """A labelled part of a recording, by default the whole of it.

    Attributes:
        label: what is heard.
        onset_s: where it begins (s).
        offset_s: where it ends (s).
        is_gap: True if it is what lies between labelled parts.
    """

    label: str
    onset_s: float = 0.0
    offset_s: float = math.inf
    is_gap: bool = False

    @property
    def duration_s(self) -> float:
        """How long it is (s); infinite for the whole of a recording of unknown length."""
        return self.offset_s - self.onset_s

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the recording, however long that is."""
        return self.offset_s == math.inf

    @property
    def is_point(self) -> bool:
        """Whether it marks a point in time, which no sound fits into."""
        return self.duration_s < MIN_STRETCH_S


class Entry(NamedTuple):
    """One recording as a data set lists it.

    Attributes:
        path: the recording.
        name: how the data set calls it; recordings without a `source_id` get this one.
        stretches: its labelled parts.
        source_id: what was given as the origin of the recording, None if nothing was.
        fold: the fold it was given, None if none.
        has_gaps: True if what lies outside all stretches is known to be none of the labels.
        unnamed: parts that were marked without saying what is heard; they are neither a clip nor a gap.
    """

    path: Path
    name: str
    stretches: Sequence[Stretch]
    source_id: str | None = None
    fold: str | None = None
    has_gaps: bool = False
    unnamed: Sequence[Stretch] = ()


class Listing(NamedTuple):
    """A data set before its recordings are opened.

    Attributes:
        kind: how it is written down.
        labels: all labels that it names, also those without any recording.
        entries: its recordings, made while they are iterated.
    """

    kind: Kind
    labels: list[str]
    entries: Iterable[Entry]


class Skipped(NamedTuple):
    """A file or folder that was left out.

    Attributes:
        path: which one.
        reason: one of a few fixed words, e.g. `symlink`, `not_regular`, `not_audio`, `outside_class`,
            `unreadable`, or the reason of a `RecordingError`.
    """

    path: Path
    reason: str


class Findings(msgspec.Struct, frozen=True):
    """What is met while a data set is read.

    Attributes:
        skipped: files and folders that were left out.
        warnings: what the user may want to mend.
        notes: what the user should know, though nothing is wrong.
    """

    skipped: list[Skipped] = []
    warnings: list[str] = []
    notes: list[str] = []

    def warn(self, warning: str) -> None:
        """Keep `warning`, on one printable line whatever names it holds."""
        self.warnings.append(escaped(warning))

    def note(self, note: str) -> None:
        """Keep `note`, on one printable line whatever names it holds."""
        self.notes.append(escaped(note))

    def skip(self, path: Path, reason: str) -> None:
        """Leave `path` out for `reason`."""
        self.skipped.append(Skipped(path, reason))


class DatasetError(DataError):
    """A data set cannot be used; holds every problem found, the first `MAX_PROBLEMS` of them in words.

    Args:
        problems: one line per problem, each with its place.
        where: the folder or file that holds them.
        hint: what to do about them.
    """

    def __init__(self, problems: Sequence[str], *, where: str = "", hint: str = "") -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems), where=where, hint=hint)

    def __str__(self) -> str:
        lines = [str(DataError(problem, where=self.where)) for problem in self.problems]
        return "\n".join([*lines, self.hint] if self.hint else lines)


def distinct_labels(texts: Iterable[str], *, where: Path) -> list[str]:
    """The labels that `texts`, all different, stand for, sorted.

    Raises:
        DatasetError: one cannot be a label, or two differ only by case or Unicode form.
    """
    try:
        labels = [check_label(text) for text in sorted(texts)]
        if twice := sorted(label for label, n_texts in Counter(labels).items() if n_texts > 1):
            raise DataError(f"several labels differ only by Unicode form: {twice}", hint="merge them or rename one")
        return sorted(check_labels(labels))
    except DataError as error:
        raise DatasetError([error.what], where=str(where), hint=error.hint) from error


class Problems:
    """Collects problems, so that a user mends them all at once; memory stays bounded."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.n_found = 0

    def add(self, problem: str) -> None:
        """Count `problem`, and keep its words if it is one of the first `MAX_PROBLEMS`."""
        self.n_found += 1
        if self.n_found <= MAX_PROBLEMS:
            self._lines.append(problem)

    def lines(self) -> list[str]:
        """One line per problem kept, and one for the rest."""
        n_more = self.n_found - len(self._lines)
        return [*self._lines, f"and {n_more} more like these"] if n_more else list(self._lines)

    def raise_if_any(self, *, where: Path, hint: str = "") -> None:
        """Raise what was collected.

        Raises:
            DatasetError: there was a problem.
        """
        if self.n_found:
            raise DatasetError(self.lines(), where=str(where), hint=hint)
