"""Clips by the id of their event: a path comes from a listing of the folder, never from a request."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from streamgmm.clips.naming import id_in_name, id_of
from streamgmm.clips.reviewing import Judgement, judge, list_candidates, list_judged

MAX_SHARE = 0.1
"""Largest share of the time that listing the folder may take, however many ids are asked for that are not there."""


class Found(NamedTuple):
    """A clip.

    Attributes:
        path: its audio.
        label: label of its folder.
        judgement: the decision of a reviewer; None if there is none.
    """

    path: Path
    label: str
    judgement: Judgement | None


class AlreadyJudgedError(Exception):
    """Another reviewer was faster.

    Args:
        judgement: the other decision.
    """

    def __init__(self, judgement: Judgement) -> None:
        super().__init__()
        self.judgement = judgement


class ClipIndex:
    """Find and judge the clips of a folder, which others may change at any time; not for several threads at once.

    Args:
        directory: folder of all clips.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._clips: dict[str, Found] = {}
        self._next_listing_s = 0.0

    def find(self, event_id: str) -> Found | None:
        """Return the clip of an event; None if there is none.

        Raises:
            StreamgmmError, OSError: the folder cannot be read.
        """
        key = id_in_name(event_id)
        found = self._clips.get(key)
        is_gone = found is None or not os.path.lexists(found.path)
        if is_gone and time.monotonic() >= self._next_listing_s:
            self._list()
            found = self._clips.get(key)
        return found

    def judge(self, event_id: str, judgement: Judgement) -> Judgement | None:
        """Move the clip of an event to where a judgement has its place.

        Returns:
            The judgement with its label; None if there is no such clip.

        Raises:
            AlreadyJudgedError: another reviewer was faster.
            StreamgmmError, OSError: the label is not valid, or the clip cannot be moved.
        """
        found = self.find(event_id)
        if found is not None and found.judgement is None:
            target = judge(self._directory, found.path, found.label, judgement)
            if target is not None:
                done = Judgement(judgement.verdict, target.parent.name)
                self._clips[id_in_name(event_id)] = Found(target, target.parent.name, done)
                return done
            # Somebody else has just moved or removed it, and may have judged it.
            self._list()
            found = self._clips.get(id_in_name(event_id))
        if found is not None and found.judgement is not None:
            raise AlreadyJudgedError(found.judgement)
        return None

    def _list(self) -> None:
        begin_s = time.monotonic()
        try:
            self._clips = {}
            for clip in list_candidates(self._directory):
                self._add(clip.path, clip.label, None)
            for path, judgement in list_judged(self._directory):
                self._add(path, judgement.label, judgement)
        finally:
            end_s = time.monotonic()
            self._next_listing_s = end_s + (end_s - begin_s) * (1.0 / MAX_SHARE - 1.0)

    def _add(self, path: Path, label: str, judgement: Judgement | None) -> None:
        if (key := id_of(path.stem)) is not None:
            self._clips[key] = Found(path, label, judgement)
