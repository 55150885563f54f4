"""Show a board on a whole terminal, and draw it again as records come, until somebody quits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from streamgmm.client.conversation import Record
from streamgmm.monitor.board import Board
from streamgmm.monitor.drawing import ASCII, BLOCKS, Size, draw
from streamgmm.monitor.feed import Feed
from streamgmm.monitor.fields import printable
from streamgmm.monitor.keyboard import QUIT_KEYS, keyboard

FRAME_S = 0.1
"""Interval of pictures (s), about that of hops."""

STOP_S = 3.0
"""Longest wait for the feed to end (s)."""


class SharedBoard:
    """A board that one thread updates and another one draws.

    Args:
        board: used by nobody else.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lock = threading.Lock()

    def apply(self, record: Record) -> None:
        """Take in a record."""
        with self._lock:
            self._board.apply(record)

    def lose(self, reason: str, wait_s: float) -> None:
        """Take in that the connection is lost."""
        with self._lock:
            self._board.lose(reason, wait_s)

    def note(self, notice: str) -> None:
        """Show a line of the log."""
        with self._lock:
            self._board.notice = printable(notice)

    def end(self) -> None:
        """Note that nothing follows."""
        with self._lock:
            self._board.is_over = True

    def draw(self, console: Console) -> list[Text]:
        """Return the lines of the whole terminal."""
        size = Size(*console.size)
        with self._lock:
            return draw(self._board, size, BLOCKS if console.encoding.startswith("utf") else ASCII)


def show_on_screen(shared: SharedBoard, feed: Feed, console: Console) -> None:
    """Draw the board until q is pressed, or the feed fails.

    Args:
        shared: updated by `feed`.
        feed: runs in a thread of its own, and is stopped at the end.
        console: on a terminal.

    Raises:
        StreamgmmError: the feed failed.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            feed.run()
        except BaseException as error:
            failures.append(error)
        shared.end()

    thread = threading.Thread(target=run, name="feed", daemon=True)
    thread.start()
    try:
        with _log_shown_by(shared), keyboard() as wait_for_keys, _screen(console) as live:
            shown: list[Text] = []
            # The end of a recording stays on the screen; a failure is reported below it.
            while not failures:
                lines = shared.draw(console)
                if lines != shown:
                    live.update(Group(*lines), refresh=True)
                    shown = lines
                if set(wait_for_keys(FRAME_S)) & set(QUIT_KEYS):
                    break
    finally:
        feed.stop()
        thread.join(STOP_S)
    for failure in failures:
        raise failure


def _screen(console: Console) -> Live:
    # Drawn at each change; stderr stays as it is, for a failure of this program.
    return Live(
        console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, transient=True
    )


@contextmanager
def _log_shown_by(shared: SharedBoard) -> Iterator[None]:
    """Show the last line of the log on the screen, which stderr would spoil."""
    logger = logging.getLogger("streamgmm")
    handler = _NoticeHandler(shared)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


class _NoticeHandler(logging.Handler):
    def __init__(self, shared: SharedBoard) -> None:
        super().__init__(logging.WARNING)
        self._shared = shared

    def emit(self, record: logging.LogRecord) -> None:
        self._shared.note(record.getMessage())
