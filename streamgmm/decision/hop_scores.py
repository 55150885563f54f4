"""The scores of one hop: output of the classifier, input of the decisions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from streamgmm.arrays import BoolArray, Float64Array


class HopScores(NamedTuple):
    """The scores of the window that ends with this hop.

    Attributes:
        end_sample: stream position just after the hop, in samples, including lost ones.
        level_dbfs: level of the hop (dB re full scale).
        log_likelihoods: float64, shape (n_labels,), log-likelihood of the window for each label (nat).
        llrs: float64, shape (n_labels,), log-likelihood ratios of each label to the background (nat).
        is_in_domain: bool, shape (n_labels,), whether the log-likelihood reaches the floor of the label.
        levels_db: shape (n,), levels of equally long frames since the previous hop, oldest first, the last ending at
            `end_sample` (dB re full scale); may be empty. After a start or a gap, it may cover the whole window.
        window_share: received share of a whole window, above 0 to 1; below 1 after a start or a gap.
        window_level_dbfs: level of the window (dB re full scale), its missing part counted as silence.
        background_log_likelihood: log-likelihood of the window for the background (nat).
        projected: float64, shape (d,), vector of the window in the space of the mixtures; None unless it is asked for.
        of_window: float64, shape (n_mixtures,), log-likelihoods of the window alone, without cepstral frames, under the
            mixtures of the model and its background (nat); None unless it is asked for.
        spectrum_db: level of each band over the window, lowest first (dB re full scale); empty unless it is asked for.
        strangeness: distance of the window from the user's background, as a logarithm (nat); NaN unless it is asked
            for.
    """

    end_sample: int
    level_dbfs: float
    log_likelihoods: Float64Array
    llrs: Float64Array
    is_in_domain: BoolArray
    levels_db: Float64Array
    window_share: float = 1.0
    window_level_dbfs: float = 0.0
    background_log_likelihood: float = 0.0
    projected: Float64Array | None = None
    of_window: Float64Array | None = None
    spectrum_db: Sequence[int] = ()
    strangeness: float = math.nan


def stacks_of(hops: Iterable[HopScores], max_hops: int) -> Iterator[list[HopScores]]:
    """Yield the hops in order, up to `max_hops` together."""
    rest = iter(hops)
    while stack := list(islice(rest, max_hops)):
        yield stack
