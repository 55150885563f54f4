"""From samples to records: the one object that live streams, files and evaluations all go through.

It holds no thread, no clock and no file. For the same samples the records are the same to the last bit,
however the samples are cut into blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array, FloatArray
from streamgmm.config import Config
from streamgmm.decision.clip import ClipDecider, ClipDecision, TypicalLikelihoods
from streamgmm.decision.decider import Decider
from streamgmm.decision.hop_scores import HopScores
from streamgmm.features.extractor import FeatureStream, HopFeatures
from streamgmm.model.cepstra import CepstralEvidence
from streamgmm.model.model import Model
from streamgmm.records import GapReason, Record


class Observation(NamedTuple):
    """What the classifier is shown of one hop.

    Attributes:
        features: of the hop and of the window that ends with it.
        cepstral_evidence: float64, shape (n_mixtures,), nat, what the window's frames say; None if the model has none.
    """

    features: HopFeatures
    cepstral_evidence: Float64Array | None


class Analyser:
    """Samples in, the classifier's word on every hop out.

    Args:
        model: features to measure and mixtures to score them with.

    Attributes:
        end_sample: stream position just after the last finished hop, losses counted in.
        analysed_samples: samples that went through the features.
    """

    def __init__(self, model: Model) -> None:
        self._classifier = model.classifier
        cepstra = self._classifier.cepstra
        self._features = FeatureStream(model.spec, has_cepstra=cepstra is not None)
        n_window_hops = model.spec.window_samples // model.spec.hop_samples
        self._evidence = CepstralEvidence(cepstra, n_window_hops) if cepstra else None
        self._refused = np.full(len(model.labels), np.nan)
        self._in_no_domain = np.zeros(len(model.labels), dtype=bool)
        self._lost_samples = 0

    @property
    def analysed_samples(self) -> int:
        """Samples in finished hops."""
        return self._features.end_sample

    @property
    def pending_samples(self) -> int:
        """Samples that wait for their hop to be complete."""
        return self._features.n_pending_samples

    @property
    def end_sample(self) -> int:
        """Stream position after the last finished hop."""
        return self._features.end_sample + self._lost_samples

    @property
    def level_dbfs(self) -> float:
        """Level of the last finished hop (dB re full scale)."""
        return self._features.level_dbfs

    def push(self, samples: FloatArray) -> list[HopScores]:
        """The frames of the hops that `samples`, shape (n,), full scale 1.0, complete."""
        return [self.score(observation) for observation in self.observe(samples)]

    def flush(self) -> list[HopScores]:
        """The frame of a begun hop, completed with silence."""
        return [self.score(observation) for observation in self.observe_rest()]

    def observe(self, samples: FloatArray) -> list[Observation]:
        """The first half of `push`, for those who want to see what the classifier is shown."""
        return [self._observe(features) for features in self._features.push(samples)]

    def observe_rest(self) -> list[Observation]:
        """The first half of `flush`."""
        return [self._observe(features) for features in self._features.flush()]

    def score_all(self, features: Iterable[HopFeatures]) -> list[HopScores]:
        """The frames of a stream whose features were measured elsewhere, with frame vectors if the model uses them."""
        return [self.score(self._observe(one)) for one in features]

    def skip(self, lost_samples: int) -> None:
        """Go on after a loss: what was heard before it tells nothing about what comes (call `flush` first)."""
        self._lost_samples += lost_samples
        self._features.forget()
        self._forget_evidence()

    def continue_from(self, other: Analyser) -> list[HopScores]:
        """Take over the stream of `other` where it is, the samples of its begun hop too; for a fresh analyser."""
        self._lost_samples = other._lost_samples
        self._features.end_sample = other._features.end_sample
        return self.push(other._features.take_pending())

    def abandon(self, analysed_samples: int, lost_samples: int) -> None:
        """Go on after a failure: what came after the first `analysed_samples` is lost, `lost_samples` in all."""
        self._lost_samples += lost_samples
        self._features.abandon(analysed_samples)
        self._forget_evidence()

    def reset(self) -> None:
        """Begin a new stream at sample 0."""
        self._lost_samples = 0
        self._features.reset()
        self._forget_evidence()

    def _forget_evidence(self) -> None:
        if self._evidence:
            self._evidence.reset()

    def _observe(self, features: HopFeatures) -> Observation:
        return Observation(features, self._evidence.push(features.cepstra) if self._evidence else None)

    def score(self, observation: Observation) -> HopScores:
        """The second half of `push` and `flush`: the frame of what was observed since the last loss or reset."""
        log_likelihoods, llrs, is_in_domain = self._refused, self._refused, self._in_no_domain
        hop = observation.features
        if hop.vector is not None:
            scores = self._classifier.score(hop.vector, observation.cepstral_evidence)
            log_likelihoods, is_in_domain = scores.log_likelihoods, scores.is_in_domain
            llrs = log_likelihoods - scores.background_log_likelihood
        end_sample = hop.end_sample + self._lost_samples
        return HopScores(
            end_sample=end_sample,
            level_dbfs=hop.level_dbfs,
            log_likelihoods=log_likelihoods,
            llrs=llrs,
            is_in_domain=is_in_domain,
            levels_db=hop.frame_levels_db,
            window_share=hop.window_share,
            window_level_dbfs=hop.window_level_dbfs,
        )


class Pipeline:
    """Samples in, records out.

    Args:
        model: decides which labels there are.
        config: priors, decision and output sections are used.
        run_id: beginning of the ids of events.

    Attributes:
        analyser: the first half, from samples to frames.
        decider: the second half, from frames to records.

    Raises:
        ConfigError: the settings name a label that the model does not have.
    """

    def __init__(self, model: Model, config: Config, run_id: str = "") -> None:
        self.analyser = Analyser(model)
        spec = model.spec
        classifier = model.classifier.with_priors(config.model.priors)
        self.decider = Decider(
            model.labels,
            config.decision,
            hop_samples=spec.hop_samples,
            window_samples=spec.window_samples,
            level_samples=spec.frame_samples,
            sample_rate_hz=spec.sample_rate_hz,
            log_priors=classifier.log_priors,
            likelihood_scale=classifier.likelihood_scale,
            label_overrides=model.decision,
            run_id=run_id,
            windows=config.output.windows,
            updates=config.output.updates,
        )

    def push(self, samples: FloatArray) -> list[Record]:
        """The records of the hops that `samples`, shape (n,), at the model's rate, full scale 1.0, complete."""
        return self.decide(self.analyser.push(samples))

    def gap(self, lost_samples: int, reason: GapReason) -> list[Record]:
        """The records of a loss of audio just after the samples pushed so far."""
        records = self.decide(self.analyser.flush())
        self.analyser.skip(lost_samples)
        return records + self.lost(lost_samples, reason)

    def lost(self, lost_samples: int, reason: GapReason) -> list[Record]:
        """The records of a loss that the analyser has gone over already (see `Analyser.abandon`)."""
        return self.decider.gap(lost_samples, reason, self.analyser.end_sample)

    def flush(self) -> list[Record]:
        """The last records of the stream: a begun hop is completed with silence, open events end."""
        return self.decide(self.analyser.flush()) + self.decider.flush()

    def continue_from(self, other: Pipeline) -> list[Record]:
        """Take over the stream of `other` where it is, which must not be used any more; for a fresh pipeline.

        Positions, counts and the ids of events go on. What was heard before tells this one nothing.

        Args:
            other: the pipeline of a model with the same sample rate, whose events were ended.

        Returns:
            The records of a hop that the samples of the begun hop of `other` may complete.
        """
        self.decider.continue_from(other.decider)
        return self.decide(self.analyser.continue_from(other.analyser))

    def reset(self) -> None:
        """Begin a new stream at t = 0."""
        self.analyser.reset()
        self.decider.reset()

    def decide(self, hops: Iterable[HopScores]) -> list[Record]:
        """The records of frames that `analyser` gave: other settings decide on them without new features."""
        return [record for hop in hops for record in self.decider.update(hop)]


def decide_clip(blocks: Iterable[FloatArray], model: Model, config: Config) -> ClipDecision:
    """One answer for a whole clip, from the very frames that a stream of it gives.

    Args:
        blocks: float, shape (n,) each, at the model's rate, full scale 1.0.
        model: what to recognise.
        config: the priors and the silence gate are used.
    """
    return decide_scores(clip_scores(blocks, model), model, config)


def clip_scores(blocks: Iterable[FloatArray], model: Model) -> Iterator[HopScores]:
    """The frames of a whole clip, to be kept by whom wants several answers; arguments as for `decide_clip`."""
    analyser = Analyser(model)
    for block in blocks:
        yield from analyser.push(block)
    yield from analyser.flush()


def decide_scores(hops: Iterable[HopScores], model: Model, config: Config) -> ClipDecision:
    """One answer for the frames of a whole clip; arguments as for `decide_clip`."""
    classifier = model.classifier.with_priors(config.model.priors)
    clips = classifier.clips
    decider = ClipDecider(
        model.labels,
        silence_gate_dbfs=config.decision.silence_gate_dbfs,
        log_priors=classifier.log_priors,
        likelihood_scale=classifier.likelihood_scale,
        sharpness=clips.sharpness,
        min_in_domain_score=clips.min_in_domain_score,
        typical=TypicalLikelihoods(np.array(clips.typical), clips.typical_deviation) if clips.typical else None,
    )
    for hop in hops:
        decider.add(hop)
    return decider.decide()
