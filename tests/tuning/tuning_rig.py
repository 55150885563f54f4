"""Scored recordings made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamgmm.listening.events import Annotation
from streamgmm.listening.tracks import ScoredRecording, ScoreTrack

HOPS_PER_ALARM = 50


def background(model, peaks, n_hours=1.0, path="yard.wav"):
    """A recording in which `peaks` of each label come one after the other, each three hops long, far apart."""
    hop_samples = model.spec.hop_samples
    tracks = []
    for label in model.labels:
        own = peaks.get(label, [])
        hops = [HOPS_PER_ALARM * (i + 1) + j for i in range(len(own)) for j in range(3)]
        tracks.append(ScoreTrack(hop_samples * np.array(hops, np.int64), np.repeat(np.array(own, np.float64), 3)))
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
