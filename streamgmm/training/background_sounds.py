"""Listen to the user's own background with the model that has just learnt it: it should hold none of the taught sounds.

What it holds of them was learnt as background, and makes the model deaf to them by that much.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from streamgmm.audio.reading import RecordingError
from streamgmm.dataset.clips import Clip
from streamgmm.labels import BACKGROUND
from streamgmm.listening.taught_sounds import find_taught_sounds, listed
from streamgmm.listening.tracks import ScoredRecording, score_recording
from streamgmm.model.model import Model
from streamgmm.settings.config import Config
from streamgmm.training.workers import ProgressTracker


def taught_sound_notes(clips: Iterable[Clip], model: Model, config: Config, track: ProgressTracker) -> list[str]:
    """Return what a user should know of taught sounds in whole recordings of the background; empty if there are none.

    Args:
        clips: that the model was trained on.
        model: with its thresholds, and with the peaks of held-out copies in its card.
        config: decisions of a run.
        track: shows the progress.
    """
    # Gaps of annotated recordings are left out: their other segments are taught sounds.
    paths = list(dict.fromkeys(clip.path for clip in clips if clip.label == BACKGROUND and clip.onset_s is None))
    if not paths:
        return []
    scored = [one for path in track(paths, "hearing background", len(paths)) for one in _scored(path, model, config)]
    found = find_taught_sounds(scored, model, config, are_learnt=True)
    if not found:
        return []
    return [
        f"the background seems to hold taught sounds, which were learnt as background: {listed(found)}; listen there, "
        "and if they are, train again with a recording of the room without them"
    ]


def _scored(path: Path, model: Model, config: Config) -> list[ScoredRecording]:
    try:
        return [score_recording(path, model, config, min_score=0.0)]
    except RecordingError:
        # On a cluster, the recordings may be where the workers are.
        return []
