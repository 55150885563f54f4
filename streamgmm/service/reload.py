"""Settings and model read again while the daemon listens: all of the new, or all of the old."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import msgspec

from streamgmm.config import Config, Section
from streamgmm.errors import ConfigError, StreamgmmError
from streamgmm.model.model import Model
from streamgmm.service.channel import ChannelPlan

logger = logging.getLogger("streamgmm.reload")

RELOADABLE = frozenset(
    {"sources", "model", "decision", "output.windows", "output.updates", "output.heartbeat_s", "features", "training"}
)
"""Settings that a running daemon can change, or does not use at all; every other one needs a restart."""

SETTLE_S = 0.1
"""Between two readings, which must agree: a file that is being written is not taken for finished."""

MAX_READINGS = 20
"""A file that is never at rest is refused after so many readings, two seconds."""


class Loaded(NamedTuple):
    """What one reading gave.

    Attributes:
        config: the settings.
        plans: the sources that they name, each with its model.
    """

    config: Config
    plans: tuple[ChannelPlan, ...]

    @property
    def models(self) -> dict[str, Model]:
        """The model of each source."""
        return {plan.source.name: plan.setup.model for plan in self.plans}

    def is_same(self, other: Loaded) -> bool:
        """Return whether `other` would decide alike."""
        setups = zip(self.plans, other.plans, strict=False)
        is_alike = all(own.setup.is_same(theirs.setup) for own, theirs in setups)
        return self.config == other.config and self.models.keys() == other.models.keys() and is_alike


Reading = Loaded | StreamgmmError


class Reloader:
    """Reloads when it is asked to, in a thread of its own; what is asked meanwhile is answered by one more reload.

    Args:
        load: reads settings and model as the start of the program did.
        adopt: makes the daemon go on with others.
        current: what the daemon was started with.
        announce: entered while a reload goes on.
        reopen: opens output files anew, whatever becomes of the reload: they may have been rotated.
        on_outcome: is told after each reload why it was refused; empty if it was not.
        settle_s: seconds between two readings.

    Attributes:
        n_reloaded: how often the daemon went on with what was read.
        n_refused: how often it kept the old instead.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        adopt: Callable[[Sequence[ChannelPlan]], None],
        current: Loaded,
        *,
        announce: Callable[[], AbstractContextManager[None]] = nullcontext,
        reopen: Callable[[], None] = lambda: None,
        on_outcome: Callable[[str], None] = lambda outcome: None,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._load = load
        self._adopt = adopt
        self._current = current
        self._announce = announce
        self._reopen = reopen
        self._on_outcome = on_outcome
        self._settle_s = settle_s
        self._ended = threading.Event()
        # Not an event: its lock could be held by the very code that a signal handler interrupts.
        self._requests: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.n_reloaded = 0
        self.n_refused = 0

    def request(self) -> None:
        """Ask for a reload; from any thread or a signal handler."""
        self._requests.put(None)

    def run(self) -> None:
        """Serve requests until `end`."""
        while not self._ended.is_set():
            self._requests.get()
            if not self._ended.is_set():
                with self._announce():
                    self._reopen()
                    self._reload()

    def end(self) -> None:
        """Make `run` return soon; from any thread."""
        self._ended.set()
        self._requests.put(None)

    def _reload(self) -> None:
        try:
            loaded = self._read_at_rest()
            if loaded is None:
                return
            changes = self._take(loaded)
        except StreamgmmError as error:
            reason = "; ".join(str(error).splitlines())
            logger.error("config.reload_failed reason=%s", reason)
            self._refuse(reason)
        except Exception as error:
            # A bug in reading settings, or a lack of memory, is no reason to stop listening.
            logger.exception("config.reload_failed unexpectedly")
            self._refuse(f"{type(error).__name__}: {error}")
        else:
            self.n_reloaded += 1
            names = ",".join(sorted({model.name for model in loaded.models.values()}))
            logger.info("config.reload_ok model=%s changed=%s", names, changes)
            self._on_outcome("")

    def _refuse(self, reason: str) -> None:
        self.n_refused += 1
        self._on_outcome(f"reload refused, the old settings go on: {reason}")

    def _take(self, loaded: Loaded) -> str:
        """Go on with what was read; returns what is different now."""
        if loaded.is_same(self._current):
            return "nothing"
        changed_keys = list(list_changes(self._current.config, loaded.config))
        refuse_fixed(changed_keys)
        self._adopt(loaded.plans)
        before, now = ({name: model.sha256 for name, model in one.models.items()} for one in (self._current, loaded))
        is_other_model = any(now[name] != before[name] for name in now.keys() & before.keys())
        self._current = loaded
        return ",".join([*(["model"] if is_other_model else []), *changed_keys])

    def _read_at_rest(self) -> Loaded | None:
        """What two readings in a row agree on; None if the end came first.

        Raises:
            StreamgmmError: they agree on what is wrong, or no two agree.
        """
        reading = self._read()
        for _ in range(MAX_READINGS):
            if self._ended.wait(self._settle_s):
                return None
            before, reading = reading, self._read()
            if _agree(before, reading):
                if isinstance(reading, StreamgmmError):
                    raise reading
                return reading
        raise ConfigError(["settings or model change while they are read; write beside them and rename"])

    def _read(self) -> Reading:
        self._forget_requests()
        try:
            return self._load()
        except StreamgmmError as error:
            return error

    def _forget_requests(self) -> None:
        """What was asked for until now will be answered by the reading that follows."""
        while not self._requests.empty():
            self._requests.get()


def _agree(one: Reading, other: Reading) -> bool:
    if isinstance(one, StreamgmmError) or isinstance(other, StreamgmmError):
        return str(one) == str(other)
    return one.is_same(other)


def list_changes(before: Section, after: Section, prefix: str = "") -> Iterator[str]:
    """The dotted keys whose values differ, e.g. `decision.hangover_s`."""
    for field in msgspec.structs.fields(type(before)):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new:
            continue
        if isinstance(old, Section) and isinstance(new, Section):
            yield from list_changes(old, new, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


def refuse_fixed(keys: list[str]) -> None:
    """Refuse changes that a running daemon cannot make, all of them at once.

    Raises:
        ConfigError: with every key of them.
    """
    fixed = [key for key in keys if not {key, key.partition(".")[0]} & RELOADABLE]
    if fixed:
        raise ConfigError([f"{key}: needs restart" for key in fixed])
