"""Pieces of HTML. All text from users passes through `text`, so that it is never interpreted as markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from streamgmm.wording import escaped


def text(value: object) -> str:
    """Return `value` as text of a page, with control characters and markup escaped."""
    return html.escape(escaped(str(value)))


def section(title: str, *parts: str, note: str = "") -> str:
    """Return a framed part of the page; `parts` are HTML, title and note are text."""
    explained = f'<p class="faint">{text(note)}</p>' if note else ""
    return f"<section><h2>{text(title)}</h2>{explained}{''.join(parts)}</section>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: Sequence[int] = ()) -> str:
    """Return a table; headings are text, cells are HTML. All columns but the first and `text_columns` are numbers."""
    classes = ['class="text"' if column in text_columns else "" for column in range(len(headings))]
    head = "".join(f"<th {kind}>{text(name)}</th>" for kind, name in zip(classes, headings, strict=True))
    body = (
        "<tr>" + "".join(f"<td {kind}>{cell}</td>" for kind, cell in zip(classes, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of lines of text; empty without lines."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def share_bar(share: float) -> str:
    """Return a share, 0 to 1, as a bar and a number."""
    return f'<span class="bar" style="--share: {share:.1%}"></span>{share:.1%}'


def details(title: str, content: str) -> str:
    """Return preformatted text that the reader can unfold, without scripts."""
    # Not `text`, which would escape the line breaks too.
    return f"<details><summary>{text(title)}</summary><pre>{html.escape(content)}</pre></details>"
