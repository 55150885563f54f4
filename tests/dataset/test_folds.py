from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.dataset.folds import NEVER_HELD_OUT, grouped_stratified_folds
from streamgmm.errors import DataError


def test_no_source_is_in_two_folds_and_labels_are_even():
    labels = [label for label in "abc" for _ in range(40)]
    sources = [f"{label}{i // 2}" for label in "abc" for i in range(40)]
    folds = grouped_stratified_folds(labels, sources, 5, seed=0)
    folds_by_source = defaultdict(set)
    for source, fold in zip(sources, folds, strict=True):
        folds_by_source[source].add(fold)
    assert {len(members) for members in folds_by_source.values()} == {1}
    for label in "abc":
        assert np.bincount(folds[np.array(labels) == label]).tolist() == [8] * 5


def test_sources_of_all_labels_are_spread():
    labels = [digit for _ in range(6) for digit in "0123"]
    sources = [f"speaker{i}" for i in range(6) for _ in range(4)]
    assert np.bincount(grouped_stratified_folds(labels, sources, 6, seed=3)).tolist() == [4] * 6


def test_the_same_seed_gives_the_same_folds_and_another_others():
    labels, sources = ["a", "b"] * 50, [str(i) for i in range(100)]
    first, again, other = (grouped_stratified_folds(labels, sources, 5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_fewer_folds_when_a_label_has_few_sources():
    labels = ["a"] * 20 + ["b"] * 3
    folds = grouped_stratified_folds(labels, [str(i) for i in range(23)], 5, seed=0)
    assert sorted(folds[20:]) == [0, 1, 2]
    assert folds.max() == 2


def test_B16_a_label_with_one_source_is_named():
    with pytest.raises(DataError, match="'rare' has a single source") as caught:
        grouped_stratified_folds(["a", "a", "rare", "rare"], ["1", "2", "3", "3"], 2, seed=0)
    assert "add recordings" in str(caught.value)


def test_labels_that_sources_tie_together_are_named():
    labels, sources = list("abbcca"), list("112233")
    with pytest.raises(DataError, match="shares its sources"):
        grouped_stratified_folds(labels, sources, 2, seed=0)


def test_a_single_source_of_background_is_never_held_out():
    labels, sources = ["a", "a", "b", "b", "background"], list("12345")
    folds = grouped_stratified_folds(labels, sources, 5, seed=0)
    assert folds[4] == NEVER_HELD_OUT
    assert sorted(folds[:2]) == sorted(folds[2:4]) == [0, 1]


def test_two_sources_of_background_are_held_out_in_turn():
    labels, sources = ["a", "a", "background", "background"], list("1234")
    assert sorted(grouped_stratified_folds(labels, sources, 5, seed=0)[2:]) == [0, 1]


@given(
    clips=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", "background"]), st.integers(0, 9)), min_size=1, max_size=60
    ),
    n_folds=st.integers(2, 6),
    seed=st.integers(0, 5),
)
def test_every_division_can_be_trained_on_and_tested(clips, n_folds, seed):
    labels, sources = [label for label, _ in clips], [str(source) for _, source in clips]
    try:
        folds = grouped_stratified_folds(labels, sources, n_folds, seed)
    except DataError:
        return
    fold_by_source = dict(zip(sources, folds, strict=True))
    assert all(fold_by_source[source] == fold for source, fold in zip(sources, folds, strict=True))
    for fold in range(folds.max() + 1):
        tested = {label for label, number in zip(labels, folds, strict=True) if number == fold}
        trained = {label for label, number in zip(labels, folds, strict=True) if number != fold}
        assert tested
        assert trained == set(labels)
