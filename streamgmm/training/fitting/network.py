"""A small network that tells the labels apart through a layer of few outputs, which become further features.

Outputs of such a layer as features of mixtures: Hermansky, Ellis and Sharma, ICASSP, 2000 (tandem features); Grezl,
Karafiat, Kontar and Cernocky, ICASSP, 2007 (bottleneck features). The network has one layer of rectified units, the
linear bottleneck, and a softmax over the labels that is only used in training. Against overfitting to single
recordings, windows are mixed in pairs (mixup: Zhang et al., ICLR, 2018), labels smoothed (Szegedy et al., CVPR, 2016)
and units dropped (Srivastava et al., JMLR, 2014).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import AnyArray, Float32Array, IndexArray, softmax
from streamgmm.model.bottleneck import Bottleneck
from streamgmm.model.projection import Projection
from streamgmm.training.fitting.adam import Adam
from streamgmm.training.fitting.projection import Moments
from streamgmm.training.fitting.training_set import TrainingSet

N_UNITS = 256
N_OUTPUTS = 64
"""Rectified units, and outputs of the bottleneck. With 512 units, accuracy is the same, and a hop costs more."""

N_STEPS = 1500
BATCH_SIZE = 256
LEARNING_RATE = 1e-3

DROPPED_SHARE = 0.3
MIXUP_SHAPE = 0.2
"""Both shape parameters of the beta distribution of mixing weights."""

LABEL_SMOOTHING = 0.1

MAX_WINDOWS = 40_000
"""Most windows that the network learns from, drawn evenly from the labels: 47 MB in half precision."""

MAX_DEVIATIONS = 16.0
"""Standardised features are limited to this in training: half precision holds them, and few are larger."""


class Network(NamedTuple):
    """The trained layers, for standardised features.

    Attributes:
        mean: float32, shape (f,), of the features.
        scale: float32, shape (f,), their standard deviations.
        weights: float32, shape (f, u), of values that float16 holds exactly.
        offsets: float32, shape (u,).
        outputs: float32, shape (u, o).
    """

    mean: Float32Array
    scale: Float32Array
    weights: Float32Array
    offsets: Float32Array
    outputs: Float32Array

    def extended(self, vectors: Float32Array) -> Float32Array:
        """Return vectors (n, f), each followed by the outputs for it: shape (n, f + o)."""
        units = np.maximum((vectors - self.mean) / self.scale @ self.weights + self.offsets, np.float32(0.0))
        return np.hstack([vectors, units @ self.outputs])

    def folded(self, projection: Projection) -> Projection:
        """Return a projection of extended vectors as one of the vectors themselves."""
        f = len(self.mean)
        scaled = projection.matrix / projection.scale[:, np.newaxis]
        linear, above = scaled[:f], scaled[f:]
        mean, scale, weights, offsets, outputs = (layer.astype(np.float64) for layer in self)
        # What remains of the means of the projection once features are standardised by the numbers that the units know.
        shift = (mean - projection.mean[:f]) @ linear - projection.mean[f:] @ above
        bottleneck = Bottleneck(weights, offsets, outputs @ above, shift)
        return Projection(mean, scale, linear * scale[:, np.newaxis], bottleneck)


class _Layers(NamedTuple):
    """Weights (f, u) and offsets (u,) of the units, the outputs (u, o), and weights (o, k) and offsets (k,) above."""

    weights: Float32Array
    offsets: Float32Array
    outputs: Float32Array
    top_weights: Float32Array
    top_offsets: Float32Array


class _Batch(NamedTuple):
    """Vectors (n, f), target probabilities (n, k), and factors on units (n, u): 0 for those that are dropped."""

    vectors: Float32Array
    targets: Float32Array
    factors: Float32Array


def fit_network(training_set: TrainingSet, moments: Moments, *, n_labels: int, seed: int) -> Network:
    """Train a network on the windows of `training_set`; labels have equal weight, whatever their number of windows.

    Args:
        training_set: windows and labels.
        moments: of these windows; constant features get no weight.
        n_labels: number of labels, each with at least one window.
        seed: of the first weights, of order, mixing and dropping.
    """
    rng = np.random.default_rng(seed)
    is_constant = moments.total.diagonal() < 0.5
    mean, scale = moments.mean.astype(np.float32), moments.scale.astype(np.float32)
    vectors, class_indices = _drawn(training_set, mean, np.where(is_constant, np.float32(np.inf), scale), n_labels, rng)
    batches = _Batches(vectors, class_indices, n_labels, rng)
    layers = _first_layers(len(mean), n_labels, rng)
    optimiser = Adam(layers, LEARNING_RATE, N_STEPS)
    for _ in range(N_STEPS):
        layers = _Layers(*optimiser.step(layers, _gradients(layers, batches.draw())))
    weights = np.where(is_constant[:, np.newaxis], np.float32(0.0), layers.weights)
    return Network(mean, scale, weights.astype(np.float16).astype(np.float32), layers.offsets, layers.outputs)


def _drawn(
    training_set: TrainingSet, mean: Float32Array, scale: Float32Array, n_labels: int, rng: np.random.Generator
) -> tuple[AnyArray, IndexArray]:
    """Return standardised windows in half precision, at most `MAX_WINDOWS`, and the indices of their labels."""
    is_drawn = np.zeros(len(training_set.class_indices), dtype=bool)
    for i in range(n_labels):
        own = rng.permutation(np.flatnonzero(training_set.class_indices == i))
        is_drawn[own[: MAX_WINDOWS // n_labels]] = True
    drawn = np.empty((int(is_drawn.sum()), len(mean)), dtype=np.float16)
    first = n_kept = 0
    for block in training_set.blocks():
        chosen = block[is_drawn[first : first + len(block)]]
        standardised = np.clip((chosen - mean) / scale, -MAX_DEVIATIONS, MAX_DEVIATIONS)
        drawn[n_kept : n_kept + len(chosen)] = standardised
        first += len(block)
        n_kept += len(chosen)
    return drawn, training_set.class_indices[is_drawn]


class _Batches:
    """Batches of windows that are drawn with equal weight of the labels, and mixed in pairs."""

    def __init__(
        self, vectors: Float32Array, class_indices: IndexArray, n_labels: int, rng: np.random.Generator
    ) -> None:
        self._rng = rng
        self._vectors = vectors
        # The windows of each label are adjacent in this order.
        self._order = np.argsort(class_indices, kind="stable")
        self._counts = np.bincount(class_indices, minlength=n_labels)
        self._starts = np.cumsum(self._counts) - self._counts
        self._targets = ((1.0 - LABEL_SMOOTHING) * np.eye(n_labels) + LABEL_SMOOTHING / n_labels).astype(np.float32)

    def draw(self) -> _Batch:
        (one, of_one), (other, of_other) = self._draw_windows(), self._draw_windows()
        shares = self._rng.beta(MIXUP_SHAPE, MIXUP_SHAPE, (BATCH_SIZE, 1)).astype(np.float32)
        is_kept = self._rng.random((BATCH_SIZE, N_UNITS), dtype=np.float32) >= DROPPED_SHARE
        return _Batch(
            shares * one + (1 - shares) * other,
            shares * of_one + (1 - shares) * of_other,
            is_kept.astype(np.float32) / np.float32(1.0 - DROPPED_SHARE),
        )

    def _draw_windows(self) -> tuple[Float32Array, Float32Array]:
        """Return vectors and targets."""
        labels = self._rng.integers(len(self._counts), size=BATCH_SIZE)
        places = self._starts[labels] + (self._rng.random(BATCH_SIZE) * self._counts[labels]).astype(np.intp)
        return self._vectors[self._order[places]].astype(np.float32), self._targets[labels]


def _first_layers(n_features: int, n_labels: int, rng: np.random.Generator) -> _Layers:
    """Draw weights that keep the variance from layer to layer (He et al., ICCV, 2015)."""

    def normal(n_inputs: int, n_outputs: int, variance: float) -> Float32Array:
        drawn = rng.standard_normal((n_inputs, n_outputs), dtype=np.float32)
        return drawn * np.float32(math.sqrt(variance / n_inputs))

    return _Layers(
        normal(n_features, N_UNITS, 2.0),
        np.zeros(N_UNITS, dtype=np.float32),
        normal(N_UNITS, N_OUTPUTS, 1.0),
        normal(N_OUTPUTS, n_labels, 1.0),
        np.zeros(n_labels, dtype=np.float32),
    )


def _gradients(layers: _Layers, batch: _Batch) -> _Layers:
    """Return the gradients of the mean cross-entropy between posterior and targets."""
    sums = batch.vectors @ layers.weights + layers.offsets
    units = np.maximum(sums, np.float32(0.0)) * batch.factors
    outputs = units @ layers.outputs
    posteriors = softmax(outputs @ layers.top_weights + layers.top_offsets)
    # Backwards, by the chain rule.
    by_logits: Float32Array = (posteriors - batch.targets) / np.float32(len(batch.vectors))
    by_outputs: Float32Array = by_logits @ layers.top_weights.T
    by_units: Float32Array = by_outputs @ layers.outputs.T
    by_sums = by_units * batch.factors
    by_sums[sums <= 0.0] = 0.0
    return _Layers(
        weights=batch.vectors.T @ by_sums,
        offsets=by_sums.sum(axis=0),
        outputs=units.T @ by_outputs,
        top_weights=outputs.T @ by_logits,
        top_offsets=by_logits.sum(axis=0),
    )
