"""The result of an explanation; its fields are the keys of the JSON report."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.records import RejectReason


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One of the tests that a hop has to pass, in order.

    Attributes:
        refusal: reason that the gate gives when it rejects.
        value: tested value; None for the test for finite numbers, and where there is no value.
        limit: lowest value that passes; None if there is none.
        unit: unit of `value` and `limit`.
        is_passed: None if the gate was not reached, because an earlier one rejected.
    """

    refusal: RejectReason
    value: float | None
    limit: float | None
    unit: str
    is_passed: bool | None


class LabelState(msgspec.Struct, frozen=True, kw_only=True):
    """Posterior, scores and automaton of one label at the moment.

    Attributes:
        posterior: from this window alone; None if it was not scored.
        smoothed_posterior: posterior that decides; None if the window was not scored.
        log_likelihood: under the mixture of the label (nat); None if the window was not scored.
        llr: log-likelihood ratio to the background (nat); None if the window was not scored.
        onset_threshold: smoothed posterior at which an event starts.
        offset_threshold: smoothed posterior below which it ends.
        state: state of the automaton: `idle`, `candidate`, `open` or `hangover`.
        event_start_t: start of the open event (s); None if none is open.
    """

    posterior: float | None
    smoothed_posterior: float | None
    log_likelihood: float | None
    llr: float | None
    onset_threshold: float
    offset_threshold: float
    state: str
    event_start_t: float | None


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """Contribution of one kind of feature, in one part of the spectrum, to a log-likelihood ratio.

    Attributes:
        kind: kind of feature.
        bands: indices of its bands, from 0 for the lowest.
        low_hz: lower limit of the lowest band.
        high_hz: upper limit of the highest band.
        nats: the contribution (nat).
    """

    kind: str
    bands: tuple[int, ...]
    low_hz: float
    high_hz: float
    nats: float


class MixtureComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One label compared with another: llr = baseline + frames + rest + the sum of all parts.

    Attributes:
        label: the best label.
        against: the other label.
        llr: log-likelihood ratio of the two (nat), positive in favour of `label`.
        log_prior_ratio: contribution of the priors to the log odds (nat).
        log_odds: log odds of the two posteriors of this window: likelihood_scale * llr + log_prior_ratio (nat).
        likelihood_scale: factor of the calibration of the model.
        baseline: ratio at the mean of the training data (nat).
        frames: contribution of the cepstral frames of the window (nat); None if the model has none.
        rest: error of the integration (nat), close to 0.
        parts: contributions of the window vector by kind and bands; each is a sum over scales or lags.
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
    parts: list[Contribution]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Reasons for the output of a model at one moment; the fields are the keys of the JSON report.

    Attributes:
        t: end of the hop that holds the moment, as in the records of a run (s).
        start_t: start of the window that ends there (s).
        window_share: share of a whole window, 0 to 1; below 1 at the beginning of a recording.
        level_dbfs: level of the hop (dB re full scale).
        label: the answer: a label of the model, `silence`, `background` or `unknown`.
        best: label with the highest smoothed posterior; None if the window was not scored.
        reject: gate that rejected the best label; None if none did.
        gates: all gates in order, applied to `best`.
        labels: all labels, the best first.
        comparison: None if the window was not scored, or there is no other label.
    """

    t: float
    start_t: float
    window_share: float
    level_dbfs: float
    label: str
    best: str | None
    reject: RejectReason | None
    gates: list[Gate]
    labels: dict[str, LabelState]
    comparison: MixtureComparison | None


def by_kind_and_band(parts: Sequence[Contribution], n_bands: int) -> tuple[list[str], Float64Array]:
    """Return the sums of contributions as a table.

    Args:
        parts: contributions of a comparison.
        n_bands: number of bands of the model.

    Returns:
        The kinds in the order of the vector, and float64, shape (n_kinds, n_bands + 1), in nats. Features of several
        bands are spread evenly over them; the last column holds features of all bands together.
    """
    # Unlike a set, a dict keeps the order of the vector.
    kinds = list(dict.fromkeys(part.kind for part in parts))
    table = np.zeros((len(kinds), n_bands + 1))
    for part in parts:
        row = table[kinds.index(part.kind)]
        if len(part.bands) == n_bands:
            row[-1] += part.nats
        else:
            row[list(part.bands)] += part.nats / len(part.bands)
    return kinds, table
