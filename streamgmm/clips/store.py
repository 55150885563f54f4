"""The folder of all clips, within its limits: age, size, and number per label."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from streamgmm.clips.clip import Clip
from streamgmm.clips.naming import AUDIO_SUFFIX, RECORD_SUFFIX, folders_of, score_of
from streamgmm.errors import CannotCreateError
from streamgmm.files import replace_atomically
from streamgmm.settings.clips import ClipsSection

DAY_S = 86400.0
RECORD_BYTES = 2048
"""Size that is counted for a record, at least (bytes): to ask for that of each would double the time of a start."""

ORPHAN_S = 3600.0
"""Age (s) at which a record without its audio, from a crash between the two files, is removed."""

STEADY_S = 3600.0
"""Time for which the wall clock must not have been set before clips are removed by age (s): while it is wrong, all of
them may seem too old."""

MAX_STEP_S = 60.0
"""Step from which the wall clock counts as set (s); a slow or fast one differs less in an hour."""

FIRST_DATE_S = 1577836800.0
"""2020-01-01 UTC: a clip with an earlier date is from before the clock was set, and its age is not known."""

FOLDER_MODE = 0o700
"""Mode of a new directory of clips: they hold whatever is said in the room. Folders in it get the mode it has."""


class Kept(NamedTuple):
    """One clip on the disk; compares by score, then by date.

    Attributes:
        score: score in its name.
        modified_s: date of the file (s since the epoch).
        n_bytes: size of the audio, and `RECORD_BYTES`.
    """

    score: float
    modified_s: float
    n_bytes: int


class ClipStore:
    """Write clips into a folder, and remove the worst so that the limits hold at every moment.

    The new clip always has a place, so that an event names a file that exists; of the others, the lowest score goes
    first. The folder is read again after `forget`, so that it may be changed by others.

    Args:
        section: directory and limits.
        clock: wall-clock time (s since the epoch).
        steady_clock: monotonic time (s).
    """

    def __init__(
        self,
        section: ClipsSection,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = Path(section.directory)
        self._max_bytes = section.max_mib * 2**20
        self._max_per_label = section.max_per_label
        self._max_age_s = section.max_age_days * DAY_S or float("inf")
        self._clock = clock
        self._steady_clock = steady_clock
        # Wall-clock time at which the steady clock read 0, and since when that has been so.
        self._epoch_s = clock() - steady_clock()
        self._steady_since_s = steady_clock()
        # Clips by the path of their folder and their name; None if it has to be read from the disk.
        self._clips: dict[Path, dict[str, Kept]] | None = None
        self._n_bytes = 0

    @property
    def is_usable(self) -> bool:
        """Return whether the directory itself is there and may be written, whatever is wrong with a folder in it."""
        return self._root.is_dir() and os.access(self._root, os.W_OK | os.X_OK)

    @property
    def n_bytes(self) -> int:
        """Size of all clips, as far as they were read."""
        return self._n_bytes

    def create(self) -> None:
        """Make the directory if it is missing; later it has to exist, as it may be on a disk that was removed.

        Raises:
            OSError: it cannot be made.
        """
        self._root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    def forget(self) -> None:
        """Read the folder again before the next change."""
        self._clips = None

    def keep(self, clip: Clip) -> None:
        """Write a clip and its record, after removing what exceeds the limits.

        Raises:
            OSError: the folder cannot be read or written, or the disk is full.
            CannotCreateError: the clip alone exceeds the limit on the size.
        """
        audio, record = clip.encode(), clip.describe()
        if self._clips is None:
            self.prune()
        folder = self._root / clip.folder
        stem = clip.stem
        n_bytes = len(audio) + max(len(record), RECORD_BYTES)
        if n_bytes > self._max_bytes:
            raise CannotCreateError(f"a clip of {n_bytes} bytes exceeds clips.max_mib", where=str(folder))
        # Each folder by itself, with the mode of the directory, which must exist.
        mode = stat.S_IMODE(self._root.stat().st_mode)
        for path in reversed([folder, *folder.parents][: len(Path(clip.folder).parts)]):
            path.mkdir(mode=mode, exist_ok=True)
        self._make_room(folder, stem, n_bytes)
        try:
            # The audio last: a clip exists once its audio has its name.
            replace_atomically(folder / f"{stem}{RECORD_SUFFIX}", record)
            replace_atomically(folder / f"{stem}{AUDIO_SUFFIX}", audio)
        except BaseException:
            with suppress(OSError):
                (folder / f"{stem}{RECORD_SUFFIX}").unlink()
            raise
        self._known().setdefault(folder, {})[stem] = Kept(score_of(stem) or 0.0, self._clock(), n_bytes)
        self._n_bytes += n_bytes

    def prune(self) -> None:
        """Remove what exceeds the limits as it is; by age only once the clock can be trusted (see `STEADY_S`).

        Raises:
            OSError: the folder cannot be read, or a clip not removed.
        """
        oldest_s = self._clock() - self._max_age_s if self._is_clock_steady() else FIRST_DATE_S
        for folder, clips in self._known().items():
            for stem in [stem for stem, kept in clips.items() if FIRST_DATE_S <= kept.modified_s < oldest_s]:
                self._remove(folder, stem)
            if len(clips) > self._max_per_label:
                # In one sort: a lower limit may leave many to remove.
                for stem in sorted(clips, key=clips.__getitem__)[: -self._max_per_label]:
                    self._remove(folder, stem)
        if self._n_bytes > self._max_bytes:
            self._remove_worst(self._max_bytes)

    def _is_clock_steady(self) -> bool:
        """Return whether the wall clock has not been set for `STEADY_S`."""
        now_s = self._steady_clock()
        epoch_s = self._clock() - now_s
        if abs(epoch_s - self._epoch_s) > MAX_STEP_S:
            self._steady_since_s = now_s
        self._epoch_s = epoch_s
        return now_s - self._steady_since_s >= STEADY_S

    def _make_room(self, folder: Path, stem: str, n_bytes: int) -> None:
        clips = self._known().get(folder, {})
        # The same name again, e.g. of the same recording analysed twice, is replaced.
        if stem in clips:
            self._remove(folder, stem)
        while len(clips) >= self._max_per_label:
            self._remove(folder, min(clips, key=clips.__getitem__))
        if self._n_bytes + n_bytes > self._max_bytes:
            self._remove_worst(self._max_bytes - n_bytes)

    def _remove_worst(self, max_bytes: int) -> None:
        """Remove the lowest scores of all until the others have at most `max_bytes`."""
        each = [(kept, folder, stem) for folder, clips in self._known().items() for stem, kept in clips.items()]
        for _, folder, stem in sorted(each):
            if self._n_bytes <= max_bytes:
                break
            self._remove(folder, stem)

    def _remove(self, folder: Path, stem: str) -> None:
        (folder / f"{stem}{AUDIO_SUFFIX}").unlink(missing_ok=True)
        (folder / f"{stem}{RECORD_SUFFIX}").unlink(missing_ok=True)
        self._n_bytes -= self._known()[folder].pop(stem).n_bytes

    def _known(self) -> dict[Path, dict[str, Kept]]:
        if self._clips is None:
            clips = {folder: self._read(folder) for folder in folders_of(self._root)}
            self._n_bytes = sum(kept.n_bytes for own in clips.values() for kept in own.values())
            self._clips = clips
        return self._clips

    def _read(self, folder: Path) -> dict[str, Kept]:
        """Return the clips of a folder by name; other files are left alone."""
        records: set[str] = set()
        clips: dict[str, Kept] = {}
        n_audio, n_record = len(AUDIO_SUFFIX), len(RECORD_SUFFIX)
        # Without a call that is not needed: there may be a hundred thousand.
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(RECORD_SUFFIX):
                    records.add(name[:-n_record])
                elif name.endswith(AUDIO_SUFFIX) and (score := score_of(name[:-n_audio])) is not None:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # Somebody has removed it meanwhile.
                    clips[name[:-n_audio]] = Kept(score, status.st_mtime, status.st_size + RECORD_BYTES)
        for stem in filter(score_of, records - clips.keys()):
            self._remove_orphan(folder / f"{stem}{RECORD_SUFFIX}")
        return clips

    def _remove_orphan(self, record: Path) -> None:
        with suppress(FileNotFoundError):
            if self._clock() - record.lstat().st_mtime > ORPHAN_S:
                record.unlink()
