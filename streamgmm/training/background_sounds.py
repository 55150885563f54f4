"""Listen to the user's own background: it should hold none of the taught sounds.

What it holds of them is learnt as background, and makes the model deaf to them by that much. A model that has learnt
them so scores them about as high as other sounds, so one listens that knows the sounds of the world alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from streamgmm.audio.reading import RecordingError
from streamgmm.dataset.clips import Clip
from streamgmm.labels import BACKGROUND
from streamgmm.listening.taught_sounds import find_taught_sounds, listed
from streamgmm.listening.tracks import ScoredRecording, score_recording
from streamgmm.model.model import Model
from streamgmm.model.room_card import room_card
from streamgmm.settings.config import Config
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.extraction.world_clips import WorldClips
from streamgmm.training.fitting.fitting import fit_classifier, unconverged_allowed
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.selection.validation import Validation
from streamgmm.training.workers import ProgressTracker, ThreadExecutor, run_job


def is_judged(clips: Iterable[Clip], world: WorldClips, model: Model) -> bool:
    """Return whether there is a background to listen to, another one to know, and held-out copies to compare with."""
    return bool(_recordings(clips) and world.clips and room_card(model.card))


def model_without_background(
    model: Model, clips: Sequence[ClipVectors], validation: Validation, track: ProgressTracker
) -> Model:
    """Return `model` as it would be without the user's background.

    Args:
        model: fitted to `clips`, with thresholds.
        clips: all that were fitted to, with sounds of the world.
        validation: settings and calibration of `model`, which are kept.
        track: shows the progress.
    """
    others = [clip for clip in clips if clip.is_world or clip.clip.label != BACKGROUND]
    has_cepstra = validation.calibration.uses_cepstra
    with unconverged_allowed():
        job = partial(fit_classifier, others, model.labels, validation.training, has_cepstra=has_cepstra)
        # An executor for one job: it gives the fit one BLAS thread, on which the last bits depend.
        (fit,) = track(ThreadExecutor().map(run_job, [job]), "fitting without the background", 1)
    return replace(model, classifier=calibrated(fit, validation.calibration))


def taught_sound_notes(clips: Iterable[Clip], model: Model, config: Config, track: ProgressTracker) -> list[str]:
    """Return what a user should know of taught sounds in whole recordings of the background; empty if there are none.

    Args:
        clips: of a training.
        model: that has not learnt the background, with its thresholds, and with peaks of held-out copies in its card.
        config: decisions of a run.
        track: shows the progress.
    """
    paths = _recordings(clips)
    scored = [one for path in track(paths, "hearing background", len(paths)) for one in _scored(path, model, config)]
    found = find_taught_sounds(scored, model, config)
    if not found:
        return []
    return [
        f"the background seems to hold taught sounds, which were learnt as background: {listed(found)}; listen there, "
        "and if they are, train again with a recording of the room without them"
    ]


def _recordings(clips: Iterable[Clip]) -> list[Path]:
    # Gaps of annotated recordings are left out: their other segments are taught sounds.
    return list(dict.fromkeys(clip.path for clip in clips if clip.label == BACKGROUND and clip.onset_s is None))


def _scored(path: Path, model: Model, config: Config) -> list[ScoredRecording]:
    try:
        return [score_recording(path, model, config, min_score=0.0)]
    except RecordingError:
        # On a cluster, the recordings may be where the workers are.
        return []
