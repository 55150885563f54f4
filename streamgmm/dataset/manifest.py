"""Read data sets from a table: a CSV file with the columns `path` and `label`, and optionally `fold`, `source_id`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streamgmm.dataset.listing import DatasetProblems, Entry, Findings, Listing, Segment, distinct_labels
from streamgmm.dataset.named_files import NamedFiles
from streamgmm.dataset.textfile import has_control_characters, read_text
from streamgmm.errors import DataError
from streamgmm.labels import check_label

REQUIRED_COLUMNS = ("path", "label")
COLUMNS = (*REQUIRED_COLUMNS, "fold", "source_id")

SEPARATORS = ",;\t"
"""Separators of fields; spreadsheets write semicolons where numbers have a decimal comma."""

_SEPARATOR_LINE = re.compile(r"\s*\"?sep=", re.IGNORECASE)

MAX_FIELD_CHARACTERS = 4096
"""Longest value in a manifest: that of a path in Linux."""


class Row(NamedTuple):
    """One line of a manifest.

    Attributes:
        line: its number in the file, from 1.
        values: fields by column, without surrounding blanks; "" for absent columns.
    """

    line: int
    values: dict[str, str]


def read_manifest(path: Path, findings: Findings) -> Listing:
    """Read the manifest at `path`.

    The file is CSV (RFC 4180), or the same with semicolons or tabs, in the encodings of `read_text`. Its
    first line names the columns, in any order; columns with other names are ignored. `fold` is the
    published fold of a recording and `source_id` its origin (a speaker, a day, a microphone), which must
    never be divided between training and test.

    Paths are relative to the manifest, or absolute. They may lead out of its folder, which is noted (see
    `NamedFiles`); a symbolic link is not followed where a path ends.

    Raises:
        DatasetError: lines are wrong; the error lists all of them.
        InputMissingError: there is no such file.
        PermissionDeniedError: it may not be read.
    """
    problems = DatasetProblems()
    rows = list(_manifest_rows(read_text(path), problems))
    files = NamedFiles(path)
    entries = [_manifest_entry(files, row, problems) for row in rows]
    _check_folds(rows, problems)
    problems.raise_if_any(where=path)
    files.report(findings)
    labels = distinct_labels({row.values["label"] for row in rows}, where=path)
    return Listing("manifest", labels, entries)


def _manifest_rows(text: str, problems: DatasetProblems) -> Iterator[Row]:
    # An empty `newline` keeps line ends within quotes. Strict, as the module otherwise reads on past broken quotes.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_separator(text))
    try:
        columns = _columns(reader)
        # An empty file has no line 1, but its missing header is reported there.
        if _are_columns_usable(columns, max(reader.line_num, 1), problems):
            for fields in reader:
                if not any(field.strip() for field in fields):
                    continue
                while len(fields) > len(columns) and not fields[-1].strip():
                    fields.pop()  # spreadsheets pad lines with empty fields
                if len(fields) != len(columns):
                    problems.add(f"line {reader.line_num}: {len(fields)} fields, but {len(columns)} columns")
                    continue
                values = {name: field.strip() for name, field in zip(columns, fields, strict=True) if name in COLUMNS}
                yield Row(reader.line_num, {name: values.get(name, "") for name in COLUMNS})
    except csv.Error as error:
        problems.add(f"line {reader.line_num}: not CSV: {error}")


def _separator(text: str) -> str:
    """Return the separator that splits the header line into the required columns; a comma if none does."""
    lines = io.StringIO(text)
    head = next((line for line in lines if line.strip() and not _SEPARATOR_LINE.match(line)), "")
    for separator in SEPARATORS:
        if set(REQUIRED_COLUMNS) <= {name.strip().strip('"').strip().lower() for name in head.split(separator)}:
            return separator
    return ","


def _columns(reader: Iterator[list[str]]) -> list[str]:
    """Return the column names from the first line with content, after a line `sep=;` that spreadsheets may write."""
    for fields in reader:
        if any(field.strip() for field in fields) and not _SEPARATOR_LINE.match(fields[0]):
            return [name.strip().lower() for name in fields]
    return []


def _are_columns_usable(columns: list[str], line: int, problems: DatasetProblems) -> bool:
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    repeated = [name for name in COLUMNS if columns.count(name) > 1]
    if missing:
        what = f"no column {' and '.join(missing)}; it must name the columns, separated by commas"
        problems.add(f"line {line}: {what}")
    if repeated:
        problems.add(f"line {line}: the column {' and '.join(repeated)} appears twice")
    return not (missing or repeated)


def _manifest_entry(files: NamedFiles, row: Row, problems: DatasetProblems) -> Entry:
    line, values = row
    for name in ("path", "fold", "source_id"):
        if len(values[name]) > MAX_FIELD_CHARACTERS or has_control_characters(values[name]):
            problems.add(f"line {line}: {name} is too long or holds control characters")
    if not values["path"]:
        problems.add(f"line {line}: path is empty")
    label = values["label"]
    try:
        label = check_label(label)
    except DataError as error:
        problems.add(f"line {line}: {error.what} ({error.hint})")
    # Also after a problem: every line is checked before all problems are raised together.
    return Entry(
        path=files.find(line, values["path"]),
        name=values["path"],
        segments=[Segment(label)],
        source_id=values["source_id"] or None,
        fold=values["fold"] or None,
    )


def _check_folds(rows: list[Row], problems: DatasetProblems) -> None:
    """Report folds on some lines only: a table that is half published folds, half random ones, must be a mistake."""
    without = [row.line for row in rows if not row.values["fold"]]
    if without and len(without) < len(rows):
        problems.add(f"line {without[0]}: fold is empty, but other lines have one")
