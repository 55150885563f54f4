"""Colours of pictures, chosen so that colour-blind readers can distinguish them."""

from __future__ import annotations

GOOD, BAD = "#3f83e8", "#e0702f"
"""Right and wrong, or for and against; readable on white and on black."""

INK, PALE_INK = "#2b2b33", "#9a9aa8"
"""Text and lines on white."""

SHADE, STRIPE, GRID = "#ececf2", "#f4f4f7", "#d8d8e0"
"""Fills and grid lines on white."""

LABEL_COLOURS = (
    *("#4477aa", "#dd8844", "#117733", "#aa4499", "#44aa99"),
    *("#999933", "#882255", "#66a5d9", "#776655", "#6f5fc4"),
)
"""One per label (after Paul Tol's schemes); none is the red of mistakes."""

MISTAKE, MISTAKE_PALE = "#d7191c", "#fbdcdc"
"""Missed and false events, and limits that must not be exceeded."""
