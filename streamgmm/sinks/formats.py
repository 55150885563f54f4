"""Formats of a record as one line: JSON for programs, four text formats for shells and annotation tools.

| format | one line per | columns, separated by tabs |
|---|---|---|
| jsonl | record | a JSON object with every key |
| text | start and end | onset or offset (RFC 3339, else seconds), source, `start` or `end`, label, score |
| label | start | the label alone; nothing is printed when an event ends |
| dcase | end | onset and offset in seconds with 3 decimals, label |
| audacity | end | onset and offset in seconds with 6 decimals, label: a label track of Audacity |

`label` prints events, not states, so that `sort | uniq -c` counts them and `while read label` acts once for each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from streamgmm.records import End, Record, Start, encode_json
from streamgmm.settings.output import TextFormat
from streamgmm.wording import escaped

Formatter = Callable[[Record], bytes | None]
"""Function that formats a stamped record as one line with its newline, or returns None for a record not shown."""


def make_formatter(text_format: TextFormat, *, filename: str = "") -> Formatter:
    """Return the formatter of the given name.

    Args:
        text_format: one of the formats above.
        filename: first column of `dcase` and `audacity`, to distinguish several recordings in one output (as sed_eval
            reads it); empty: no such column. Audacity itself only reads lines without it.
    """
    formatters: dict[TextFormat, Formatter] = {
        "jsonl": encode_json,
        "text": _text,
        "label": _label,
        "dcase": partial(_interval, filename=filename, n_decimals=3),
        "audacity": partial(_interval, filename=filename, n_decimals=6),
    }
    return formatters[text_format]


def _text(record: Record) -> bytes | None:
    if isinstance(record, Start):
        moment = record.start_time or f"{record.start_t:.3f}"
        return _line(moment, record.source, "start", record.label, f"{record.score:.4f}")
    if isinstance(record, End):
        moment = record.end_time or f"{record.end_t:.3f}"
        return _line(moment, record.source, "end", record.label, f"{record.max_score:.4f}")
    return None


def _label(record: Record) -> bytes | None:
    return _line(record.label) if isinstance(record, Start) else None


def _interval(record: Record, *, filename: str, n_decimals: int) -> bytes | None:
    if not isinstance(record, End):
        return None
    columns = (f"{record.start_t:.{n_decimals}f}", f"{record.end_t:.{n_decimals}f}", record.label)
    return _line(filename, *columns) if filename else _line(*columns)


def _line(*columns: str) -> bytes:
    # A file name may hold a tab, a newline, an escape sequence or bytes that are not UTF-8:
    # none of them may break a column, a line or a terminal.
    return "\t".join(map(escaped, columns)).encode() + b"\n"
