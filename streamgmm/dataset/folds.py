"""Divide clips into folds for cross-validation, with no source in two folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamgmm.arrays import BoolArray, Float64Array, IndexArray
from streamgmm.errors import DataError
from streamgmm.labels import BACKGROUND

NEVER_HELD_OUT = -1
"""Fold of clips that are always trained on."""


def grouped_stratified_folds(labels: Sequence[str], sources: Sequence[str], n_folds: int, seed: int) -> IndexArray:
    """Assign clips to folds: sources stay whole, and labels are spread as evenly as that allows.

    Sources are assigned in order of the largest share that they hold of any label, each to the fold that
    has least of its labels (greedy; equal sources in an order drawn from `seed`). There are fewer folds
    than `n_folds` if a label has fewer sources. A single source of `background` is never held out: it
    cannot be tested, but training needs it.

    Args:
        labels: label of each clip.
        sources: source of each clip.
        n_folds: largest number of folds, at least 2.
        seed: of the order of equal sources.

    Returns:
        Integers, shape (n,): the fold of each clip, from 0, or `NEVER_HELD_OUT`.

    Raises:
        DataError: a label is in one fold only, because it has a single source or shares sources with others.
    """
    names, i_labels = _indexed(labels)
    source_names, i_sources = _indexed(sources)
    n_clips = np.zeros((len(source_names), len(names)))
    # Not `n_clips[...] += 1.0`, which counts a repeated pair of indices once.
    np.add.at(n_clips, (i_sources, i_labels), 1.0)
    is_assigned = ~_holds_only_background(n_clips, names)
    n_sources = np.count_nonzero(n_clips[is_assigned], axis=0)
    _refuse_unless(n_sources >= 2, n_sources, names, "has a single source")
    folds = np.full(len(source_names), NEVER_HELD_OUT, dtype=np.intp)
    folds[is_assigned] = _assign(n_clips[is_assigned], min([n_folds, *n_sources[n_sources > 0]]), seed)
    # A source with several labels is not divided, so a label with two sources may still end up in one fold.
    n_folds_with = np.array([np.unique(folds[is_assigned & (counts > 0)]).size for counts in n_clips.T])
    _refuse_unless(n_folds_with >= 2, n_sources, names, "shares its sources with other labels")
    return folds[i_sources]


def _indexed(texts: Sequence[str]) -> tuple[list[str], IndexArray]:
    """Return the different texts, sorted, and the index of each text among them."""
    names = sorted(set(texts))
    places = {name: place for place, name in enumerate(names)}
    return names, np.array([places[text] for text in texts], dtype=np.intp)


def _holds_only_background(n_clips: Float64Array, names: Sequence[str]) -> BoolArray:
    """Return which source holds all of the background, shape (n_sources,); none if there are several."""
    holds_background = np.any(n_clips[:, [name == BACKGROUND for name in names]], axis=1)
    is_single = np.count_nonzero(holds_background) == 1
    return holds_background if is_single else np.zeros_like(holds_background)


def _refuse_unless(is_fine: BoolArray, n_sources: IndexArray, names: Sequence[str], what: str) -> None:
    # A background without an assigned source is the single one that is never held out.
    is_exempt = [name == BACKGROUND and not n for name, n in zip(names, n_sources, strict=True)]
    wrong = [name for name, fine, exempt in zip(names, is_fine, is_exempt, strict=True) if not (fine or exempt)]
    if wrong:
        listed = ", ".join(map(repr, wrong))
        hint = "add recordings from other places, days or people"
        raise DataError(f"cannot test on other recordings than trained on: {listed} {what}", hint=hint)


def _assign(n_clips: Float64Array, n_folds: int, seed: int) -> IndexArray:
    """Return the fold of each source, given its clips of each label, shape (n_sources, n_labels)."""
    # Shares of each label, shape (n_sources, n_labels): a rare label is spread as evenly as a frequent one.
    shares = n_clips / np.maximum(n_clips.sum(axis=0), 1.0)
    order = np.random.default_rng(seed).permutation(len(shares))
    # Large sources first: small ones can even out the folds afterwards.
    # The sort is stable, so that equal sources stay in the order drawn from the seed.
    order = order[np.argsort(-shares[order].max(axis=1), kind="stable")]
    # Share of each label that each fold holds so far, shape (n_folds, n_labels).
    held = np.zeros((n_folds, shares.shape[1]))
    folds = np.zeros(len(shares), dtype=np.intp)
    for i_source in order:
        # Among folds that hold equally little of its labels, the smallest one.
        folds[i_source] = np.lexsort((held.sum(axis=1), held @ shares[i_source]))[0]
        held[folds[i_source]] += shares[i_source]
    return folds
