from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from streamgmm.decision.events import Automaton, EventOpened, LabelRule
from streamgmm.features.spec import FeatureSpec
from streamgmm.labels import BACKGROUND
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.settings.decision import DecisionSection
from streamgmm.training.extraction.ambiences import Ambience
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ContextCopy
from streamgmm.training.fitting.fitting import fit_classifier
from streamgmm.training.selection.held_out import (
    HeardAmbience,
    HeldOutClip,
    HeldOutClips,
    HeldOutContext,
    hear_ambiences,
)
from streamgmm.training.selection.listener import Listener
from streamgmm.training.selection.threshold_report import as_sections, deaf_notes, thresholds_in_card
from streamgmm.training.selection.thresholds import (
    AMBIENCES_PER_HOUR,
    LEAST_EXCESS,
    MAX_THRESHOLD,
    MIN_THRESHOLD,
    N_HIGHEST,
    SPARED_SHARE,
    FalseAlarms,
    LabelThreshold,
    budgets_above,
    choose_thresholds,
    mean_excess,
    threshold_at,
)
from tests.narrowing import present
from tests.training.training_rig import make_clip, quick_config, vectors_of

SPEC = FeatureSpec(sample_rate_hz=16000)
LABELS = ["cat", "dog"]
SECTION = DecisionSection()
EXCESS = 0.47
SCALE = 0.25  # of the likelihoods of the classifier


def context(n_hops: int, snr_db: float) -> HeldOutContext:
    return HeldOutContext(np.ones(n_hops, dtype=bool), np.full(n_hops, -20.0), snr_db)


def copy(label_index: int, log_likelihoods: np.ndarray, *, snr_db: float = 6.0, is_world: bool = False) -> HeldOutClip:
    """A held-out copy with these likelihoods after they are scaled."""
    n_hops = len(log_likelihoods)
    return HeldOutClip(label_index, log_likelihoods / SCALE, np.ones(n_hops), None, context(n_hops, snr_db), is_world)


@pytest.fixture(scope="module")
def classifier():
    clips = [vectors_of(make_clip(label, n), 4.0 * i) for i, label in enumerate(LABELS) for n in range(3)]
    world = [vectors_of(make_clip(BACKGROUND, n), -4.0)._replace(is_world=True) for n in range(3)]
    found = fit_classifier([*clips, *world], LABELS, quick_config().training).classifier
    assert found.background_prior == 1.0
    return replace(found, likelihood_scale=SCALE)


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1, 0.3])
def test_a_threshold_is_exceeded_by_the_share(share):
    rng = np.random.default_rng(5)
    peaks = 1.0 / (1.0 + np.exp(-rng.logistic(size=20_000)))
    expected = np.quantile(peaks, 1.0 - share)
    assert threshold_at(peaks, share, EXCESS) == pytest.approx(max(expected, MIN_THRESHOLD), abs=0.02)


def test_thresholds_have_limits_whatever_the_peaks():
    assert threshold_at(np.zeros(100), 1e-9, EXCESS) <= MAX_THRESHOLD
    assert threshold_at(np.ones(100), 1e-9, EXCESS) == pytest.approx(MAX_THRESHOLD)
    assert threshold_at(np.zeros(100), 1.0, EXCESS) == MIN_THRESHOLD
    assert MIN_THRESHOLD <= threshold_at(np.full(100, 0.5), 2.0, EXCESS) <= 0.5


def test_sounds_that_come_nowhere_near_do_not_raise_a_threshold():
    near = np.random.default_rng(3).uniform(0.2, 0.6, size=N_HIGHEST)
    thresholds = [
        threshold_at(np.concatenate([np.zeros(n), near]), N_HIGHEST / (n + N_HIGHEST) / 20, EXCESS) for n in (400, 4000)
    ]
    assert thresholds[1] == pytest.approx(thresholds[0], abs=0.001)
    assert 0.5 < thresholds[1] < 0.95


def test_a_stricter_budget_never_lowers_a_threshold():
    peaks = np.random.default_rng(1).uniform(size=200)
    found = [threshold_at(peaks, share, EXCESS) for share in np.geomspace(1.0, 1e-6, 60)]
    assert found == sorted(found)


def test_a_peak_is_the_highest_threshold_that_makes_an_event(classifier):
    rng = np.random.default_rng(2)
    listener = Listener(classifier, SECTION, SPEC)
    for _ in range(30):
        clip = copy(0, rng.normal(scale=3.0, size=(12, 3)))
        peak = float(listener.peaks(clip)[0])
        listener._judge.reset()
        scores = [float(listener._judge.update(hop).scores[0]) for hop in listener._hops(clip)]
        assert makes_event(scores, peak) or peak == 0.0
        assert not makes_event(scores, peak + 1e-9)


def makes_event(scores: list[float], threshold: float) -> bool:
    duration = round(SECTION.min_duration_s * SPEC.sample_rate_hz)
    rule = LabelRule(threshold, min(SECTION.offset_threshold, threshold), duration, 0, 0, 0)
    automaton = Automaton(0, rule, SPEC.hop_samples)
    changes = [one for i, s in enumerate(scores, 1) for one in automaton.update(s, i * SPEC.hop_samples)]
    return threshold > 0.0 and any(isinstance(change, EventOpened) for change in changes)


def heard(n_world: int = 100) -> HeldOutClips:
    """World sounds around the background, some near a label; clips of the labels clear of it where they are loud."""
    rng = np.random.default_rng(4)
    centres = rng.normal((1.0, -1.0, 2.0), 2.0, (n_world, 3))
    world = [copy(2, rng.normal(centre, 0.5, (10, 3)), is_world=True) for centre in centres]
    clips = []
    for i in range(2):
        for snr_db in (0.0, 6.0, 12.0, 20.0):
            centre = np.zeros(3)
            centre[i] = snr_db / 2.0
            clips += [copy(i, rng.normal(centre, 0.5, (10, 3)), snr_db=snr_db) for _ in range(5)]
    return HeldOutClips([*clips, *world], 2)


def test_each_label_gets_a_threshold_from_its_own_peaks(classifier):
    found = choose_thresholds(heard(), replace_floors(classifier), SECTION, SPEC)
    assert list(found) == LABELS
    # The world is nearer to the first label.
    assert found["cat"].onset_threshold > found["dog"].onset_threshold
    assert found["dog"].recalls[20.0] == 1.0
    assert list(found["dog"].recalls) == [0.0, 6.0, 12.0, 20.0]
    assert found["dog"].n_copies == 20
    assert as_sections(found)["cat"].onset_threshold == found["cat"].onset_threshold


def test_a_larger_scale_and_frames_make_the_tail_longer(classifier):
    scaled = [mean_excess(replace(classifier, likelihood_scale=scale)) for scale in (1e-6, 0.1, 0.2, 0.4)]
    assert LEAST_EXCESS < scaled[0] < scaled[1] < scaled[2] < scaled[3]
    frames = [mean_excess(with_frames(classifier, weight)) for weight in (0.0, 1.0, 2.0)]
    # Without a weight they are not used.
    assert frames[0] == mean_excess(classifier) < frames[1] < frames[2]


def with_frames(classifier, weight: float):
    mixtures = (*classifier.mixtures, classifier.background)
    return replace(classifier, cepstra=CepstralMixtures(classifier.projection, mixtures, weight))


def test_more_alarms_allow_lower_thresholds(classifier):
    budgets = (0.5, 5.0, 50.0, 500.0)
    found = [
        choose_thresholds(heard(), replace_floors(classifier), DecisionSection(max_false_alarms_per_hour=one), SPEC)
        for one in budgets
    ]
    thresholds = [one["cat"].onset_threshold for one in found]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] > thresholds[-1]


@pytest.mark.parametrize("section", [DecisionSection(max_false_alarms_per_hour=0.0), SECTION])
def test_nothing_is_chosen_without_a_budget_or_a_world(classifier, section):
    n_world = 10 if section.max_false_alarms_per_hour else 100
    assert choose_thresholds(heard(n_world), classifier, section, SPEC) == {}


def test_a_label_that_hardly_anything_is_found_of_is_named(classifier):
    section = DecisionSection(max_false_alarms_per_hour=1e-3)
    found = choose_thresholds(heard(), replace_floors(classifier), section, SPEC)
    deaf = {label: one._replace(recalls={6.0: 0.0, 12.0: 0.1}, enough_per_hour=None) for label, one in found.items()}
    notes = deaf_notes(deaf, 1e-3)
    assert len(notes) == 2
    assert notes[0].startswith("'cat': only 5% of its sounds are found 6 dB or more above the room")
    assert "no budget up to 1000 an hour leaves 'cat' a recall of 20%" in notes[0]
    assert deaf_notes({"cat": found["cat"]._replace(recalls={})}, 1.0) == []


def test_the_smallest_budget_that_leaves_a_recall_is_named(classifier):
    def found_with(budget_per_hour: float) -> dict[str, LabelThreshold]:
        section = DecisionSection(max_false_alarms_per_hour=budget_per_hour)
        return choose_thresholds(heard(), replace_floors(classifier), section, SPEC)

    found = found_with(1e-6)
    enough_per_hour = found["cat"].enough_per_hour
    assert enough_per_hour is not None
    assert f"a budget of {enough_per_hour:g} an hour is the smallest that leaves 'cat' a recall of 20%" in str(
        deaf_notes(found, 1e-6)
    )
    assert (found_with(enough_per_hour)["cat"].clear_recall or 0.0) >= 0.2
    assert (found_with(0.89 * enough_per_hour)["cat"].clear_recall or 0.0) < 0.2


@pytest.mark.parametrize(("budget_per_hour", "first"), [(5.0, 5.1), (0.099, 0.1), (999.0, None), (10.0, 11.0)])
def test_budgets_above_one_have_two_digits(budget_per_hour, first):
    budgets = budgets_above(budget_per_hour, 999.5)
    assert budgets == sorted(set(budgets))
    assert (budgets[0] if budgets else None) == first


def test_the_card_tells_recall_by_level(classifier):
    found = choose_thresholds(heard(), replace_floors(classifier), SECTION, SPEC)
    card = thresholds_in_card(found, 5.0)
    assert card.max_false_alarms_per_hour == 5.0
    assert card.recalls["dog"]["20"] == 1.0
    assert card.n_copies == {"cat": 20, "dog": 20}
    assert card.peaks["dog"] == sorted(card.peaks["dog"])
    assert len(card.peaks["dog"]) == 15


@pytest.mark.parametrize("share", [1e-2, 1e-3, 1e-5])
def test_above_the_highest_peaks_an_exponential_tail_goes_on(share):
    excesses = np.random.default_rng(6).exponential(EXCESS, (200, 400))
    levels = [logit(threshold_at(expit(1.0 + own), share, EXCESS)) for own in excesses]
    assert np.mean(levels) == pytest.approx(1.0 - EXCESS * math.log(share), abs=0.05)


def test_one_sound_like_a_label_makes_it_little_deafer():
    peaks = expit(np.random.default_rng(7).exponential(EXCESS, 400))
    alike = np.append(peaks, expit(6.0))
    assert logit(threshold_at(alike, 1e-3, EXCESS)) - logit(threshold_at(peaks, 1e-3, EXCESS)) < 0.6


def ambience(*peaks: float, named_by: str = "") -> list[HeardAmbience]:
    """Places in which the score of `cat` rises to these log odds, and that of `dog` nowhere."""
    clips = [copy(2, np.tile([peak, -9.0, 0.0], (10, 1)), is_world=True) for peak in peaks]
    return [HeardAmbience(clip, frozenset({named_by})) for clip in clips]


def test_a_label_that_a_place_is_taken_for_gets_a_higher_threshold_and_others_keep_theirs(classifier):
    likely, unlikely = (
        choose_thresholds(heard(), replace_floors(classifier), SECTION, SPEC, ambiences=ambience(*logits))
        for logits in (np.linspace(-2.0, 6.0, 100), np.linspace(-9.0, -5.0, 100))
    )
    without = choose_thresholds(heard(), replace_floors(classifier), SECTION, SPEC)
    assert likely["cat"].onset_threshold > without["cat"].onset_threshold
    assert likely["dog"] == without["dog"]
    assert unlikely == without


def test_a_place_that_a_label_names_raises_no_threshold_of_it(classifier):
    named, other = (
        choose_thresholds(heard(), replace_floors(classifier), SECTION, SPEC, ambiences=ambience(*peaks, named_by=name))
        for peaks, name in ((np.full(100, 5.0), "cat"), (np.full(100, 5.0), "dog"))
    )
    without = choose_thresholds(heard(), replace_floors(classifier), SECTION, SPEC)
    assert named == without
    assert other["cat"].onset_threshold > without["cat"].onset_threshold


def test_ambiences_are_scored_with_their_frames_where_the_model_uses_them(classifier):
    place = vectors_of(make_clip(BACKGROUND, 9), 4.0)
    spans = np.array([[i, i + 2] for i in range(10)])
    frames = ClipCepstra(place.vectors[:12], place.vectors[:0], spans)
    context = ContextCopy(place.vectors[:10], np.ones(10), np.full(10, -20.0), snr_db=0.0, cepstra=frames)
    ambiences = [Ambience(place._replace(contexts=(context,), is_world=True), frozenset({"cat"}))]
    (plain,) = hear_ambiences(ambiences, classifier)
    (framed,) = hear_ambiences(ambiences, with_frames(classifier, 1.0))
    assert plain.named_by == framed.named_by == {"cat"}
    assert plain.clip.cepstral_evidence is None
    of_frames = with_frames(classifier, 1.0).cepstra.score(frames.vectors.astype(np.float64))
    expected = [of_frames[first:end].mean(axis=0) for first, end in spans]
    np.testing.assert_allclose(present(framed.clip.cepstral_evidence), expected)
    np.testing.assert_allclose(plain.clip.log_likelihoods, classifier.score_many(context.vectors.astype(np.float64)))


def test_a_few_places_tell_nothing():
    without = FalseAlarms(2, EXCESS, np.full(100, 0.1), 4000.0, np.zeros(0))
    for n in (1, N_HIGHEST - 1, N_HIGHEST):
        alarms = without._replace(ambience_peaks=np.full(n, 0.9))
        assert (alarms.threshold_for(5.0) > without.threshold_for(5.0)) == (n == N_HIGHEST)


def test_thresholds_for_places_keep_the_budget():
    logits = np.random.default_rng(9).exponential(EXCESS, 20_000)
    alarms = FalseAlarms(2, EXCESS, np.full(100, 0.1), 4000.0, expit(logits[:200]))
    level = logit(alarms.threshold_for(20.0))
    assert (logits > level).mean() * AMBIENCES_PER_HOUR == pytest.approx(20.0 / 2, rel=0.5)


def test_over_a_background_of_the_user_thresholds_are_lower(classifier):
    found, lower = (
        choose_thresholds(heard(), replace_floors(classifier), SECTION, SPEC, is_over_background=is_over)["cat"]
        for is_over in (False, True)
    )
    assert lower.onset_threshold < found.onset_threshold


def test_a_label_far_from_the_world_loses_a_fifth_of_its_clear_copies_at_most(classifier):
    rng = np.random.default_rng(8)
    world = [copy(2, rng.normal((-9.0, -9.0, 9.0), 0.5, (10, 3)), is_world=True) for _ in range(100)]
    clips = [copy(0, rng.normal((peak, -6.0, 0.0), 0.1, (10, 3)), snr_db=12.0) for peak in rng.uniform(1.0, 6.0, 50)]
    found = choose_thresholds(HeldOutClips([*world, *clips], 2), replace_floors(classifier), SECTION, SPEC)["cat"]
    assert found.clear_recall == pytest.approx(1.0 - SPARED_SHARE, abs=0.02)
    assert found.onset_threshold > 0.5


def replace_floors(classifier):
    """Without floors: made scores are not those of a mixture."""
    return replace(classifier, floors=np.full(2, -np.inf))


def test_hops_without_a_vector_make_no_event(classifier):
    clip = copy(0, np.tile([9.0, 0.0, 0.0], (10, 1)))
    assert clip.context is not None
    listener = Listener(replace_floors(classifier), SECTION, SPEC)
    assert listener.peaks(clip)[0] > 0.9
    clip.context.is_measured[:] = False
    assert listener.peaks(clip)[0] == 0.0
