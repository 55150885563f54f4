"""Pieces of HTML. What comes from users passes `text` and nothing else, so that it can never be markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from streamgmm.wording import escaped


def text(value: object) -> str:
    """`value` as text of a page: control characters as escapes, no character with a meaning."""
    return html.escape(escaped(str(value)))


def section(title: str, *parts: str, note: str = "") -> str:
    """A framed part of the page; `parts` are HTML, title and note are text."""
    explained = f'<p class="faint">{text(note)}</p>' if note else ""
    return f"<section><h2>{text(title)}</h2>{explained}{''.join(parts)}</section>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: Sequence[int] = ()) -> str:
    """A table; headings are text, cells HTML. Columns are of numbers but the first and `text_columns`."""
    classes = ['class="text"' if column in text_columns else "" for column in range(len(headings))]
    head = "".join(f"<th {kind}>{text(name)}</th>" for kind, name in zip(classes, headings, strict=True))
    body = (
        "<tr>" + "".join(f"<td {kind}>{cell}</td>" for kind, cell in zip(classes, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def bullets(lines: Iterable[str]) -> str:
    """A list of lines of text; nothing for none."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def share_bar(share: float) -> str:
    """A share as a bar and a number."""
    return f'<span class="bar" style="--share: {share:.1%}"></span>{share:.1%}'


def folded(title: str, content: str) -> str:
    """Text as it is, to be unfolded; without scripts."""
    return f"<details><summary>{text(title)}</summary><pre>{html.escape(content)}</pre></details>"
