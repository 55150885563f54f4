"""Files that keep what was learnt of rooms over restarts, written by a thread that a slow disk may hold up."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path

from streamgmm.audio.choosing import PlannedSource
from streamgmm.errors import StreamgmmError
from streamgmm.files import check_replaceable, path_kind, read_regular_file, reason_of, replace_atomically
from streamgmm.model.model import Model
from streamgmm.room.mixture import RoomMixture
from streamgmm.room.state import MAX_STATE_BYTES, pack, unpack
from streamgmm.service.session import Session, Setup, begin_session

logger = logging.getLogger("streamgmm.room")

SUFFIX = ".room"

MAX_FILES = 64
"""Most files in the directory: each new model makes one per source, and the oldest are removed."""


def state_directory() -> Path | None:
    """Return the directory for the state of a run: that of the service, else that of the user; None without a home."""
    # systemd sets it where the unit has StateDirectory=, to a list with colons if there are several.
    if service := os.environ.get("STATE_DIRECTORY"):
        return Path(service.partition(":")[0])
    home = os.environ.get("HOME")
    state_home = os.environ.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else None)
    # Relative paths are to be ignored (XDG Base Directory Specification).
    return Path(state_home) / "streamgmm" if state_home and Path(state_home).is_absolute() else None


SAVE_S = 600.0
"""Sound that is learnt between two writes (s)."""


class RoomKeeper:
    """Reads and writes a file per source and model; a file that cannot be used costs one log line and nothing else.

    Args:
        directory: where the files are, created when needed; None to keep nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        # What is to be written, by path: only the latest, so that a disk that hangs costs no memory.
        self._pending: dict[Path, bytes] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_over = False
        self._has_failed = False

    def recall(self, mixture: RoomMixture, model: Model, source: str) -> None:
        """Continue in `mixture` from what was kept for this source and model, if anything usable was."""
        if self._directory is None:
            return
        path = self._path(model, source)
        with self._lock:
            data = self._pending.get(path)
        try:
            if data is None:
                if path_kind(path) == "nothing":
                    return
                data = read_regular_file(path, MAX_STATE_BYTES)
            unpack(data, mixture, model, source)
        except StreamgmmError as error:
            logger.warning(
                "room.not_read source=%s: %s %s; the room is learnt from the beginning",
                *(source, path, error.what),
            )

    def keep(self, mixture: RoomMixture, model: Model, source: str) -> None:
        """Have the state of `mixture` written soon; never waits for the disk."""
        if self._directory is not None:
            data = pack(mixture, model, source)
            with self._lock:
                self._pending[self._path(model, source)] = data
            self._wake.set()

    def run(self) -> None:
        """Write what `keep` was given, until `end`; for a thread of its own."""
        while not self._is_over:
            self._wake.wait()
            self._wake.clear()
            self._write_all()
        # What came while the last of it was being written.
        self._write_all()

    def end(self) -> None:
        """Make `run` return once everything is written."""
        self._is_over = True
        self._wake.set()

    def _path(self, model: Model, source: str) -> Path:
        digest = hashlib.sha256(f"{model.sha256} {source}".encode("utf-8", "surrogateescape")).hexdigest()
        assert self._directory is not None
        return self._directory / f"{digest[:32]}{SUFFIX}"

    def _write_all(self) -> None:
        with self._lock:
            pending = dict(self._pending)
        for path, data in pending.items():
            self._write(path, data)
            with self._lock:
                # A later state may have come meanwhile; one that could not be written is not tried again.
                if self._pending.get(path) is data:
                    del self._pending[path]

    def _write(self, path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_replaceable(path)
            replace_atomically(path, data)
            self._has_failed = False
            _remove_oldest(path.parent)
        except (OSError, ValueError, StreamgmmError) as error:
            reason = error.what if isinstance(error, StreamgmmError) else reason_of(error)
            # Once, until it works again: the next attempt is minutes away, and would say the same.
            if not self._has_failed:
                logger.warning(
                    "room.not_kept: %s cannot be written: %s; what is learnt of the room is lost when the run ends; "
                    "%s, or set decision.room_adaptation to false",
                    *(path, reason, _remedy(path, error)),
                )
            self._has_failed = True


def _remedy(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room on the disk"
    with suppress(OSError):
        if path.exists() and not path.is_file():
            return "remove what is there"
    return "make the directory writable (StateDirectory= of a service, XDG_STATE_HOME)"


class SourceRoom:
    """The room of one source: begins sessions that learn it, if it is to be learnt, and keeps what they learn.

    Args:
        source: the source. A recording is never learnt from: it has to give the same records each time.
        keeper: reads and writes the files; None if nothing is to be learnt.
    """

    def __init__(self, source: PlannedSource, keeper: RoomKeeper | None) -> None:
        self._source = source.name
        self._keeper = keeper if source.is_live and source.is_device else None
        self._n_kept_hops = 0

    def begin_session(self, setup: Setup, run_id: str) -> Session:
        """Make a session (see `session.begin_session`) that learns the room, if it is to be learnt."""
        learns_room = self._keeper is not None and setup.config.decision.room_adaptation
        return begin_session(setup, run_id, learns_room=learns_room)

    def recall(self, session: Session) -> None:
        """Continue from what was kept of the room; call when no other channel of this source keeps anything more."""
        room = session.pipeline.room
        if self._keeper and room:
            self._keeper.recall(room.mixture, session.model, self._source)
            self._n_kept_hops = room.mixture.n_hops

    def hand_over(self, before: Session, after: Session) -> None:
        """Continue in `after` what `before` has learnt, if both have the same model; keep it in any case."""
        self.keep(before)
        learnt, room = before.pipeline.room, after.pipeline.room
        if learnt and room and before.model.sha256 == after.model.sha256:
            room.mixture.restore(learnt.mixture.settled, learnt.mixture.fresh, learnt.mixture.n_hops)
        self._n_kept_hops = room.mixture.n_hops if room else 0

    def keep_if_due(self, session: Session) -> None:
        """Keep what was learnt from time to time; call after each hop."""
        room = session.pipeline.room
        if room and (room.mixture.n_hops - self._n_kept_hops) * room.mixture.hop_s >= SAVE_S:
            self.keep(session)

    def keep(self, session: Session) -> None:
        """Keep what was learnt, if it is more than what was kept last."""
        room = session.pipeline.room
        if self._keeper and room and room.mixture.n_hops != self._n_kept_hops:
            self._keeper.keep(room.mixture, session.model, self._source)
            self._n_kept_hops = room.mixture.n_hops


def _remove_oldest(directory: Path) -> None:
    """Remove all but the latest `MAX_FILES` files."""
    files = list(directory.glob(f"*{SUFFIX}"))
    if len(files) > MAX_FILES:
        for path in sorted(files, key=lambda path: path.lstat().st_mtime_ns)[:-MAX_FILES]:
            path.unlink(missing_ok=True)
