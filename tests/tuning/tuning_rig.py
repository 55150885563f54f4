"""Scored recordings made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from streamgmm.listening.events import Annotation
from streamgmm.listening.tracks import ScoredRecording, ScoreTrack
from streamgmm.model.room_card import RoomCard
from streamgmm.settings.config import Config
from streamgmm.tuning.operating_points import Material
from streamgmm.tuning.tuning import tune

HOPS_PER_ALARM = 50


def background(model, peaks, n_hours=1.0, path="yard.wav", n_hops=3):
    """A recording in which `peaks` of each label come one after the other, each `n_hops` long, far apart."""
    hop_samples = model.spec.hop_samples
    tracks = []
    for label in model.labels:
        own = peaks.get(label, [])
        hops = [HOPS_PER_ALARM * (i + 1) + j for i in range(len(own)) for j in range(n_hops)]
        tracks.append(ScoreTrack(hop_samples * np.array(hops, np.int64), np.repeat(np.array(own, np.float64), n_hops)))
    return ScoredRecording(Path(path), round(n_hours * 3600 * model.spec.sample_rate_hz), tracks)


def event(model, label, score, n_hops=20, path="event.wav"):
    """A clip in which `label` scores from its second half on."""
    hop_samples = model.spec.hop_samples
    ends = hop_samples * np.arange(n_hops // 2 + 1, n_hops + 1)
    tracks = [
        ScoreTrack(ends, np.full(len(ends), score)) if name == label else ScoreTrack(ends[:0], np.zeros(0))
        for name in model.labels
    ]
    end_sample = n_hops * hop_samples
    truth = [Annotation(label, 0.0, end_sample / model.spec.sample_rate_hz)]
    return ScoredRecording(Path(path), end_sample, tracks), truth


def with_copies(model, **peaks):
    """The model, as if held-out copies of its training clips had these peaks."""
    room = RoomCard(max_false_alarms_per_hour=5.0, peaks=peaks)
    return replace(model, card={**model.card, "room": msgspec.to_builtins(room)})


def tuned(model, *backgrounds, budget_per_hour, events=(), config=Config(), **options):  # noqa: B008
    """The result of tuning to scored recordings."""
    return tune(Material(backgrounds, events), model, config, budget_per_hour=budget_per_hour, **options)
