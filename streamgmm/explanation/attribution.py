"""Attribution of a log-likelihood ratio to the features of the window vector by integrated gradients.

Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017: the gradient of the score, averaged
along the straight line from a baseline to the vector, times the distance along each axis. The parts add up to the
difference of the scores at both ends ("completeness"), and a feature that equals the baseline, or that the score does
not depend on, has no part. The baseline is the mean of the training data, which is typical of no class.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.integrate import quad_vec

from streamgmm.arrays import Float64Array
from streamgmm.model.classifier import Classifier

N_PIECES = (4, 64, 1024)
"""Number of pieces of the line; more are tried if a component was so narrow that it lay between nodes."""

MAX_PIECES = 20_000
TOLERANCE = 1e-9
"""Tolerance of the mean gradient, relative and absolute (nat per unit of the standardised features)."""

MAX_REST = 1e-6
"""Largest difference between the sum of the parts and the ratio, relative or in nats: the test of completeness."""


class Attribution(NamedTuple):
    """The log-likelihood ratio of two mixtures at a vector, in parts.

    Attributes:
        baseline: the ratio at the mean of the training data (nat).
        parts: float64, shape (n_features,), contribution of each feature (nat).
    """

    baseline: float
    parts: Float64Array


def attribute(classifier: Classifier, vector: Float64Array, i_label: int, i_against: int) -> Attribution:
    """Attribute the log-likelihood ratio of two mixtures, given the window vector alone, to its features.

    Args:
        classifier: its projection and mixtures are used; cepstral frames are ignored.
        vector: shape (n_features,), finite.
        i_label: index among `classifier.all_mixtures`.
        i_against: index of the other mixture.
    """
    projection = classifier.projection
    label, against = classifier.all_mixtures[i_label], classifier.all_mixtures[i_against]
    mean = projection.mean

    def slope(share: float) -> Float64Array:
        point = mean + share * (vector - mean)
        # Shape (1, d), as gradients are computed for several vectors at once.
        place = projection.apply_exactly(point)[np.newaxis]
        return projection.gradient(point, (label.gradient(place) - against.gradient(place))[0])

    scores = [classifier.score_projected(projection.apply_exactly(one)) for one in (vector, mean)]
    ratio, baseline = (float(values[i_label] - values[i_against]) for values in scores)
    # If no division is fine enough, the last parts are returned; what they lack is the `rest` of the comparison.
    for n_pieces in N_PIECES:
        # The gradient is smooth between the places where a unit of the bottleneck begins or ceases.
        nodes = np.union1d(np.linspace(0.0, 1.0, n_pieces + 1)[1:-1], projection.kinks(vector))
        mean_slope, _ = quad_vec(slope, 0.0, 1.0, epsabs=TOLERANCE, epsrel=TOLERANCE, points=nodes, limit=MAX_PIECES)
        parts = (vector - mean) / projection.scale * mean_slope
        if abs(ratio - baseline - float(parts.sum())) <= MAX_REST * max(1.0, abs(ratio - baseline)):
            break
    return Attribution(baseline, parts)
