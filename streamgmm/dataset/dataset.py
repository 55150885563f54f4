"""Data sets for training: clips, their labels, and their sources.

Three forms are supported: a folder per class (`class_folders`), a table (`manifest`), and long recordings with labelled
segments (`strong_labels`). Every recording is read once to check it (`clips`); samples are loaded later, when clips are
measured (`loading`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from streamgmm.audio.channels import ChannelChoice
from streamgmm.dataset.backgrounds import background_entries
from streamgmm.dataset.checks import check_classes, narrow_classes, repeated_content, without_unneeded
from streamgmm.dataset.class_folders import read_folders
from streamgmm.dataset.clips import Clip, Examiner, Progress
from streamgmm.dataset.filenames import normalised_name
from streamgmm.dataset.listing import Findings, Listing, ListingKind, Skipped, distinct_labels
from streamgmm.dataset.manifest import read_manifest
from streamgmm.dataset.strong_labels import labels_of, read_event_list
from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError
from streamgmm.labels import BACKGROUND, canonical_label, sounds_like_background

MANIFEST_NAME = "manifest.csv"
EVENT_LIST_NAME = "events.tsv"
EVENT_LIST_SUFFIXES = (".tsv", ".txt")


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A data set whose recordings have been checked.

    Attributes:
        clips: the labelled clips; those of one recording are adjacent.
        labels: of the clips, sorted.
    """

    path: Path
    clips: list[Clip]
    labels: list[str]
    skipped: list[Skipped]
    warnings: list[str]
    notes: list[str]
    kind: ListingKind


def read_dataset(
    path: Path,
    *,
    min_clips: int = 2,
    channel: ChannelChoice = "mean",
    use_gaps: bool = True,
    is_strict: bool = False,
    folds: Collection[str] = (),
    backgrounds: Sequence[Path] = (),
    on_progress: Progress = lambda n_examined: None,
) -> Dataset:
    """Read the data set at `path`.

    Args:
        path: see `list_recordings`.
        min_clips: least clips of each label; `background` may have a single one.
        channel: channel to use, or the mean of all.
        use_gaps: whether the gaps between labelled segments of a recording become `background`.
        is_strict: whether damaged recordings are left out, and the same sound found twice is an error.
        folds: only recordings of these folds; empty for all.
        backgrounds: recordings, or folders of them, that are added as `background`, whatever the folds.
        on_progress: is called after each recording with the number examined so far.

    Raises:
        InputMissingError: there is nothing at `path`.
        PermissionDeniedError: it may not be read.
        DataError: its labels, its lines or its number of clips are wrong.
    """
    findings = Findings()
    listing = list_recordings(path, findings, folds)
    examiner = Examiner(findings, channel=channel, use_gaps=use_gaps, is_strict=is_strict)
    entries = chain(listing.entries, background_entries(backgrounds, findings))
    clips = list(examiner.clips(entries, on_progress))
    # From both: a class without any usable clip must be reported, and gaps and extra backgrounds add `background`.
    named = sorted({*listing.labels, *(clip.label for clip in clips)})
    clips, labels = without_unneeded(clips, named, min_clips=min_clips)
    check_classes(clips, labels, findings.skipped, findings.warnings, where=path, min_clips=min_clips)
    repeated = repeated_content(clips)
    if is_strict:
        repeated.raise_if_any(where=path)
    for problem in repeated.lines():
        findings.warn(problem)
    findings.notes.extend([*_label_notes(labels, named), *_clip_notes(clips)])
    return Dataset(
        path=path,
        clips=clips,
        labels=labels,
        skipped=sorted(findings.skipped),
        warnings=findings.warnings,
        notes=findings.notes,
        kind=listing.kind,
    )


def keep_usable(dataset: Dataset, usable: Sequence[Clip], skipped: Sequence[Skipped], *, min_clips: int) -> Dataset:
    """Return `dataset` with its `usable` clips only; measuring the others has failed.

    Raises:
        DatasetError: too little is left.
    """
    all_skipped = sorted([*dataset.skipped, *skipped])
    clips, labels = without_unneeded(usable, dataset.labels, min_clips=min_clips)
    check_classes(clips, labels, all_skipped, dataset.warnings, where=dataset.path, min_clips=min_clips)
    notes = [*dataset.notes, *_label_notes([], set(dataset.labels) - set(labels))]
    return msgspec.structs.replace(dataset, clips=clips, labels=labels, skipped=all_skipped, notes=notes)


def common_rate_hz(dataset: Dataset) -> int:
    """Return the sample rate of most recordings (Hz); the lowest of equally frequent ones."""
    # Of equally frequent rates the lowest: more recordings then contain the whole band of the model.
    n_recordings = _recordings_by_rate(dataset.clips)
    return min(n_recordings, key=lambda rate_hz: (-n_recordings[rate_hz], rate_hz))


def warn_of_narrow_band(dataset: Dataset, sample_rate_hz: int) -> Dataset:
    """Return `dataset` with a warning for each class that is too narrow-band for a model of `sample_rate_hz`."""
    narrow = narrow_classes(dataset.clips, sample_rate_hz).lines()
    return msgspec.structs.replace(dataset, warnings=[*dataset.warnings, *narrow])


def list_recordings(path: Path, findings: Findings, folds: Collection[str] = ()) -> Listing:
    """List the recordings of the data set at `path` without opening any.

    Args:
        path: a folder per class, a manifest or the folder that holds `manifest.csv`, an event list or the
            folder that holds `events.tsv`, or a folder of recordings with label tracks beside them. Where a
            folder holds both tables, recordings and folds come from the manifest, and segments from the event
            list.
        findings: collects what is left out.
        folds: only recordings of these folds; empty for all.

    Raises:
        InputMissingError: `path` does not exist.
        PermissionDeniedError: it may not be read.
        DataError: its labels or its lines are wrong, or it has no such fold.
    """
    listing = _with_meanings(_listing(path, findings), findings)
    return _of_folds(listing, folds, where=path) if folds else listing


def _with_meanings(listing: Listing, findings: Findings) -> Listing:
    """Return `listing` with synonyms replaced by the reserved labels."""
    others = [label for label in listing.labels if canonical_label(label) != label]
    for label in others:
        findings.note(f"{label!r} is used as {canonical_label(label)!r}")
    if not others:
        return listing
    # A generator: folders are still scanned one by one while their recordings are examined.
    entries = (
        entry._replace(segments=[s._replace(label=canonical_label(s.label)) for s in entry.segments])
        for entry in listing.entries
    )
    return Listing(listing.kind, sorted({canonical_label(label) for label in listing.labels}), entries)


def _of_folds(listing: Listing, folds: Collection[str], *, where: Path) -> Listing:
    entries = list(listing.entries)
    names = sorted({entry.fold for entry in entries if entry.fold is not None})
    if not names:
        raise DataError("has no folds", where=str(where), hint="name them in a column `fold` of a manifest.csv")
    missing = sorted(set(folds) - set(names))
    if missing:
        raise DataError(f"has no fold {missing[0]!r}", where=str(where), hint=f"there are {', '.join(names)}")
    chosen = [entry for entry in entries if entry.fold in folds]
    return Listing(listing.kind, sorted(labels_of(chosen)), chosen)


def _listing(path: Path, findings: Findings) -> Listing:
    try:
        is_folder = path.is_dir()
        is_present = is_folder or path.exists()
        files = _tables_in(path) if is_folder else [path]
    except PermissionError as error:
        raise PermissionDeniedError("may not be read", where=str(path), hint="check its permissions") from error
    except OSError as error:
        raise InputMissingError(f"cannot be opened: {error.strerror}", where=str(path)) from error
    if not is_present:
        raise InputMissingError("no such file or folder", where=str(path))
    if not files:
        return read_folders(path, findings)
    first, *others = [_read_table(file, findings) for file in files]
    return _joined(first, others[0], findings, where=path) if others else first


def _tables_in(folder: Path) -> list[Path]:
    """Return the manifest and the event list in `folder`, if any, in upper or lower case."""
    # Sorted, so that of several spellings the same one is taken on every file system.
    names = {normalised_name(name): name for name in sorted(os.listdir(folder))}  # noqa: PTH208
    exact = [name for name in (MANIFEST_NAME, EVENT_LIST_NAME) if name in names]
    return [folder / names[name] for name in exact]


def _joined(manifest: Listing, events: Listing, findings: Findings, *, where: Path) -> Listing:
    """Join both tables: the recordings of `manifest`, with the segments of `events` where it lists any."""
    listed = {entry.path: entry for entry in events.entries}
    entries = [
        entry._replace(segments=own.segments, has_gaps=own.has_gaps, unnamed=own.unnamed)
        if (own := listed.get(entry.path)) is not None
        else entry
        for entry in manifest.entries
    ]
    unlisted = sorted(set(listed) - {entry.path for entry in entries})
    if unlisted:
        findings.warn(f"{unlisted[0]} and {len(unlisted) - 1} more are in {EVENT_LIST_NAME} but not in {MANIFEST_NAME}")
        findings.skipped.extend(Skipped(recording, "not_in_manifest") for recording in unlisted)
    return Listing("strong", distinct_labels(labels_of(entries), where=where), entries)


def _read_table(path: Path, findings: Findings) -> Listing:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_manifest(path, findings)
    if suffix in EVENT_LIST_SUFFIXES:
        return read_event_list(path, findings)
    raise DataError("is not a data set", where=str(path), hint="name a folder, a .csv manifest or a .tsv event list")


def _recordings_by_rate(clips: Iterable[Clip]) -> Counter[int]:
    # By path first: a recording with many clips counts once.
    return Counter({clip.path: clip.sample_rate_hz for clip in clips}.values())


def _label_notes(labels: Collection[str], named: Collection[str]) -> Iterator[str]:
    """Yield notes on the `labels` that are trained, and on those that were `named` but left out."""
    for label in sorted(set(named) - set(labels)):
        yield f"{label!r} has too few usable recordings and was left out: it is a reserved label and needs none"
    for label in labels:
        if sounds_like_background(label):
            yield f"{label!r} is a class that makes events: call it {BACKGROUND!r} if it should be ignored"


def _clip_notes(clips: Sequence[Clip]) -> Iterator[str]:
    n_recordings = _recordings_by_rate(clips)
    if len(n_recordings) > 1:
        counts = ", ".join(f"{n} at {rate_hz} Hz" for rate_hz, n in sorted(n_recordings.items()))
        yield f"recordings differ in sample rate and are resampled to one: {counts}"
    gaps_s = [clip.duration_s for clip in clips if clip.is_gap]
    if gaps_s:
        yield (
            f"{len(gaps_s)} gaps outside all labels, {sum(gaps_s):.0f} s in total, are used as {BACKGROUND!r}: "
            "label everything that must be distinguished from it"
        )
