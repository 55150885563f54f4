"""Division of clips into folds for cross-validation: no source is in two of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamgmm.arrays import BoolArray, Float64Array, IndexArray
from streamgmm.errors import DataError
from streamgmm.labels import BACKGROUND

NEVER_HELD_OUT = -1
"""Fold of clips that are always trained on."""


def grouped_stratified_folds(labels: Sequence[str], sources: Sequence[str], n_folds: int, seed: int) -> IndexArray:
    """Deal clips out into folds: a source stays whole, and labels are spread as evenly as that allows.

    Sources are dealt in order of the largest share that they hold of any label, each to the fold that
    has least of what it brings (greedy; equal sources in an order drawn from `seed`). There are fewer
    folds than asked for if a label has fewer sources. A single source of `background` is never held
    out: it cannot be tested, but it is needed.

    Args:
        labels: label of each clip.
        sources: source of each clip.
        n_folds: how many folds are wanted, at least 2.
        seed: the same seed and clips give the same folds.

    Returns:
        Integers, shape (n,): the fold of each clip, from 0, or `NEVER_HELD_OUT`.

    Raises:
        DataError: a label is not in two folds, as it has a single source or shares sources with others.
    """
    names, i_labels = _indexed(labels)
    source_names, i_sources = _indexed(sources)
    n_clips = np.zeros((len(source_names), len(names)))
    np.add.at(n_clips, (i_sources, i_labels), 1.0)
    is_dealt = ~_holds_only_background(n_clips, names)
    n_sources = np.count_nonzero(n_clips[is_dealt], axis=0)
    _refuse_unless(n_sources >= 2, n_sources, names, "has a single source")
    folds = np.full(len(source_names), NEVER_HELD_OUT, dtype=np.intp)
    folds[is_dealt] = _deal(n_clips[is_dealt], min([n_folds, *n_sources[n_sources > 0]]), seed)
    n_folds_with = np.array([np.unique(folds[is_dealt & (counts > 0)]).size for counts in n_clips.T])
    _refuse_unless(n_folds_with >= 2, n_sources, names, "shares its sources with other labels")
    return folds[i_sources]


def _indexed(texts: Sequence[str]) -> tuple[list[str], IndexArray]:
    """The different texts, sorted, and the place of each text among them."""
    names = sorted(set(texts))
    places = {name: place for place, name in enumerate(names)}
    return names, np.array([places[text] for text in texts], dtype=np.intp)


def _holds_only_background(n_clips: Float64Array, names: Sequence[str]) -> BoolArray:
    """Which sources hold all of the background, shape (n_sources,); none if it has several."""
    holds_background = np.any(n_clips[:, [name == BACKGROUND for name in names]], axis=1)
    is_single = np.count_nonzero(holds_background) == 1
    return holds_background if is_single else np.zeros_like(holds_background)


def _refuse_unless(is_fine: BoolArray, n_sources: IndexArray, names: Sequence[str], what: str) -> None:
    # Without a source to deal, the background is the one that is never held out.
    is_exempt = [name == BACKGROUND and not n for name, n in zip(names, n_sources, strict=True)]
    wrong = [name for name, fine, exempt in zip(names, is_fine, is_exempt, strict=True) if not (fine or exempt)]
    if wrong:
        listed = ", ".join(map(repr, wrong))
        hint = "add recordings from other places, days or people"
        raise DataError(f"cannot test on other recordings than trained on: {listed} {what}", hint=hint)


def _deal(n_clips: Float64Array, n_folds: int, seed: int) -> IndexArray:
    """The fold of each source, by its number of clips of each label, shape (n_sources, n_labels)."""
    shares = n_clips / np.maximum(n_clips.sum(axis=0), 1.0)
    order = np.random.default_rng(seed).permutation(len(shares))
    # The bulky ones first, while there is room to make up for them.
    order = order[np.argsort(-shares[order].max(axis=1), kind="stable")]
    held = np.zeros((n_folds, shares.shape[1]))
    folds = np.zeros(len(shares), dtype=np.intp)
    for i_source in order:
        # Of folds that hold equally little of these labels, the one that holds least of all.
        folds[i_source] = np.lexsort((held.sum(axis=1), held @ shares[i_source]))[0]
        held[folds[i_source]] += shares[i_source]
    return folds
