"""True and found events for property-based tests; times on a grid that binary fractions hold exactly."""

from __future__ import annotations

from hypothesis import strategies as st

from streamgmm.listening.events import Annotation, Detection

LABELS = ("bell", "dog", "siren")
GRID_S = 1 / 64
DURATION_S = 16.0


def true_at(label: str, onset_s: float, offset_s: float) -> Annotation:
    return Annotation(label, onset_s, offset_s)


def found_at(label: str, onset_s: float, offset_s: float, reported_s: float | None = None) -> Detection:
    return Detection(label, onset_s, offset_s, onset_s if reported_s is None else reported_s, 0.9)


def _spans(n_most: int) -> st.SearchStrategy:
    """(label, onset_s, offset_s), none as long as 0, within the recording."""
    ticks = int(DURATION_S / GRID_S)
    one = st.tuples(st.sampled_from(LABELS), st.integers(0, ticks - 1), st.integers(1, 200))
    return st.lists(
        one.map(lambda span: (span[0], span[1] * GRID_S, min(span[1] + span[2], ticks) * GRID_S)), max_size=n_most
    )


def true_events(n_most: int = 6) -> st.SearchStrategy:
    return _spans(n_most).map(lambda spans: [true_at(*span) for span in spans])


def found_events(n_most: int = 6) -> st.SearchStrategy:
    return _spans(n_most).map(lambda spans: [found_at(*span) for span in spans])
