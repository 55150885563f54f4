"""Taught sounds in a recording of the background: a training learns them as background, a tuning as false alarms.

A foreign sound seldom scores as high as most held-out copies of a label in a room do, and seldom makes an event at the
threshold of the training. An event that does both, and is not longer than what was taught, is more likely the sound
itself. Labels whose copies are not known are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamgmm.decision.rules import make_rules
from streamgmm.listening.events import Detection
from streamgmm.listening.tracks import ScoredRecording, ScoreTrack, replay
from streamgmm.model.model import Model
from streamgmm.model.room_card import room_card
from streamgmm.settings.config import Config
from streamgmm.settings.decision import LabelSection
from streamgmm.wording import escaped

MAX_LENGTHS = 2.0
"""An event that scores high for longer than so many clips of its label is a steady noise like it."""

N_LISTED = 5
"""Most recordings, and times in each, that a message lists."""


class TaughtSound(NamedTuple):
    """Events in a recording of the background that are probably the sound of `label`, at least one."""

    label: str
    path: Path
    events: Sequence[Detection]


class _Lengths(msgspec.Struct, frozen=True):
    """What a card tells of the lengths of its clips: their number, and that of their windows, by label."""

    n_clips: dict[str, int]
    n_windows: dict[str, int]


def find_taught_sounds(
    backgrounds: Sequence[ScoredRecording], model: Model, config: Config, *, max_lengths: float = MAX_LENGTHS
) -> list[TaughtSound]:
    """Return what is probably no false alarm in recordings of the background, in order of label and recording.

    Args:
        backgrounds: scores of the recordings.
        model: its card tells the peaks of held-out copies.
        config: decisions of a run.
        max_lengths: longest event that is judged, in lengths of a clip of its label.
    """
    room = room_card(model.card)
    found = []
    for label, peaks in room.peaks.items() if room else ():
        if label not in model.labels or not peaks:
            continue
        own = model.decision.get(label, LabelSection()).onset_threshold
        threshold = config.decision.onset_threshold if own is None else own
        bound = max(float(np.median(peaks)), threshold)
        for recording in backgrounds:
            longest_s = max_lengths * (_clip_s(label, model) + model.spec.window_s)
            events = [
                event
                for event in _events_above(bound, label, recording, model, config)
                if _high_s(recording.tracks[model.labels.index(label)], event, bound, model) <= longest_s
            ]
            found += [TaughtSound(label, recording.path, events)] if events else []
    return found


def _events_above(
    bound: float, label: str, recording: ScoredRecording, model: Model, config: Config
) -> list[Detection]:
    spec, i_label = model.spec, model.labels.index(label)
    section = LabelSection(onset_threshold=bound)
    rule = make_rules(model.labels, config.decision, {label: section}, spec.sample_rate_hz)[i_label]
    return list(replay(recording.tracks[i_label], label, rule, spec, recording.end_sample))


def _clip_s(label: str, model: Model) -> float:
    """Return the mean length of the training clips (s), without what is too quiet; infinite if it is not known."""
    try:
        lengths = msgspec.convert(_members(model.card, ("n_clips", "n_windows")), _Lengths)
        n_windows = lengths.n_windows[label] / lengths.n_clips[label]
    except (msgspec.ValidationError, KeyError, ZeroDivisionError):  # a card is free-form
        return np.inf
    return n_windows * model.spec.hop_samples / model.spec.sample_rate_hz


def _members(card: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: card[name] for name in names if name in card}


def _high_s(track: ScoreTrack, event: Detection, bound: float, model: Model) -> float:
    """Return the time within an event at which its label scores at least `bound` (s)."""
    ends_s = track.end_samples / model.spec.sample_rate_hz
    is_high = (track.scores >= bound) & (ends_s > event.onset_s) & (ends_s <= event.offset_s)
    return float(is_high.sum()) * model.spec.hop_samples / model.spec.sample_rate_hz


def listed(found: Sequence[TaughtSound]) -> str:
    """Return text that tells which sounds are in which recordings, and when."""
    return "; ".join(map(_where, found[:N_LISTED])) + ("; ..." if len(found) > N_LISTED else "")


def _where(found: TaughtSound) -> str:
    events = found.events
    times = ", ".join(f"{event.onset_s:.1f}" for event in events[:N_LISTED]) + (", ..." * (len(events) > N_LISTED))
    n_times = "once" if len(events) == 1 else f"{len(events)} times"
    score = max(event.score for event in events)
    return f"'{escaped(found.label)}' {n_times} in {escaped(found.path.name)} at {times} s, with a score of {score:.4f}"
