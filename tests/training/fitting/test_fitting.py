from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from streamgmm.errors import DataError
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.fitting import training_set as module
from streamgmm.training.fitting.fitting import fit_classifier, fit_mixture
from streamgmm.training.fitting.training_set import make_training_set
from tests.training.training_rig import config_with, make_clip, make_clips, vectors_of

CENTRES = {"cat": 0.0, "bird": 6.0, "horse": -6.0}
LABELS = sorted(CENTRES)
SHAPES = ["diag", "full"]


def training(**settings):
    return config_with(**settings).training


def two_clusters(n: int = 200, distance: float = 8.0, n_dimensions: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, n_dimensions))
    vectors[: n // 2] += distance
    return vectors


@pytest.mark.parametrize("covariance", SHAPES)
def test_a_mixture_is_that_of_scikit_learn(covariance):
    vectors = two_clusters()
    mixture = fit_mixture(vectors, 2, training(covariance=covariance, variance_floor=0.01), seed=3)
    theirs = GaussianMixture(2, covariance_type=covariance, reg_covar=0.01, random_state=3, max_iter=30).fit(vectors)
    assert mixture.log_likelihood(vectors) == pytest.approx(theirs.score_samples(vectors), abs=1e-9)
    assert sorted(mixture.means.mean(axis=1)) == pytest.approx([0.0, 8.0], abs=0.3)


def test_the_variance_floor_is_added_to_every_variance():
    vectors = np.zeros((50, 3)) + np.random.default_rng(0).standard_normal((50, 1))
    mixture = fit_mixture(vectors, 1, training(variance_floor=0.5), seed=0)
    assert mixture.covariances == pytest.approx(np.full((1, 3), vectors[:, 0].var() + 0.5))


@pytest.mark.parametrize("covariance", SHAPES)
def test_separate_classes_are_distinguished(covariance):
    clips = make_clips(CENTRES)
    classifier = fit_classifier(clips, LABELS, training(covariance=covariance)).classifier
    assert classifier.labels == tuple(LABELS)
    for clip in clips:
        scores = classifier.score_many(clip.vectors.astype(float))
        assert LABELS[scores.mean(axis=0).argmax()] == clip.clip.label


def test_equal_seeds_give_equal_classifiers():
    first, again, other = (fit_classifier(make_clips(CENTRES), LABELS, training(seed=s)).classifier for s in (1, 1, 2))
    assert all(np.array_equal(a.means, b.means) for a, b in zip(first.all_mixtures, again.all_mixtures, strict=True))
    assert any(
        not np.array_equal(a.means, b.means) for a, b in zip(first.all_mixtures, other.all_mixtures, strict=True)
    )


def clips_of_two_kinds(label: str) -> list[ClipVectors]:
    """A class that sounds in two ways, which differ in all features."""
    clips = [vectors_of(make_clip(label, n), 0.0, n_vectors=60) for n in range(6)]
    return [
        ClipVectors(clip.clip, clip.vectors + 4 * (-1) ** n, clip.copies + 4 * (-1) ** n)
        for n, clip in enumerate(clips)
    ]


def test_bic_picks_two_components_for_two_clear_clusters_and_one_for_one():
    clips = [*clips_of_two_kinds("cat"), *make_clips({"bird": 0.0}, n_vectors=60)]
    fit = fit_classifier(clips, ["bird", "cat"], training(n_components="bic", max_components=5))
    assert [mixture.n_components for mixture in fit.classifier.mixtures] == [1, 2]


def test_bic_never_exceeds_the_most_that_is_allowed():
    clips = [*clips_of_two_kinds("cat"), *make_clips({"bird": 0.0}, n_vectors=60)]
    fit = fit_classifier(clips, ["bird", "cat"], training(n_components="bic", max_components=1))
    assert {mixture.n_components for mixture in fit.classifier.mixtures} == {1}


@pytest.mark.parametrize(("n_windows", "n_components"), [(30, 3), (29, 2), (19, 1), (10, 1), (5, 1)])
def test_B17_fewer_than_ten_windows_a_component_lower_their_number_with_a_note(n_windows, n_components):
    clips = [vectors_of(make_clip("cat", 0), 0.0, n_vectors=n_windows), *make_clips({"bird": 6.0}, n_vectors=40)]
    fit = fit_classifier(clips, ["bird", "cat"], training(n_components=3))
    assert [mixture.n_components for mixture in fit.classifier.mixtures] == [3, n_components]
    expected = f"'cat' has {n_windows} windows: {n_components} components instead of 3"
    assert fit.notes == ([expected] if n_components < 3 else [])


def test_B17_bic_keeps_to_ten_windows_a_component_too():
    clips = [vectors_of(make_clip("cat", 0), 0.0, n_vectors=19), *make_clips({"bird": 6.0})]
    fit = fit_classifier(clips, ["bird", "cat"], training(n_components="bic"))
    assert fit.classifier.mixtures[1].n_components == 1


@pytest.mark.parametrize("n_vectors", [1, 2, 50])
def test_B18_a_class_of_one_sound_repeated_is_refused_by_name(n_vectors):
    same = np.tile(np.arange(12, dtype=np.float32), (n_vectors, 1))
    repeated = [ClipVectors(make_clip("cat", n), same, same[:0]) for n in range(3 if n_vectors > 1 else 1)]
    with pytest.raises(DataError) as caught:
        fit_classifier([*repeated, *make_clips({"bird": 6.0})], ["bird", "cat"], training())
    assert str(caught.value).startswith("class 'cat': all windows of this class are the same sound")
    assert caught.value.exit_code == 65


def test_B18_even_if_every_class_repeats_one_sound():
    clips = []
    for value, label in enumerate(("bird", "cat")):
        same = np.full((20, 12), float(value), dtype=np.float32)
        clips += [ClipVectors(make_clip(label, n), same, same[:0]) for n in range(3)]
    with pytest.raises(DataError, match="class 'bird'"):
        fit_classifier(clips, ["bird", "cat"], training())


def test_the_background_is_that_of_its_recordings_or_else_all_sounds_together():
    with_own = fit_classifier(make_clips({"background": 0.0, "cat": 6.0}), ["background", "cat"], training()).classifier
    assert with_own.background is with_own.mixtures[0]
    clips = make_clips(CENTRES)
    pooled = fit_classifier(clips, LABELS, training()).classifier
    vectors = np.concatenate([clip.vectors for clip in clips]).astype(float)
    scores = pooled.score_many(vectors)
    expected = np.log(np.mean(np.exp(scores), axis=1))
    background = [pooled.score(vector).background_log_likelihood for vector in vectors]
    np.testing.assert_allclose(background, expected, rtol=1e-9)


@pytest.mark.parametrize("covariance", SHAPES)
def test_a_background_can_be_made_of_mixtures_of_any_shape(covariance):
    classifier = fit_classifier(make_clips(CENTRES), LABELS, training(covariance=covariance)).classifier
    assert classifier.background.n_components == sum(mixture.n_components for mixture in classifier.mixtures)
    assert classifier.background.weights.sum() == pytest.approx(1.0)


def test_more_windows_than_a_fit_looks_at_are_drawn_evenly_from_the_labels(monkeypatch):
    clips = [*make_clips({"cat": 0.0}, n_clips=40), *make_clips({"bird": 6.0}, n_clips=4)]
    monkeypatch.setattr(module, "MAX_FITTED_WINDOWS", 400)
    training_set = make_training_set(clips, ["bird", "cat"], training())
    assert np.bincount(training_set.class_indices).tolist() == [120, 200]
    drawn = np.concatenate(list(training_set.blocks()))
    of_labels = {
        label: {row.tobytes() for clip in clips if clip.clip.label == label for row in (*clip.vectors, *clip.copies)}
        for label in ("bird", "cat")
    }
    assert all(
        row.tobytes() in of_labels[("bird", "cat")[i]] for row, i in zip(drawn, training_set.class_indices, strict=True)
    )
    again = make_training_set(clips, ["bird", "cat"], training())
    assert np.array_equal(drawn, np.concatenate(list(again.blocks())))


def test_a_mixture_that_is_not_diagonal_is_not_refined():
    clips = make_clips(CENTRES)
    fits = [
        fit_classifier(clips, LABELS, training(covariance="full", refinement=flag)).classifier for flag in (False, True)
    ]
    assert np.array_equal(fits[0].mixtures[0].means, fits[1].mixtures[0].means)


def test_copies_are_trained_on_too():
    clips = make_clips(CENTRES)
    without = [ClipVectors(clip.clip, clip.vectors, clip.copies[:0]) for clip in clips]
    with_copies, alone = [fit_classifier(c, LABELS, training()).classifier.projection.mean for c in (clips, without)]
    assert not np.array_equal(with_copies, alone)
    assert np.array_equal(fit_classifier(clips, LABELS, training(copies=False)).classifier.projection.mean, alone)
