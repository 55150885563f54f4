"""Review of clips by a person: each is moved into a folder of training clips, by one reviewer only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from streamgmm.clips.info import ClipInfo
from streamgmm.clips.naming import (
    ACCEPTED,
    AUDIO_SUFFIX,
    NEAR_MISSES,
    NOT_MINE,
    RECORD_SUFFIX,
    ClipKind,
    folders_of,
    label_of_folder,
    score_of,
    subfolders,
)
from streamgmm.errors import InputMissingError, OutputError, PermissionDeniedError, StreamgmmError, UsageError
from streamgmm.files import path_kind, read_regular_file, reason_of
from streamgmm.label_folders import folder_for
from streamgmm.labels import BACKGROUND, SILENCE, UNKNOWN, can_be_label, check_label, check_labels

_MAX_RECORD_BYTES = 2**16

Verdict = Literal["accept", "reject", "not_mine"]
"""Decisions on a clip: a sound of a label, nothing to report, or a sound that is right and not the user's own."""


class Judgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The decision of a reviewer.

    Attributes:
        verdict: the decision.
        label: label of the sound; empty for that of the clip.
    """

    verdict: Verdict
    label: str = ""


class Candidate(NamedTuple):
    """A clip that nobody has reviewed.

    Attributes:
        path: its audio.
        kind: reason of the clip.
        label: label of the sound; `unknown` for one that fits no label.
        score: highest score of the sound.
    """

    path: Path
    kind: ClipKind
    label: str
    score: float

    def info(self) -> ClipInfo | None:
        """Read the record beside the clip; None if there is none that can be read."""
        return read_info(self.path)


def read_info(clip: Path) -> ClipInfo | None:
    """Read the record beside the clip `clip`; return None if there is none that can be read."""
    with suppress(StreamgmmError, msgspec.DecodeError):
        content = read_regular_file(clip.with_suffix(RECORD_SUFFIX), _MAX_RECORD_BYTES)
        return msgspec.json.decode(content, type=ClipInfo)
    return None


def list_candidates(directory: Path) -> list[Candidate]:
    """Return the clips below `directory` that nobody has reviewed.

    Doubtful ones first: events with the lowest scores, then near misses with the highest, then unknown sounds.

    Raises:
        InputMissingError: there is no such folder, or it cannot be read.
    """
    if path_kind(directory) != "folder":
        raise InputMissingError("is not a folder", where=str(directory), hint="name that of clips.directory")
    try:
        return sorted(_candidates(directory), key=_doubt)
    except OSError as error:
        raise InputMissingError(f"cannot be read: {reason_of(error)}", where=str(directory)) from error


def _candidates(directory: Path) -> Iterator[Candidate]:
    for folder in folders_of(directory):
        kind: ClipKind = "event"
        if folder.parent.name == NEAR_MISSES and folder.parent.parent == directory:
            kind = "near_miss"
        elif folder.name == UNKNOWN:
            kind = "unknown"
        label = label_of_folder(folder.name)
        for path in folder.iterdir():
            score = score_of(path.stem) if path.suffix == AUDIO_SUFFIX else None
            if score is not None:
                yield Candidate(path, kind, label or _recorded_label(path), score)


def _recorded_label(clip: Path) -> str:
    """Return the label in the record of a clip; the name of its folder, from which it differs, if there is none."""
    info = read_info(clip)
    return clip.parent.name if info is None else info.label


def _doubt(clip: Candidate) -> tuple[int, float, str]:
    if clip.kind == "event":
        return 0, clip.score, clip.path.name
    return (1 if clip.kind == "near_miss" else 2), -clip.score, clip.path.name


def accepted_folder(directory: Path) -> Path:
    """Return the folder of accepted clips, with a folder of each label, for `train`."""
    return directory / ACCEPTED


def foreign_folder(directory: Path) -> Path:
    """Return the folder of sounds that are right and not the user's own, which no training reads."""
    return directory / NOT_MINE


def judge(directory: Path, clip: Path, label: str, judgement: Judgement) -> Path | None:
    """Move a clip to where a judgement has its place, so that training reads it or does not.

    Args:
        directory: folder of all clips.
        clip: audio of a clip that nobody has reviewed.
        label: label of the clip; `unknown` for a sound that fits no label.
        judgement: the decision.

    Returns:
        Its new path; None if it is gone.

    Raises:
        DataError, UsageError: the label is not valid, is no class or differs from a known one only by case or Unicode
            form, or an unknown sound is accepted without a label.
        StreamgmmError: the clip cannot be moved; it is where it was.
    """
    if judgement.verdict == "not_mine":
        return move_clip(clip, folder_for(foreign_folder(directory), judgement.label or label))
    if judgement.verdict == "reject":
        if judgement.label not in ("", BACKGROUND):
            raise UsageError(f"a clip that is rejected has no label, but '{judgement.label}' is given")
        return move_clip(clip, folder_for(accepted_folder(directory), BACKGROUND))
    if not judgement.label and label == UNKNOWN:
        raise UsageError("an unknown sound is accepted only with a label")
    wanted = _check_class(judgement.label or label, {label, *_known_labels(directory)})
    return move_clip(clip, folder_for(accepted_folder(directory), wanted))


def _check_class(text: str, known: Iterable[str]) -> str:
    """Return `text` as a label that training can learn beside those it may meet, of which no two look alike."""
    wanted = check_label(text)
    if wanted in (UNKNOWN, SILENCE):
        hint = f"accept it as a class, or reject it, which makes it {BACKGROUND}"
        raise UsageError(f"'{wanted}' is an answer and not a class", hint=hint)
    for other in known:
        if other != wanted and can_be_label(other):
            check_labels([other, wanted])
    return wanted


def _known_labels(directory: Path) -> Iterator[str]:
    """Yield the labels of all clips, as far as the names of their folders tell them."""
    with suppress(OSError):  # nothing is accepted yet
        yield from (folder.name for folder in subfolders(accepted_folder(directory)))
    with suppress(OSError):
        yield from filter(None, (label_of_folder(folder.name) for folder in folders_of(directory)))


def list_judged(directory: Path) -> Iterator[tuple[Path, Judgement]]:
    """Yield the clips below `directory` that somebody has reviewed, and what was decided.

    Raises:
        OSError: a folder cannot be read.
    """
    for parent in (accepted_folder(directory), foreign_folder(directory)):
        for folder in subfolders(parent) if parent.is_dir() else []:
            verdict: Verdict = "accept" if folder.name != BACKGROUND else "reject"
            if parent.name == NOT_MINE:
                verdict = "not_mine"
            for path in folder.iterdir():
                if path.suffix == AUDIO_SUFFIX and score_of(path.stem) is not None:
                    yield path, Judgement(verdict, folder.name)


def move_clip(clip: Path, folder: Path) -> Path | None:
    """Move a clip and its record into `folder`; return its new path, or None if it is gone.

    The rename of the audio is atomic: of several reviewers, one gets the clip, and the others None.

    Raises:
        PermissionDeniedError, OutputError: the clip cannot be moved; it is where it was.
    """
    target = folder / clip.name
    n = 1
    # The same recording, analysed again, gives the same name.
    while target.exists():
        n += 1
        target = folder / f"{clip.stem}-{n}{AUDIO_SUFFIX}"
    try:
        clip.rename(target)
    except FileNotFoundError as error:
        if folder.is_dir():
            return None
        raise OutputError("cannot be moved: the folder has vanished", where=str(folder)) from error
    except PermissionError as error:
        raise PermissionDeniedError("may not be moved", where=str(clip), hint="check who may write there") from error
    except OSError as error:
        raise OutputError(f"cannot be moved: {reason_of(error)}", where=str(clip)) from error
    # Less important than the audio: a clip without its record is a training clip all the same.
    with suppress(OSError):
        clip.with_suffix(RECORD_SUFFIX).rename(target.with_suffix(RECORD_SUFFIX))
    return target
