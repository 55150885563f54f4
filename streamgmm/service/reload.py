"""Reload settings and models while the daemon runs: all of the new ones are adopted, or all of the old ones kept."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from streamgmm.errors import ConfigError, StreamgmmError
from streamgmm.model.model import Model
from streamgmm.service.context import ChannelPlan
from streamgmm.settings.config import Config
from streamgmm.settings.schema import fields_of, is_section, reloads
from streamgmm.settings.section import Section

logger = logging.getLogger("streamgmm.reload")

SETTLE_S = 0.1
"""Interval between two readings (s), which must agree, so that a file is not used while it is being written."""

MAX_READINGS = 20
"""Number of readings, about two seconds, after which a file that keeps changing is rejected."""


class Loaded(NamedTuple):
    """Settings and models from one reading.

    Attributes:
        config: the settings.
        plans: the sources that the settings name, each with its model.
    """

    config: Config
    plans: tuple[ChannelPlan, ...]

    @property
    def models(self) -> dict[str, Model]:
        """Model of each source, by the name of the source."""
        return {plan.source.name: plan.setup.model for plan in self.plans}

    def is_same(self, other: Loaded) -> bool:
        """Return whether `other` would give the same decisions."""
        # Lengths may differ: the names are compared too.
        setups = zip(self.plans, other.plans, strict=False)
        is_alike = all(own.setup.is_same(theirs.setup) for own, theirs in setups)
        return self.config == other.config and self.models.keys() == other.models.keys() and is_alike


class ReloadListener(NamedTuple):
    """Callbacks of a reload, all called from its thread.

    Attributes:
        announce: context that is active during a reload.
        reopen: reopens output files, which may have been rotated, whether or not the reload succeeds.
        on_outcome: receives the reason why a reload was rejected, or an empty text after a successful one.
    """

    announce: Callable[[], AbstractContextManager[None]] = nullcontext
    reopen: Callable[[], None] = lambda: None
    on_outcome: Callable[[str], None] = lambda outcome: None


Reading = Loaded | StreamgmmError


class Reloader:
    """Reload on request, in a dedicated thread; requests during a reload cause one more reload.

    Args:
        load: reads settings and models as at the start of the program.
        adopt: makes the daemon continue with new plans.
        current: settings and models that the daemon was started with.
        listener: callbacks of each reload.
        settle_s: interval between two readings (s).

    Attributes:
        n_reloaded: number of reloads that were adopted.
        n_refused: number of reloads that were rejected.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        adopt: Callable[[Sequence[ChannelPlan]], None],
        current: Loaded,
        listener: ReloadListener,
        *,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._load = load
        self._adopt = adopt
        self._current = current
        self._listener = listener
        self._settle_s = settle_s
        self._ended = threading.Event()
        # Not an Event: a signal handler would deadlock if it interrupted code that holds the event's lock.
        self._requests: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.n_reloaded = 0
        self.n_refused = 0

    def request(self) -> None:
        """Request a reload; from any thread or a signal handler."""
        self._requests.put(None)

    def run(self) -> None:
        """Serve requests until `end`."""
        while not self._ended.is_set():
            self._requests.get()
            if not self._ended.is_set():
                with self._listener.announce():
                    self._listener.reopen()
                    self._reload()

    def end(self) -> None:
        """Make `run` return soon; may be called from any thread."""
        self._ended.set()
        # Wakes `run`, which may be blocked in the queue.
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
            # A bug in reading settings, or a lack of memory, must not stop a daemon that works.
            logger.exception("config.reload_failed unexpectedly")
            self._refuse(f"{type(error).__name__}: {error}")
        else:
            self.n_reloaded += 1
            names = ",".join(sorted({model.name for model in loaded.models.values()}))
            logger.info("config.reload_ok model=%s changed=%s", names, changes)
            self._listener.on_outcome("")

    def _refuse(self, reason: str) -> None:
        self.n_refused += 1
        self._listener.on_outcome(f"reload refused, the old settings go on: {reason}")

    def _take(self, loaded: Loaded) -> str:
        """Adopt what was read, and return the changed keys, separated by commas."""
        if loaded.is_same(self._current):
            # Even so: sources that failed are tried again.
            self._adopt(loaded.plans)
            return "nothing"
        changes = list(list_changes(self._current.config, loaded.config))
        # Before anything is adopted, so that a reload takes effect as a whole or not at all.
        refuse_fixed(changes)
        self._adopt(loaded.plans)
        before, now = ({name: model.sha256 for name, model in one.models.items()} for one in (self._current, loaded))
        # By content: a model may be replaced under the same name.
        is_other_model = any(now[name] != before[name] for name in now.keys() & before.keys())
        self._current = loaded
        return ",".join([*(["model"] if is_other_model else []), *(key for key, _ in changes)])

    def _read_at_rest(self) -> Loaded | None:
        """Read until two successive readings agree, and return the last one; None if `end` was called first.

        Raises:
            StreamgmmError: both readings fail with the same error, or no two readings agree.
        """
        reading = self._read()
        for _ in range(MAX_READINGS):
            # Waiting for the event instead of sleeping lets a shutdown interrupt a reload.
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
        """Discard requests made so far: the reading that follows answers them."""
        while not self._requests.empty():
            self._requests.get()


def _agree(one: Reading, other: Reading) -> bool:
    if isinstance(one, StreamgmmError) or isinstance(other, StreamgmmError):
        # A file that is being written may fail in a different way each time; the same error twice means that it is
        # complete.
        return str(one) == str(other)
    return one.is_same(other)


def list_changes(before: Section, after: Section) -> Iterator[tuple[str, bool]]:
    """Yield the dotted key of each setting that differs, e.g. `decision.hangover_s`, and whether a reload takes it."""
    for name, annotation in fields_of(type(before)).items():
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        if is_section(annotation):
            for key, is_taken in list_changes(old, new):
                yield f"{name}.{key}", is_taken or reloads(annotation)
        else:
            yield name, reloads(annotation)


def refuse_fixed(changes: Iterable[tuple[str, bool]]) -> None:
    """Reject changes that need a restart (see `list_changes`).

    Raises:
        ConfigError: lists every such key.
    """
    fixed = [key for key, is_taken in changes if not is_taken]
    if fixed:
        raise ConfigError([f"{key}: needs restart" for key in fixed])
