"""Deciders, hops and synthetic sounds for the tests of the decider."""

from __future__ import annotations

import numpy as np

from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.decider import Decider, Timing
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.judge import Judge
from streamgmm.decision.rules import make_rules
from streamgmm.settings.decision import DecisionSection

RATE_HZ = 1000
HOP, WINDOW, LEVEL = 100, 1000, 20
LABELS = ("bark", "door", "background")
QUIET, LOUD = -60.0, -20.0
# The sounds of no event are those that the trained background wins.
PLAIN = DecisionSection(smoothing="none", onset_threshold=0.6, min_duration_s=0.0, hangover_s=0.0)
NOTHING, BARK, DOOR = (0.0, 0.0, 5.0), (5.0, 0.0, 0.0), (0.0, 5.0, 0.0)


def make_judge(section=PLAIN, labels=LABELS, log_priors=None, likelihood_scale=1.0) -> Judge:
    priors = np.zeros(len(labels)) if log_priors is None else np.array(log_priors)
    return Judge(BayesRule(labels, priors, likelihood_scale), section, HOP / RATE_HZ)


def make_decider(section=PLAIN, labels=LABELS, label_overrides=None, *, windows=False, updates=False, **weights):
    return Decider(
        make_judge(section, labels, **weights),
        make_rules(labels, section, label_overrides or {}, RATE_HZ),
        Timing(RATE_HZ, HOP, WINDOW, LEVEL),
        run_id="run",
        windows=windows,
        updates=updates,
    )


def make_hop(i_hop, log_likelihoods=NOTHING, *, level_dbfs=-30.0, llrs=None, is_in_domain=None, levels_db=None):
    n_labels = len(log_likelihoods)
    return HopScores(
        end_sample=(i_hop + 1) * HOP,
        level_dbfs=level_dbfs,
        log_likelihoods=np.array(log_likelihoods, dtype=float),
        # Ratios of log-likelihoods that are not finite are not finite either.
        llrs=np.where(np.isfinite(log_likelihoods), 3.0, np.nan) if llrs is None else np.array(llrs),
        is_in_domain=np.ones(n_labels, dtype=bool) if is_in_domain is None else np.array(is_in_domain),
        levels_db=np.full(HOP // LEVEL, QUIET) if levels_db is None else np.array(levels_db),
    )


def feed(decider, *hops, first=0):
    """The records of hops that are given by their log-likelihoods."""
    return [record for i, hop in enumerate(hops, first) for record in decider.update(make_hop(i, hop))]


def sound_hops(begin_sample, end_sample, n_hops):
    """Hops of a sound: loud levels where it is, and a score as soon as a quarter of the window holds it."""
    for i in range(n_hops):
        end = (i + 1) * HOP
        heard = max(0, min(end, end_sample) - max(end - WINDOW, begin_sample))
        starts = np.arange(end - HOP, end, LEVEL)
        levels_db = np.where((starts >= begin_sample) & (starts < end_sample), LOUD, QUIET)
        is_heard = heard >= min(WINDOW // 4, end_sample - begin_sample)
        yield make_hop(i, BARK if is_heard else NOTHING, levels_db=levels_db)


def run(decider, hops):
    return [record for hop in hops for record in decider.update(hop)] + decider.flush()
