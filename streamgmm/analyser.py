"""The first half of the pipeline: from samples to the scores of hops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array, FloatArray
from streamgmm.decision.hop_scores import HopScores
from streamgmm.features.extractor import MAX_HOPS, FeatureStream, HopFeatures
from streamgmm.features.spectrum import band_levels_db
from streamgmm.model.cepstra import CepstralEvidence, add_stack
from streamgmm.model.classifier import VectorScores
from streamgmm.model.density import BackgroundDensity
from streamgmm.model.model import Model


class Observation(NamedTuple):
    """The input of the classifier for one hop.

    Attributes:
        features: features of the hop and of the window that ends with it.
        cepstral_evidence: float64, shape (n_mixtures,), mean log-likelihoods of the cepstral frames of the window
            (nat); None if the model does not use them.
    """

    features: HopFeatures
    cepstral_evidence: Float64Array | None


class Analyser:
    """Turns samples into one `HopScores` per hop.

    Args:
        model: defines the features and the classifier.
        has_projected: whether the scores contain the projected vector of the window, and its log-likelihoods.
        has_spectrum: whether they contain its spectrum.
        density: gives the strangeness of the window; None for none.

    Attributes:
        classifier: the classifier of the model.
        features: turns samples into features.
        evidence: scores of the cepstral frames; None if the model does not use them.
    """

    def __init__(
        self,
        model: Model,
        *,
        has_projected: bool = False,
        has_spectrum: bool = False,
        density: BackgroundDensity | None = None,
    ) -> None:
        self._has_projected = has_projected
        self._has_spectrum = has_spectrum
        self._density = density
        self.classifier = model.classifier
        cepstra = self.classifier.used_cepstra
        self.features = FeatureStream(model.spec, has_cepstra=cepstra is not None)
        # Exact: windows are a whole number of hops (see `FeatureSpec.window_frames`).
        n_window_hops = model.spec.window_samples // model.spec.hop_samples
        self.evidence = CepstralEvidence(cepstra, n_window_hops) if cepstra else None
        # Both have shape (n_labels,), and stand in for the scores of a hop without a vector.
        self._refused = np.full(len(model.labels), np.nan)
        self._in_no_domain = np.zeros(len(model.labels), dtype=bool)
        self._lost_samples = 0

    @property
    def analysed_samples(self) -> int:
        """Number of samples in finished hops."""
        return self.features.end_sample

    @property
    def pending_samples(self) -> int:
        """Number of samples that wait for the rest of their hop."""
        return self.features.n_pending_samples

    @property
    def end_sample(self) -> int:
        """Stream position just after the last finished hop, in samples, including lost ones."""
        return self.features.end_sample + self._lost_samples

    @property
    def level_dbfs(self) -> float:
        """Level of the last finished hop (dB re full scale)."""
        return self.features.level_dbfs

    def push(self, samples: FloatArray) -> list[HopScores]:
        """Add samples, shape (n,), full scale 1.0; return the scores of the hops that they complete."""
        hops = self.features.push(samples)
        return self.score_all(hops) if hops else []

    def flush(self) -> list[HopScores]:
        """Complete an incomplete hop with silence; return its scores."""
        return self.score_all(self.features.flush())

    def observe(self, samples: FloatArray) -> list[Observation]:
        """Do the first half of `push`: return the input of the classifier for each hop."""
        return [self._observe(features) for features in self.features.push(samples)]

    def observe_rest(self) -> list[Observation]:
        """Do the first half of `flush`."""
        return [self._observe(features) for features in self.features.flush()]

    def score_all(self, features: Sequence[HopFeatures]) -> list[HopScores]:
        """Return the scores of a stream from its features, which include cepstra if the model uses them."""
        stacks = [features[first : first + MAX_HOPS] for first in range(0, len(features), MAX_HOPS)]
        return [scores for stack in stacks for scores in score_hops([self] * len(stack), stack)]

    def skip(self, lost_samples: int) -> None:
        """Continue after a loss, independently of the audio before it; call `flush` first."""
        self._lost_samples += lost_samples
        self.features.forget()
        self._forget_evidence()

    def continue_from(self, other: Analyser) -> list[HopScores]:
        """Continue the stream of `other` in this new analyser, including the samples of its incomplete hop."""
        # The new model may have other hops; the samples of the old incomplete hop start a hop of this one.
        self._lost_samples = other._lost_samples
        self.features.end_sample = other.features.end_sample
        return self.push(other.features.take_pending())

    def abandon(self, analysed_samples: int, lost_samples: int) -> None:
        """Continue after a failure: of the samples so far, all but the first `analysed_samples` are lost.

        Args:
            analysed_samples: number of samples to keep.
            lost_samples: number of samples that count as lost.
        """
        self._lost_samples += lost_samples
        self.features.abandon(analysed_samples)
        self._forget_evidence()

    def reset(self) -> None:
        """Start a new stream at sample 0."""
        self._lost_samples = 0
        self.features.reset()
        self._forget_evidence()

    def _forget_evidence(self) -> None:
        if self.evidence:
            self.evidence.reset()

    def _observe(self, features: HopFeatures) -> Observation:
        return Observation(features, self.evidence.push(features.cepstra) if self.evidence else None)

    def score(self, observation: Observation) -> HopScores:
        """Do the second half of `push` and `flush`: return the scores of a hop."""
        hop = observation.features
        scores = None if hop.vector is None else self.classifier.score(hop.vector, observation.cepstral_evidence)
        return self.hop_scores(hop, scores)

    def hop_scores(self, hop: HopFeatures, scores: VectorScores | None) -> HopScores:
        """Return the scores of a hop from those of its vector; None if it has none."""
        # NaN and false where the hop has no vector: the gates of the decision reject it as not finite.
        log_likelihoods, llrs, is_in_domain = self._refused, self._refused, self._in_no_domain
        background, strangeness = np.nan, np.nan
        projected = of_window = None
        spectrum_db: Sequence[int] = ()
        if scores is not None and hop.vector is not None:
            log_likelihoods, is_in_domain = scores.log_likelihoods, scores.is_in_domain
            # Log-likelihood ratio of each label to the background (nat).
            background = scores.background_log_likelihood
            llrs = log_likelihoods - background
            if self._density is not None:
                strangeness = self._density.strangeness(hop.vector)
            if self._has_projected:
                projected, of_window = scores.projected, scores.of_window
            if self._has_spectrum:
                spectrum_db = band_levels_db(hop.vector, self.features.spec, hop.window_level_dbfs)
        # The features do not count lost samples, which are added here to give the position in the stream.
        end_sample = hop.end_sample + self._lost_samples
        return HopScores(
            end_sample=end_sample,
            level_dbfs=hop.level_dbfs,
            log_likelihoods=log_likelihoods,
            llrs=llrs,
            is_in_domain=is_in_domain,
            levels_db=hop.frame_levels_db,
            background_log_likelihood=background,
            window_share=hop.window_share,
            window_level_dbfs=hop.window_level_dbfs,
            projected=projected,
            of_window=of_window,
            spectrum_db=spectrum_db,
            strangeness=strangeness,
        )


def score_hops(analysers: Sequence[Analyser], hops: Sequence[HopFeatures]) -> list[HopScores]:
    """Return the scores of hops of one or several streams, each to the last bit what it gets by itself.

    Args:
        analysers: the analyser of each hop, all of one model; the hops of one follow each other.
        hops: one or more.
    """
    first = analysers[0]
    evidences = [analyser.evidence for analyser in analysers if analyser.evidence]
    evidence = add_stack(evidences, [hop.cepstra for hop in hops]) if evidences else None
    # A hop with a bad sample in its window has no vector, and so no scores.
    vectors = [hop.vector for hop in hops if hop.vector is not None]
    if evidence and len(vectors) < len(hops):
        evidence = [own for own, hop in zip(evidence, hops, strict=True) if hop.vector is not None]
    scores = iter(first.classifier.score_stack(vectors, evidence) if vectors else ())
    each = zip(analysers, hops, strict=True)
    return [analyser.hop_scores(hop, None if hop.vector is None else next(scores)) for analyser, hop in each]
