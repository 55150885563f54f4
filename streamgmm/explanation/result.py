"""What an explanation comes to: its fields are the keys of the JSON report."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.records import RejectReason


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One of the tests that a hop has to pass, in their order.

    Attributes:
        refusal: what the gate gives as reason when it refuses.
        value: what was tested; None for the test for finite numbers, and where it has no value.
        limit: the least value that passes; None for none.
        unit: of both.
        is_passed: None if the gate was not asked, because one before it had refused.
    """

    refusal: RejectReason
    value: float | None
    limit: float | None
    unit: str
    is_passed: bool | None


class LabelStand(msgspec.Struct, frozen=True, kw_only=True):
    """How one label stands at the moment.

    Attributes:
        posterior: from this window alone; None if it was not scored.
        smoothed_posterior: what decides; None if the window was not scored.
        log_likelihood: under the label's mixtures (nat); None if the window was not scored.
        llr: log-likelihood ratio to the background (nat); None if the window was not scored.
        onset_threshold: of the smoothed posterior, for an event to start.
        offset_threshold: and for it to go on.
        state: of its automaton: `idle`, `candidate`, `open` or `hangover`.
        event_start_t: when its open event began (s); None if none is open.
    """

    posterior: float | None
    smoothed_posterior: float | None
    log_likelihood: float | None
    llr: float | None
    onset_threshold: float
    offset_threshold: float
    state: str
    event_start_t: float | None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of measure, in one place of the spectrum, adds to a log-likelihood ratio.

    Attributes:
        kind: what is measured.
        bands: those that it looks at together, counted from 0, the lowest.
        low_hz: lower limit of the lowest of them.
        high_hz: upper limit of the highest.
        nats: its part.
    """

    kind: str
    bands: tuple[int, ...]
    low_hz: float
    high_hz: float
    nats: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Why one label rather than another: llr = baseline + frames + rest + the sum of all parts.

    Attributes:
        label: the best label.
        against: the other one.
        llr: log-likelihood ratio of the two (nat), positive where the window speaks for `label`.
        log_prior_ratio: what the priors add to the log odds (nat).
        log_odds: of the two posteriors of this window: likelihood_scale * llr + log_prior_ratio (nat).
        likelihood_scale: the model's calibration.
        baseline: the ratio at the mean of the training data, which no part accounts for (nat).
        frames: what the frames of the window add (nat); None if the model has none.
        rest: what the integration missed (nat); next to nothing.
        parts: what the window vector adds, by kind and place; each is a sum over scales or lags.
    """

    label: str
    against: str
    llr: float
    log_prior_ratio: float
    log_odds: float
    likelihood_scale: float
    baseline: float
    frames: float | None
    rest: float
    parts: list[Part]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why the model said what it said; its fields are the keys of the JSON report.

    Attributes:
        t: end of the hop that holds the moment, as in the records of a run (s).
        start_t: begin of the window that ends there (s).
        window_share: how much of a whole window that is, 0 to 1.
        level_dbfs: level of the hop.
        label: the answer: a label of the model, `silence`, `background` or `unknown`.
        best: the label with the highest smoothed posterior; None if nothing was scored.
        reject: the gate that refused it; None if none did.
        gates: in the order in which they are asked, on `best`.
        labels: all labels, the best first.
        comparison: None if nothing was scored, or there is nothing to compare with.
    """

    t: float
    start_t: float
    window_share: float
    level_dbfs: float
    label: str
    best: str | None
    reject: RejectReason | None
    gates: list[Gate]
    labels: dict[str, LabelStand]
    comparison: Comparison | None


def by_kind_and_band(parts: Sequence[Part], n_bands: int) -> tuple[list[str], Float64Array]:
    """Sums of parts as a table.

    Args:
        parts: of a comparison.
        n_bands: of the model.

    Returns:
        The kinds in the order of the vector, and float64, shape (n_kinds, n_bands + 1), in nats. What looks at
        several bands together is spread evenly over them; the last column is what looks at all together.
    """
    kinds = list(dict.fromkeys(part.kind for part in parts))
    table = np.zeros((len(kinds), n_bands + 1))
    for part in parts:
        row = table[kinds.index(part.kind)]
        if len(part.bands) == n_bands:
            row[-1] += part.nats
        else:
            row[list(part.bands)] += part.nats / len(part.bands)
    return kinds, table
