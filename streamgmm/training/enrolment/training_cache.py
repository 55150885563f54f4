"""What a training keeps beside its model, so that a class can be added or taken out without the old recordings.

Kept are feature vectors and no sound, nor the name of any file: recordings and sources go by their hashes. To refit
on what is kept instead of on everything changes no score beyond chance, as neighbouring windows share most of their
samples and the copies of a clip resemble each other. Of held-out clips are right, with all data and with what is kept:
ESC-10 95.3 % and 94.8 % (means of three divisions, standard error 1.1 %); 1000 spoken digits (FSDD), by windows and
frames, 88.0 % and 87.5 % (1.0 %).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import Float32Array
from streamgmm.dataset.clips import Clip, rng_of
from streamgmm.training.extraction.clip_vectors import ClipVectors, Limits, thinned
from streamgmm.training.extraction.extraction import ExtractionTask

WINDOWS_PER_LABEL = 1000
"""Windows of recordings kept for each label: of 2 minutes, where they follow each other by 0.12 s."""

COPIES_PER_LABEL = 1000
"""Windows of altered copies kept for each label; with 800, ESC-10 loses a point."""

FRAME_COPIES_PER_LABEL = 8000
"""Frames of altered copies kept for each label; of all frames of a label, mixtures are fitted to 40 000 at most."""

KEPT = np.float16
"""Eleven significant bits: features lie within a few tens, and are off by less than a hundredth of their deviation."""

SOURCE_DIGITS = 16


class Memory(NamedTuple):
    """What a model was fitted to, as far as it is kept.

    Attributes:
        task: how the recordings were measured, and how the model is fitted.
        clips: their vectors, float32 of float16 precision, of recordings without names; each has a window at least,
            and either all of them have frames or none.
    """

    task: ExtractionTask
    clips: list[ClipVectors]

    @property
    def labels(self) -> list[str]:
        """The labels of the clips, sorted."""
        return sorted({clip.clip.label for clip in self.clips})

    @property
    def has_cepstra(self) -> bool:
        """Whether frames are kept beside the windows."""
        return self.clips[0].cepstra is not None


def remember(clips: Sequence[ClipVectors], task: ExtractionTask, *, has_cepstra: bool) -> Memory:
    """What to keep of `clips`: all of them, and of each label as many windows and frames as the limits allow.

    Which ones is drawn by the content of the clip and the seed, so that the same training keeps the same.

    Args:
        clips: at least one; those of a memory pass unchanged where there is room.
        task: how they were measured.
        has_cepstra: whether to keep cepstral frames; without them, windows alone can be fitted again.
    """
    nameless = [
        clip._replace(clip=_nameless(clip.clip), cepstra=clip.cepstra if has_cepstra else None) for clip in clips
    ]
    by_label: dict[str, list[ClipVectors]] = defaultdict(list)
    for clip in nameless:
        by_label[clip.clip.label].append(clip)
    limits = {label: _limits(members) for label, members in by_label.items()}
    # On how many cores it was made says nothing of the model.
    training = msgspec.structs.replace(task.training, n_jobs=0)
    kept = [_reduced(clip, limits[clip.clip.label], training.seed) for clip in nameless]
    return Memory(msgspec.structs.replace(task, training=training), kept)


def _limits(clips: Sequence[ClipVectors]) -> Limits:
    """Those of the clips of one label."""
    return Limits(
        max(1, _share([len(clip.vectors) for clip in clips], WINDOWS_PER_LABEL)),
        _share([len(clip.copies) for clip in clips], COPIES_PER_LABEL),
        _share([len(clip.cepstra.copies) for clip in clips if clip.cepstra], FRAME_COPIES_PER_LABEL),
    )


def _share(sizes: Sequence[int], total: int) -> int:
    """The most that each may have, so that all together have at most `total`: what small ones leave, others take."""
    candidates = range(1, max(sizes, default=0) + 1)
    return bisect_right(candidates, total, key=lambda share: sum(min(size, share) for size in sizes))


def _nameless(clip: Clip) -> Clip:
    """`clip` without the name of its file; a source keeps the same name however often it is kept again."""
    recording = Path(clip.content_sha256)
    if clip.path == recording:
        return clip
    source_id = hashlib.sha256(clip.source_id.encode("utf-8", "surrogatepass")).hexdigest()[:SOURCE_DIGITS]
    return msgspec.structs.replace(clip, path=recording, source_id=source_id, fold=None, is_gap=False)


def _reduced(clip: ClipVectors, limits: Limits, seed: int) -> ClipVectors:
    kept = thinned(clip, limits, rng_of(clip.clip, seed))
    cepstra = kept.cepstra
    return kept._replace(
        vectors=_rounded(kept.vectors),
        copies=_rounded(kept.copies),
        votes=kept.counted_votes,
        cepstra=cepstra and cepstra._replace(vectors=_rounded(cepstra.vectors), copies=_rounded(cepstra.copies)),
    )


def _rounded(vectors: Float32Array) -> Float32Array:
    largest = np.finfo(KEPT).max
    return vectors.clip(-largest, largest).astype(KEPT).astype(np.float32)
