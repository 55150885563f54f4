"""What the classifier says of one hop: the input of this room."""

from __future__ import annotations

from typing import NamedTuple

from streamgmm.arrays import BoolArray, Float64Array


class HopScores(NamedTuple):
    """The scores of the window that ends with this hop.

    Attributes:
        end_sample: stream position just after the hop, in samples, losses counted in.
        level_dbfs: level of the hop (dB re full scale).
        log_likelihoods: float64, shape (n_labels,), of each label's mixture (nat).
        llrs: float64, shape (n_labels,), log-likelihood ratios of each label to the background (nat).
        is_in_domain: bool, shape (n_labels,), whether the label's mixture knows sounds like this one.
        levels_db: shape (n,), levels since the previous hop, oldest first, equally long, the last
            ending at `end_sample` (dB re full scale); may be empty. The first hop after a start or a
            gap may hand in those of its whole window.
        window_share: how much of a whole window has been heard, above 0 to 1; less than 1 after a start or a gap.
        window_level_dbfs: level of the window, what of it has not been heard counted as silence.
    """

    end_sample: int
    level_dbfs: float
    log_likelihoods: Float64Array
    llrs: Float64Array
    is_in_domain: BoolArray
    levels_db: Float64Array
    window_share: float = 1.0
    window_level_dbfs: float = 0.0
