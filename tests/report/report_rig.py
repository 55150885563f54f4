"""A trial on existing recordings, some answered wrongly, with names that contain markup."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import Skipped
from streamgmm.decision.clip import ClipDecision
from streamgmm.evaluation.ablation import Ablation
from streamgmm.evaluation.answering import ClipAnswer
from streamgmm.evaluation.conditions import UNCHANGED, Conditions
from streamgmm.evaluation.trial import FoldAnswers, LeftOut, Trial
from streamgmm.features.spec import FeatureSpec
from tests.training.training_rig import RATE_HZ, SOUND_LABELS, write_sounds

HOSTILE = '<script>alert("1&amp;")</script>'


def make_trial(root: Path, *, conditions: Conditions = UNCHANGED, is_open_set: bool = False) -> Trial:
    """Two folds of six clips; every third answer is wrong, with rising scores, and one clip is rejected."""
    dataset = read_dataset(write_sounds(root / f"{HOSTILE.replace('/', '|')} 'sounds'"))
    answers = [_answer(clip, number) for number, clip in enumerate(dataset.clips)]
    skipped = [Skipped(Path(f"{HOSTILE}\n.wav"), "not_audio")]
    return Trial(
        dataset=msgspec.structs.replace(dataset, skipped=skipped, warnings=[HOSTILE]),
        spec=FeatureSpec(sample_rate_hz=RATE_HZ),
        conditions=conditions,
        folds=[FoldAnswers("a", 0, answers[::2]), FoldAnswers(HOSTILE, 0, answers[1::2])],
        left_out=[LeftOut(SOUND_LABELS[0], 0, answers[4:], answers[:4])] if is_open_set else [],
        ablation=[Ablation("", 0.9, 0.05), Ablation("frames", 0.8, 0.07), Ablation(HOSTILE, 0.92, 0.05)],
        n_clips=len(answers),
        n_seeds=1,
        division="fold",
    )


def _answer(clip: Clip, number: int) -> ClipAnswer:
    truth = SOUND_LABELS.index(clip.label)
    given = (truth + 1) % len(SOUND_LABELS) if number % 3 == 0 else truth
    score = 0.5 + 0.04 * number
    posteriors = np.full(len(SOUND_LABELS), (1 - score) / 2)
    posteriors[given] = score
    label = "unknown" if number == 4 else SOUND_LABELS[given]
    scores = dict(zip(SOUND_LABELS, posteriors.tolist(), strict=True))
    decision = ClipDecision(label, score, scores, 9, number / 12, 1.0, scores)
    return ClipAnswer(clip, decision, decision)
