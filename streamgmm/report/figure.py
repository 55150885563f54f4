"""Figures without a window and without global state, written to files or into a page."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamgmm.arrays import AnyArray
from streamgmm.errors import OutputError
from streamgmm.files import replace_atomically
from streamgmm.report.matplotlib_defaults import check_matplotlib, default_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_INK = "#123456"
"""Placeholder for the text colour of the page; nothing else may have it."""

_SETTINGS: dict[Any, Any] = {
    # Text stays text: small, sharp, searchable, and in the fonts of the page.
    "svg.fonttype": "none",
    "svg.hashsalt": "streamgmm",
    # A label with dollar signs is not a formula.
    "text.parse_math": False,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), PAGE_INK),
}


def new_figure(width_inches: float, height_inches: float, **settings: Any) -> Figure:
    """Return an empty figure, not of pyplot: no global state, no window, whatever backend is set.

    Raises:
        UsageError: matplotlib is not installed.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), **settings)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure on white, as SVG if the name ends in `.svg`, else as PNG; atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    # Drawn in memory first: a failure leaves an existing file as it is.
    file = io.BytesIO()
    # Neither a date nor random ids, so that the same picture gives the same bytes.
    options: dict[str, Any] = {"format": "png"}
    if path.suffix.lower() == ".svg":
        options = {"format": "svg", "metadata": {"Date": None}}
    with default_settings({"svg.hashsalt": "streamgmm"}), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes, which cannot be helped here.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, facecolor="white", **options)
    try:
        replace_atomically(path, file.getvalue())
    except OSError as error:
        raise OutputError(
            error.strerror or str(error), where=str(path), hint="does the folder exist, and may you write to it?"
        ) from error


def spaced(label: str) -> str:
    """Return a label with spaces; matplotlib omits names that begin with an underscore from legends."""
    return label.replace("_", " ")


def inline_svg(name: str, draw: Callable[[], Figure]) -> str:
    """Return a figure as an `<svg>` element that takes its text colour from the page around it.

    Args:
        name: prefix of the ids in the picture, so that several can share a page.
        draw: makes the figure.
    """
    file = io.StringIO()
    with default_settings(_SETTINGS):
        draw().savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    # HTML allows neither an XML declaration nor a document type inside; the metadata only name matplotlib.
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    return text.replace(PAGE_INK, "currentColor")


def inline_png(levels: AnyArray, lowest: float, highest: float) -> str:
    """Return an array, rows from the bottom up, in false colours as the `src` of an `<img>`."""
    file = io.BytesIO()
    with default_settings():
        from matplotlib.image import imsave

        imsave(file, levels, format="png", cmap="magma", vmin=lowest, vmax=highest, origin="lower")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
