from __future__ import annotations

import numpy as np
import pytest

from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, ContextCopy
from streamgmm.training.fitting.cepstra import MIN_FRAMES_PER_COMPONENT, fit_cepstra
from streamgmm.training.fitting.fitting import fit_classifier, unconverged_allowed
from tests.narrowing import present
from tests.training.training_rig import config_with, make_clip

CENTRES = {"no": -2.0, "yes": 2.0}
LABELS = sorted(CENTRES)


def clips_of(centres=CENTRES, n_frames: int = 200, n_clips: int = 3) -> list[ClipVectors]:
    clips = []
    for label, centre in centres.items():
        for n in range(n_clips):
            rng = np.random.default_rng([n, len(label)])
            frames = rng.normal(centre, 1.0, (n_frames, 6)).astype(np.float32)
            windows = rng.standard_normal((20, 12)).astype(np.float32)
            spans = np.tile([0, n_frames], (20, 1))
            own = ClipCepstra(frames[: n_frames // 2], frames[n_frames // 2 :], spans)
            clips.append(ClipVectors(make_clip(label, n), windows, windows[:0], None, own))
    return clips


def fit(clips, labels=LABELS, **training):
    with unconverged_allowed():
        return fit_cepstra(clips, labels, config_with(n_cepstral_components=4, **training).training)


def test_frames_are_standardised_and_nothing_else() -> None:
    clips = clips_of()
    frames = np.concatenate([part for clip in clips for part in present(clip.cepstra)[:2]])
    projection = fit(clips).projection
    np.testing.assert_allclose(projection.mean, frames.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(projection.scale, frames.std(axis=0), rtol=1e-5)
    assert np.array_equal(projection.matrix, np.eye(6))


def test_frames_of_each_label_are_likeliest_under_its_own_mixture() -> None:
    clips = clips_of()
    mixtures = fit(clips)
    for clip in clips:
        scores = mixtures.score(present(clip.cepstra).vectors.astype(float)).mean(axis=0)
        assert LABELS[scores[:2].argmax()] == clip.clip.label


def test_the_background_is_the_label_of_that_name_or_all_frames_together() -> None:
    assert len(fit(clips_of()).mixtures) == 3
    with_own = clips_of({"background": 0.0, **CENTRES})
    assert len(fit(with_own, ["background", *LABELS]).mixtures) == 3


def test_frames_are_learnt_from_copies_in_context_too() -> None:
    clips = clips_of()
    frames = np.full((400, 6), 30.0, np.float32) + np.random.default_rng(0).standard_normal((400, 6), np.float32)
    spans = np.zeros((5, 2), np.intp)
    context = ContextCopy(
        np.zeros((5, 12), np.float32), np.ones(5), np.zeros(5), 6.0, ClipCepstra(frames[:0], frames, spans)
    )
    with_context = [clip._replace(contexts=(context,)) if clip.clip.label == "yes" else clip for clip in clips]
    far = np.full((1, 6), 30.0)
    alone, beside = (fit(own).score(far)[0] for own in (clips, with_context))
    assert beside[LABELS.index("yes")] > beside[LABELS.index("no")] + 100.0
    assert alone[LABELS.index("yes")] < beside[LABELS.index("yes")]


def test_equal_seeds_give_equal_mixtures() -> None:
    first, again, other = fit(clips_of(), seed=1), fit(clips_of(), seed=1), fit(clips_of(), seed=2)
    assert all(np.array_equal(a.means, b.means) for a, b in zip(first.mixtures, again.mixtures, strict=True))
    assert any(not np.array_equal(a.means, b.means) for a, b in zip(first.mixtures, other.mixtures, strict=True))


@pytest.mark.parametrize(("n_frames", "n_components"), [(80, 4), (60, 3), (20, 1)])
def test_B17_few_frames_lower_the_number_of_components(n_frames: int, n_components: int) -> None:
    assert MIN_FRAMES_PER_COMPONENT == 20
    mixtures = fit(clips_of(n_frames=n_frames, n_clips=1)).mixtures
    assert [mixture.n_components for mixture in mixtures[:2]] == [n_components, n_components]


def test_B17_too_few_frames_or_equal_ones_make_no_mixtures() -> None:
    assert fit(clips_of(n_frames=10, n_clips=1)) is None
    same = [
        clip._replace(cepstra=cepstra._replace(vectors=cepstra.vectors * 0, copies=cepstra.copies * 0))
        for clip in clips_of()
        for cepstra in [present(clip.cepstra)]
    ]
    assert fit(same) is None
    assert fit([clip._replace(cepstra=None) for clip in clips_of()]) is None


def test_a_classifier_has_frames_only_if_they_are_asked_for() -> None:
    training = config_with(n_cepstral_components=2).training
    assert fit_classifier(clips_of(), LABELS, training).classifier.cepstra is None
    assert fit_classifier(clips_of(), LABELS, training, has_cepstra=True).classifier.cepstra is not None
