"""Choose the onset threshold of each label from a budget of false alarms, by held-out sounds of the world.

Each sound of the world is heard, as it is and as a copy, by a classifier that was not fitted to it, through the gates
and the smoothing of a run. The highest threshold at which it would have made an event is its peak for a label. All
peaks give the rate of false alarms at any threshold; above the highest ones it falls exponentially on the logit scale,
from a place that the highest peaks tell (Weissman, JASA 73, 1978), and at a rate that the scale of the likelihoods
tells. So do the peaks of ambiences, in which nothing happens: wind or traffic may be taken for a label again and again.
Those of the user's held-out clips, in context, tell the recall that a threshold leaves.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, floor, log10
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, expit, logit

from streamgmm.arrays import Float64Array
from streamgmm.features.spec import FeatureSpec
from streamgmm.labels import is_reserved
from streamgmm.model.classifier import Classifier
from streamgmm.settings.decision import DecisionSection
from streamgmm.training.selection.held_out import HeardAmbience, HeldOutClips
from streamgmm.training.selection.listener import Listener

SOUNDS_PER_HOUR = 570.0
"""Foreign sounds an hour that the budget is for: those of a busy place. A quiet home has about a fifth."""

AMBIENCES_PER_HOUR = 1000.0
"""Chances of a false alarm an hour where nothing happens: some three seconds each, as the ambiences last that are heard
here. Wind, rain or traffic that a label takes for one of its own gives a false alarm again and again, and sounds of the
world tell nothing of it."""

CHANCES_PER_SOUND, CHANCES_OVER_BACKGROUND = 8.0, 2.1
"""Chances of a false alarm that a foreign sound has, where a sound of the world has one: it lasts longer, other sounds
lie below it, and it is less like anything that was trained on. Where the sounds of the world were heard over the user's
own background, they differ from it by much less. Chosen on streams of `tests.benchmarks.room`."""

N_HIGHEST = 16
"""Peaks that tell where the tail lies."""

LEAST_EXCESS, EXCESS_OF_WINDOWS, EXCESS_OF_FRAMES = 0.15, 1.2, 0.5
"""Mean excess of the tail (nat): a threshold higher by it leaves a share 1/e of false alarms. The first is that of any
model; the others are added for a likelihood scale, and a weight of frames, of 1. Scores are scaled likelihoods, so
their tail is the longer the larger the scale, and evidence of frames makes it longer still. Chosen on the same streams:
with one excess for all, models with frames heard five times the false alarms of others; with an excess in proportion to
the scale, those of a small scale heard more. Fitted to each label's own peaks, it was so uncertain that some labels
became deaf."""

SPARED_SHARE = 0.2
"""Share of a label's own clear copies that its threshold may lose although the budget would not ask for it: a label far
from all of the world gets few false alarms there, and may get many in a place with sounds that the world lacks."""

MIN_THRESHOLD, MAX_THRESHOLD = 0.3, 1.0 - 1e-6
"""Limits of thresholds: the world is not all that is to be heard, so a sound has to be more than a possibility."""

MIN_HEARINGS = 50
"""With fewer hearings of sounds of the world, no rate can be told."""

HIGHEST_PEAK = 20.0
"""Stands for the logit of a peak of 1."""

THRESHOLD_DECIMALS = 6

CLEAR_SNR_DB = 6.0
"""Sounds at least this far above the rest should be heard."""

MAX_PEAKS = 101
"""Most peaks of a label that a card keeps: every percent of them."""

DEAF_RECALL = 0.2
"""A label of which less is found is said to be nearly deaf."""

MAX_BUDGET_PER_HOUR = 1000.0
"""Largest budget that the settings accept."""

LOWEST_PEAK = -3.5
"""Stands for the logit of lower peaks, and of those that a gate rejects."""


class LabelThreshold(NamedTuple):
    """The threshold of a label, and what it leaves.

    Attributes:
        onset_threshold: chosen threshold.
        recalls: share of held-out copies in context that would be found, by their level above the rest (dB).
        n_copies: number of these copies.
        clear_peaks: peaks of those at `CLEAR_SNR_DB` and above, rising; some quantiles of very many.
        enough_per_hour: where `clear_recall` is below `DEAF_RECALL`, the smallest budget that leaves as much; None if
            none does.
    """

    onset_threshold: float
    recalls: dict[float, float]
    n_copies: int
    clear_peaks: tuple[float, ...] = ()
    enough_per_hour: float | None = None

    @property
    def clear_recall(self) -> float | None:
        """Mean of the recalls at `CLEAR_SNR_DB` and above; None without any copy."""
        clear = [recall for snr_db, recall in self.recalls.items() if snr_db >= CLEAR_SNR_DB]
        return float(np.mean(clear)) if clear else None


class FalseAlarms(NamedTuple):
    """What can make false alarms of one label.

    Attributes:
        n_labels: labels that share the budget.
        excess: mean excess of the tail (nat).
        sound_peaks: float64, shape (n,), of sounds of the world, 0 to 1.
        sounds_per_hour: so many such sounds are heard an hour.
        ambience_peaks: float64, shape (m,), of places in which nothing happens; may be empty.
    """

    n_labels: int
    excess: float
    sound_peaks: Float64Array
    sounds_per_hour: float
    ambience_peaks: Float64Array

    def threshold_for(self, budget_per_hour: float) -> float:
        """Return the threshold with which neither the sounds nor the place make more false alarms than a budget."""
        own_per_hour = budget_per_hour / self.n_labels
        threshold = threshold_at(self.sound_peaks, own_per_hour / self.sounds_per_hour, self.excess)
        # Fewer do not tell where the tail lies.
        if len(self.ambience_peaks) < N_HIGHEST:
            return threshold
        return max(threshold, threshold_at(self.ambience_peaks, own_per_hour / AMBIENCES_PER_HOUR, self.excess))


def choose_thresholds(
    held_out: HeldOutClips,
    classifier: Classifier,
    section: DecisionSection,
    spec: FeatureSpec,
    *,
    ambiences: Sequence[HeardAmbience] = (),
    is_over_background: bool = False,
) -> dict[str, LabelThreshold]:
    """Return the threshold of each label that can make an event; empty where the world is not known.

    Args:
        held_out: scores of the clips, and of the world.
        classifier: calibrated; its labels, scale, floors and weights are used.
        section: settings of the decisions; its budget is shared equally by the labels.
        spec: features of the model, for the lengths of hops.
        ambiences: scores of places in which nothing happens; may be empty.
        is_over_background: whether the sounds of the world were heard over the user's own background.
    """
    world = [clip for clip in held_out.clips if clip.is_world and clip.context is not None]
    labels = [label for label in classifier.labels if not is_reserved(label)]
    budget_per_hour = section.max_false_alarms_per_hour
    if not budget_per_hour or len(world) < MIN_HEARINGS or not labels:
        return {}
    listener = Listener(classifier, section, spec)
    world_peaks = np.array([listener.peaks(clip) for clip in world])
    own = [clip for clip in held_out.clips if not clip.is_world and clip.context is not None]
    own_peaks = np.array([listener.peaks(clip) for clip in own]).reshape(len(own), len(classifier.labels))
    chances = CHANCES_OVER_BACKGROUND if is_over_background else CHANCES_PER_SOUND
    place_peaks = np.array([listener.peaks(place.clip) for place in ambiences]).reshape(-1, len(classifier.labels))
    found = {}
    for i, label in enumerate(classifier.labels):
        if label in labels:
            is_own = np.array([clip.label_index == i for clip in own], dtype=bool)
            snrs_db = np.array([clip.context.snr_db for clip in own if clip.context is not None])
            is_alien = np.array([label not in place.named_by for place in ambiences], dtype=bool)
            false_alarms = FalseAlarms(
                n_labels=len(labels),
                excess=mean_excess(classifier),
                sound_peaks=world_peaks[:, i],
                sounds_per_hour=SOUNDS_PER_HOUR * chances,
                ambience_peaks=place_peaks[is_alien, i],
            )
            outcome_at = partial(_outcome_at, false_alarms, own_peaks[is_own, i], snrs_db[is_own])
            found[label] = _with_enough(outcome_at, budget_per_hour)
    return found


def budgets_above(budget_per_hour: float, most_per_hour: float) -> list[float]:
    """Return the budgets of two digits above one, up to `most_per_hour` (1/h), rising."""
    first, last = floor(log10(budget_per_hour)), ceil(log10(most_per_hour))
    budgets = (float(f"{digits}e{exponent - 1}") for exponent in range(first, last + 1) for digits in range(10, 100))
    return [budget for budget in budgets if budget_per_hour < budget <= most_per_hour]


def mean_excess(classifier: Classifier) -> float:
    """Return the mean excess of the tail of false alarms of a model (nat, on the logit scale)."""
    frames = classifier.used_cepstra
    of_scale = EXCESS_OF_WINDOWS + (EXCESS_OF_FRAMES * frames.weight if frames else 0.0)
    return LEAST_EXCESS + of_scale * classifier.likelihood_scale


def _outcome_at(
    false_alarms: FalseAlarms, own_peaks: Float64Array, snrs_db: Float64Array, budget_per_hour: float
) -> LabelThreshold:
    threshold = false_alarms.threshold_for(budget_per_hour)
    return _outcome(max(threshold, _spared(own_peaks[snrs_db >= CLEAR_SNR_DB])), own_peaks, snrs_db)


def _spared(clear_peaks: Float64Array) -> float:
    """Return the threshold that all but a share of the clear copies reach."""
    if not len(clear_peaks):
        return MIN_THRESHOLD
    lost = float(np.quantile(clear_peaks, SPARED_SHARE))
    return round(min(max(lost, MIN_THRESHOLD), MAX_THRESHOLD), THRESHOLD_DECIMALS)


def _with_enough(outcome_at: Callable[[float], LabelThreshold], budget_per_hour: float) -> LabelThreshold:
    """Return the outcome of a budget; if the label is nearly deaf, with the smallest budget at which it is not."""

    def is_enough(budget_per_hour: float) -> bool:
        recall = outcome_at(budget_per_hour).clear_recall
        return recall is None or recall >= DEAF_RECALL

    if is_enough(budget_per_hour):
        return outcome_at(budget_per_hour)
    budgets = budgets_above(budget_per_hour, MAX_BUDGET_PER_HOUR)
    # Thresholds fall with the budget, and recalls rise.
    i_first = bisect_left(budgets, True, key=is_enough)
    return outcome_at(budget_per_hour)._replace(enough_per_hour=budgets[i_first] if i_first < len(budgets) else None)


def threshold_at(peaks: Float64Array, share: float, excess: float) -> float:
    """Return the threshold that a share of sounds exceeds, above the highest ones by the tail.

    Args:
        peaks: shape (n,), of sounds, 0 to 1.
        share: of all sounds, above 0.
        excess: mean excess of the tail (nat).
    """
    logits = np.sort(np.clip(logit(np.clip(peaks, 1e-12, 1.0 - 1e-12)), LOWEST_PEAK, HIGHEST_PEAK))
    n_highest = min(N_HIGHEST, len(logits))
    # A peak of rank j among n lies, in the mean, log(n) - digamma(j) mean excesses above the begin of the tail.
    ranks = np.arange(n_highest, 0, -1)
    highest = float(np.mean(logits[-n_highest:] + excess * digamma(ranks)))
    n_above = min(share, 1.0) * len(logits)
    level = highest - excess * float(np.log(min(n_above, n_highest)))
    if n_above > n_highest:
        level = min(level, float(np.quantile(logits, 1.0 - min(share, 1.0))))
    return round(float(np.clip(expit(level), MIN_THRESHOLD, MAX_THRESHOLD)), THRESHOLD_DECIMALS)


def _outcome(threshold: float, peaks: Float64Array, snrs_db: Float64Array) -> LabelThreshold:
    recalls = {float(snr_db): float((peaks[snrs_db == snr_db] >= threshold).mean()) for snr_db in np.unique(snrs_db)}
    clear = np.sort(peaks[snrs_db >= CLEAR_SNR_DB])
    if len(clear) > MAX_PEAKS:
        clear = np.quantile(clear, np.linspace(0.0, 1.0, MAX_PEAKS))
    return LabelThreshold(threshold, recalls, len(peaks), tuple(np.round(clear, THRESHOLD_DECIMALS).tolist()))
