"""Load the samples of clips; each recording is decoded once for all its clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio.channels import ChannelChoice
from streamgmm.audio.reading import read_recording
from streamgmm.audio.resample import resample
from streamgmm.dataset.clips import Clip


def load_clips(clips: Sequence[Clip], sample_rate_hz: int, channel: ChannelChoice = "mean") -> list[Samples]:
    """Load the samples of `clips`, all of one recording, which is decoded and resampled once.

    The whole recording is resampled before it is cut, so that the samples of a clip do not depend on the clips it is
    loaded with, and its ends have no artefacts of the filter.

    Args:
        clips: clips with the same path.
        sample_rate_hz: sample rate to return (Hz).
        channel: one channel (from 0), or the mean of all of them.

    Raises:
        RecordingError: the recording cannot be read.
    """
    recording = read_recording(clips[0].path, channel=channel)
    samples = resample(recording.samples, recording.sample_rate_hz, sample_rate_hz)
    return [_cut_clip(samples, clip, sample_rate_hz) for clip in clips]


def by_recording(clips: Iterable[Clip]) -> list[list[Clip]]:
    """Group `clips` by recording, in order of first appearance: the jobs of a training."""
    groups: dict[Path, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.path, []).append(clip)
    return list(groups.values())


def _cut_clip(samples: Samples, clip: Clip, sample_rate_hz: int) -> Samples:
    if clip.onset_s is None or clip.offset_s is None:
        return samples
    start, stop = (units.seconds_to_samples(time_s, sample_rate_hz) for time_s in (clip.onset_s, clip.offset_s))
    # A copy, because a view of a short clip would keep an hour of samples in memory.
    return samples[start:stop].copy()
