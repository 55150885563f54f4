"""The kinds of sinks by the scheme of their URIs: how the URIs look, how a sink is made, and its own settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from streamgmm.config import OutputSection, SinkSection
from streamgmm.errors import ConfigError
from streamgmm.sinks.file import FileSink
from streamgmm.sinks.listeners import Listener, TcpListener
from streamgmm.sinks.push import PushOptions
from streamgmm.sinks.selection import selection_of
from streamgmm.sinks.sink import Sink
from streamgmm.sinks.sockets import SocketSink
from streamgmm.sinks.stdout import StdoutSink
from streamgmm.sinks.token import Token
from streamgmm.wording import did_you_mean


@dataclass(frozen=True)
class SinkPlan:
    """All that a sink is made from.

    Attributes:
        own: its own settings.
        output: the settings of all sinks.
        is_live: False if the source waits for its readers.
        token: for clients of TCP; None: no token.
    """

    own: SinkSection
    output: OutputSection
    is_live: bool
    token: Token | None = None


@dataclass(frozen=True)
class SinkKind:
    """One kind of sink.

    Attributes:
        form: how its URIs look: the prefix, then a placeholder in capitals if anything follows.
        make: makes a sink, not yet open; raises StreamgmmError.
        settings: names of those settings of `SinkSection` that not every kind has.
        is_available: whether this system has what it takes.
    """

    form: str
    make: Callable[[SinkPlan], Sink]
    settings: frozenset[str] = frozenset()
    is_available: bool = True

    @property
    def prefix(self) -> str:
        """Return the scheme, the colon and the slashes that its URIs begin with."""
        return re.split("[A-Z]", self.form)[0]

    @property
    def scheme(self) -> str:
        """Return what stands before the colon."""
        return self.form.partition(":")[0]

    def accepts(self, uri: str) -> bool:
        """Return whether `uri` begins as it must; one without a placeholder must be equal."""
        return uri.startswith(self.prefix) if self.prefix != self.form else uri == self.form


def make_socket_sink(listener: Listener, plan: SinkPlan, token: Token | None = None) -> SocketSink:
    """Make the sink of the subscribers of `listener`, who have to send `token` if there is one."""
    return SocketSink(
        listener,
        max_clients=plan.output.n_clients,
        max_records=plan.output.queue_records,
        token=token,
        selection=selection_of(plan.own),
    )


def find_kind(uri: str) -> SinkKind:
    """Return the kind of sink that `uri` names.

    Raises:
        ConfigError: there is none of that scheme, or its URIs look different.
    """
    scheme = uri.partition(":")[0]
    kind = KINDS.get(scheme)
    if kind is not None and kind.accepts(uri):
        return kind
    if kind is not None:
        raise ConfigError([f"output.sinks: {uri!r} is not of the form {kind.form}"])
    advice = did_you_mean(scheme, KINDS)
    hint = f", {advice}" if advice else ""
    raise ConfigError([f"output.sinks: {uri!r} is not a sink{hint}; valid are {valid_forms()}"])


def find_kind_of(section: SinkSection) -> SinkKind:
    """Return the kind of sink that `section` names.

    Raises:
        ConfigError: as `find_kind`, and for each setting that this kind does not have.
    """
    kind = find_kind(section.uri)
    given = {name for name in SETTINGS_OF_SOME if getattr(section, name) is not None}
    if others := sorted(given - kind.settings):
        raise ConfigError([f"output.sinks: {section.uri!r}: {name} is not a setting of {kind.form}" for name in others])
    return kind


def valid_forms() -> str:
    """Return how the URIs of all kinds look, for a message."""
    *forms, last = [kind.form for kind in KINDS.values()]
    return f"{', '.join(forms)} and {last}"


def _push_options(plan: SinkPlan) -> PushOptions:
    return PushOptions(
        max_records=plan.output.queue_records,
        is_live=plan.is_live,
        selection=selection_of(plan.own),
    )


def _line_options(plan: SinkPlan) -> PushOptions:
    options = _push_options(plan)
    options["text_format"] = plan.own.format or plan.output.format
    return options


def _make_stdout(plan: SinkPlan) -> Sink:
    is_alone = len(plan.output.sinks) == 1
    return StdoutSink(is_alone=is_alone, **_line_options(plan))


def _make_file(plan: SinkPlan) -> Sink:
    return FileSink(plan.own.uri, **_line_options(plan))


def _make_unix(plan: SinkPlan) -> Sink:
    # Imported here, as its file locks exist on POSIX systems only.
    from streamgmm.sinks.unix import UnixListener

    return make_socket_sink(UnixListener(plan.own.uri), plan)


def _make_tcp(plan: SinkPlan) -> Sink:
    allow_remote = plan.output.allow_remote
    if allow_remote and not plan.output.token_file:
        problem = f"output.allow_remote: {plan.own.uri!r} would be open to anybody; name an output.token_file too"
        raise ConfigError([problem])
    return make_socket_sink(TcpListener(plan.own.uri, allow_remote=allow_remote), plan, plan.token)


def _make_exec(plan: SinkPlan) -> Sink:
    # Imported here, as it starts processes in ways that POSIX systems alone have.
    from streamgmm.sinks.exec import MAX_RUNNING, TIMEOUT_S, ExecSink

    own = plan.own
    options = _push_options(plan)
    options["selection"] = selection_of(own, default_types=["start"])
    max_running = MAX_RUNNING if own.max_running is None else own.max_running
    timeout_s = TIMEOUT_S if own.timeout_s is None else own.timeout_s
    return ExecSink(own.uri, max_running=max_running, timeout_s=timeout_s, **options)


KINDS: dict[str, SinkKind] = {
    kind.scheme: kind
    for kind in (
        SinkKind("stdout:", _make_stdout, frozenset({"format"})),
        SinkKind("file://PATH", _make_file, frozenset({"format"})),
        SinkKind("unix://PATH", _make_unix, is_available=os.name == "posix"),
        SinkKind("tcp://HOST:PORT", _make_tcp),
        SinkKind(
            "exec:COMMAND",
            _make_exec,
            frozenset({"max_running", "timeout_s"}),
            is_available=hasattr(os, "posix_spawnp") and hasattr(os, "waitid"),
        ),
    )
    if kind.is_available
}
"""Every kind by its scheme, in the order of messages."""

SETTINGS_OF_SOME = frozenset(name for kind in KINDS.values() for name in kind.settings)
"""Names of the settings that not every kind has; null where they are not given."""
