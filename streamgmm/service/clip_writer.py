"""The thread that writes clips, so that neither encoding nor a slow disk delays the analysis."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from streamgmm.clips.clip import Clip
from streamgmm.clips.naming import AUDIO_SUFFIX
from streamgmm.clips.store import ClipStore
from streamgmm.errors import CannotCreateError, StreamgmmError
from streamgmm.files import reason_of
from streamgmm.settings.clips import ClipsSection
from streamgmm.sinks.control import Obey
from streamgmm.sinks.sink import Message, OnFailure, Snapshot, start_thread

logger = logging.getLogger("streamgmm.clips")

MAX_WAITING = 16
"""Most clips that wait for the disk. Their audio is in memory: of one minute each at 16 kHz, 61 MB."""

RETRY_S = 60.0
"""Interval between attempts while the folder cannot be written (s)."""

PATIENCE_S = 10.0
"""Longest wait for one clip to be written, if the source can wait (s): below `watch.ALIVE_S`, after which a thread that
waits seems to hang."""

PRUNE_S = 3600.0
"""Interval at which clips that became too old are removed (s)."""

ERRORS_OF_A_FOLDER = frozenset(
    (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)
)
"""Errors that concern the folder of one label, if the directory itself is usable: of a disk, they are others."""


class ClipWriter:
    """Write clips in a thread of its own; a sink of audio, beside those of records (see `Hub`).

    What cannot be written is dropped and counted, reported once until it works again, and concerns no other output.

    Args:
        section: directory and limits.
        is_live: whether the source continues without waiting; otherwise `submit` waits for the disk, until
            `hurry`, or until the disk makes no progress any more.
        store: the folder; None for that of `section`.
        retry_s: interval between attempts while the folder cannot be written (s).

    Attributes:
        section: directory and limits.
        n_written: clips written.
        n_dropped: clips that were not.
    """

    name = "clips"
    snapshot: Snapshot | None = None
    obey: Obey | None = None
    n_clients = 0

    def __init__(
        self,
        section: ClipsSection,
        *,
        is_live: bool,
        store: ClipStore | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        self.section = section
        self.n_written = 0
        self.n_dropped = 0
        self._store = store or ClipStore(section)
        self._retry_s = retry_s
        self._changed = threading.Condition()
        self._waiting: deque[Clip] = deque()
        self._is_patient = not is_live
        self._is_closing = False
        self._is_busy = True
        # Monotonic time of the next attempt while the folder cannot be written (s); None while it can.
        self._retry_at_s: float | None = None
        self._has_warned = False
        # Folders of labels whose clips cannot be written, each reported once.
        self._bad_folders: set[str] = set()
        self._prune_at_s = time.monotonic() + PRUNE_S
        self._thread: threading.Thread | None = None

    @property
    def is_taking(self) -> bool:
        """Return whether a clip that is submitted now is likely to be written."""
        return self._may_try() and (self._is_patient or not self._is_full())

    def leave_out(self) -> None:
        """Count a clip that is not even encoded, as it would not be written."""
        with self._changed:
            self.n_dropped += 1

    def place_of(self, folder: str, stem: str) -> str:
        """Return the path of a clip for records, which are UTF-8 whatever the name of the directory is."""
        path = f"{self.section.directory.rstrip('/')}/{folder}/{stem}{AUDIO_SUFFIX}"
        return path.encode("utf-8", "backslashreplace").decode()

    def submit(self, clip: Clip) -> None:
        """Have a clip written soon; drop it if too many wait, or wait for room if the source can."""
        with self._changed:
            self._wait_until(lambda: self._is_closing or not self._is_full())
            if self._is_full() or self._is_closing or not self._may_try():
                self._drop()
                return
            self._waiting.append(clip)
            self._changed.notify_all()

    def open(self, on_failure: OnFailure) -> None:
        """Start the thread; `on_failure` is never called, as clips end no run."""
        self._thread = start_thread(self._run, self.name)

    def publish(self, message: Message) -> None:
        """Do nothing: clips hold the records that come with them."""

    def drain(self) -> None:
        """Wait until all clips are written, if the source can wait."""
        with self._changed:
            self._wait_until(lambda: not (self._waiting or self._is_busy))

    def hurry(self) -> None:
        """Drop clips from now on instead of waiting for the disk."""
        with self._changed:
            self._is_patient = False
            self._changed.notify_all()

    def reopen(self) -> None:
        """Try again at once after a failure."""
        with self._changed:
            self._retry_at_s = self._retry_at_s and time.monotonic()
            self._bad_folders.clear()

    def close(self, timeout_s: float) -> None:
        """Write what waits, for at most `timeout_s` seconds."""
        with self._changed:
            was_open, self._is_closing = not self._is_closing, True
            self._changed.notify_all()
        if self._thread is not None and was_open:
            self._thread.join(timeout_s)
            logger.info("clips.closed written=%d dropped=%d", self.n_written, self.n_dropped)

    def _run(self) -> None:
        # Before the first clip: a full folder takes a while to read.
        self._attempt(self._prepare)
        while (action := self._next_action()) is not None:
            self._attempt(action)

    def _prepare(self) -> None:
        self._store.create()
        self._store.prune()

    def _refresh(self) -> None:
        # Others may have moved or removed clips since.
        self._store.forget()
        self._store.prune()

    def _write(self, clip: Clip) -> None:
        try:
            self._store.keep(clip)
        except BaseException as error:
            self.n_dropped += 1
            if not self._concerns_a_folder(error):
                raise
            self._report_folder(clip.folder, _reason(error))
            return
        self.n_written += 1
        # Not while others wait: a disk that is too slow would be reported again and again.
        if self._has_warned and not self._waiting:
            logger.warning("clips.recovered directory=%s dropped=%d", self.section.directory, self.n_dropped)
            self._has_warned = False

    def _next_action(self) -> Callable[[], None] | None:
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            left_s = max(0.0, self._prune_at_s - time.monotonic())
            is_asked = self._changed.wait_for(lambda: self._waiting or self._is_closing, left_s)
            # Due even if clips never stop to come.
            if not is_asked or (not left_s and not self._is_closing):
                self._prune_at_s = time.monotonic() + PRUNE_S
                return self._refresh
            if self._waiting:
                clip = self._waiting.popleft()
                self._is_busy = True
                # One more has room now.
                self._changed.notify_all()
                return lambda: self._write(clip)
            return None

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
            self._retry_at_s = None
        except Exception as error:
            if not self._has_warned and not isinstance(error, OSError | StreamgmmError):
                logger.exception("clips.failed unexpectedly")
            self._suspend(_reason(error))

    def _concerns_a_folder(self, error: BaseException) -> bool:
        """Return whether only this clip, or those of its label, cannot be written."""
        # A clip that is too large says nothing of the next one.
        if isinstance(error, CannotCreateError):
            return True
        return isinstance(error, OSError) and error.errno in ERRORS_OF_A_FOLDER and self._store.is_usable

    def _report_folder(self, folder: str, reason: str) -> None:
        with self._changed:
            if folder not in self._bad_folders:
                logger.warning(
                    "clips.left_out directory=%s folder=%s: %s; those of other labels go on; not reported again",
                    *(self.section.directory, folder, reason),
                )
            self._bad_folders.add(folder)

    def _suspend(self, reason: str) -> None:
        # The folder may be another one when it comes back.
        self._store.forget()
        with self._changed:
            self.n_dropped += len(self._waiting)
            self._waiting.clear()
            self._retry_at_s = time.monotonic() + self._retry_s
            self._warn(f"{reason}; no clips until it works again, tried every {self._retry_s:g} s")
            self._changed.notify_all()

    def _drop(self) -> None:
        self.n_dropped += 1
        if self._may_try():
            self._warn("the disk is too slow, and clips are left out")

    def _warn(self, text: str) -> None:
        if not self._has_warned:
            logger.warning("clips.failed directory=%s: %s; everything else goes on", self.section.directory, text)
        self._has_warned = True

    def _wait_until(self, is_done: Callable[[], bool]) -> None:
        """Wait as long as the source can wait and the disk makes progress; call with the lock held."""
        while self._is_patient and not is_done():
            n_done = self.n_written + self.n_dropped
            self._changed.wait_for(lambda: is_done() or not self._is_patient, PATIENCE_S)
            if not is_done() and self.n_written + self.n_dropped == n_done:
                self._is_patient = False

    def _is_full(self) -> bool:
        return len(self._waiting) >= MAX_WAITING

    def _may_try(self) -> bool:
        return self._retry_at_s is None or time.monotonic() >= self._retry_at_s


def _reason(error: BaseException) -> str:
    if isinstance(error, StreamgmmError):
        return error.what
    return reason_of(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
