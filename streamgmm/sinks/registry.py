"""Registry of the kinds of sinks by URI scheme: the form of the URIs, a factory, and the settings of each kind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from streamgmm.errors import ConfigError
from streamgmm.settings.output import OutputSection, RecordType, SinkSection, sections_of_sinks
from streamgmm.sinks.file import FileSink
from streamgmm.sinks.push import PushOptions
from streamgmm.sinks.selection import selection_of
from streamgmm.sinks.sink import Sink
from streamgmm.sinks.socket.listeners import Listener, TcpListener
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.socket.token import Token
from streamgmm.sinks.stdout import StdoutSink
from streamgmm.wording import did_you_mean


@dataclass(frozen=True)
class SinkPlan:
    """Parameters of a new sink.

    Attributes:
        own: settings of this sink.
        output: settings of all sinks.
        is_live: False if the source waits for its readers.
        token: token that TCP clients must send; None: no token.
        clips_directory: folder of the recordings of events; empty: none.
    """

    own: SinkSection
    output: OutputSection
    is_live: bool
    token: Token | None = None
    clips_directory: str = ""


@dataclass(frozen=True)
class SinkKind:
    """One kind of sink.

    Attributes:
        form: form of the URIs: the prefix, then a placeholder in capitals if anything follows.
        make: returns a sink, not yet open; raises StreamgmmError.
        settings: names of the settings of `SinkSection` that only some kinds have, and this one does.
        is_available: whether this system supports the kind.
        shows_every_hop: whether its sinks get a record of every hop, even if others do not (see `Glimpse`).
    """

    form: str
    make: Callable[[SinkPlan], Sink]
    settings: frozenset[str] = frozenset()
    is_available: bool = True
    shows_every_hop: bool = False

    @property
    def prefix(self) -> str:
        """Scheme, colon and slashes at the beginning of the URIs."""
        return re.split("[A-Z]", self.form)[0]

    @property
    def scheme(self) -> str:
        """Scheme of the URIs, without the colon."""
        return self.form.partition(":")[0]

    def accepts(self, uri: str) -> bool:
        """Return whether `uri` begins with the prefix; a form without a placeholder must be equal to `uri`."""
        return uri.startswith(self.prefix) if self.prefix != self.form else uri == self.form


def make_socket_sink(listener: Listener, plan: SinkPlan, token: Token | None = None) -> SocketSink:
    """Return a sink for the subscribers of `listener`, which must send `token` if there is one."""
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
        ConfigError: there is no kind with that scheme, or its URIs have another form.
    """
    scheme = uri.partition(":")[0]
    kind = SINK_KINDS.get(scheme)
    if kind is not None and kind.accepts(uri):
        return kind
    if kind is not None:
        raise ConfigError([f"output.sinks: {uri!r} is not of the form {kind.form}"])
    advice = did_you_mean(scheme, SINK_KINDS)
    hint = f", {advice}" if advice else ""
    raise ConfigError([f"output.sinks: {uri!r} is not a sink{hint}; valid are {valid_forms()}"])


def find_kind_of(section: SinkSection) -> SinkKind:
    """Return the kind of sink that `section` names.

    Raises:
        ConfigError: as `find_kind`, and for each setting that this kind does not have.
    """
    kind = find_kind(section.uri)
    # These settings are None unless given, so that a default is not mistaken for a wrong setting.
    given = {name for name in SETTINGS_OF_SOME if getattr(section, name) is not None}
    if others := sorted(given - kind.settings):
        raise ConfigError(
            [f"output.sinks: {section.shown_uri!r}: {name} is not a setting of {kind.form}" for name in others]
        )
    return kind


def show_every_hop(output: OutputSection) -> bool:
    """Return whether any sink shows every hop."""
    kinds = [SINK_KINDS.get(own.uri.partition(":")[0]) for own in sections_of_sinks(output)]
    return any(kind is not None and kind.shows_every_hop for kind in kinds)


def valid_forms() -> str:
    """Return the URI forms of all kinds, for a message."""
    *forms, last = [kind.form for kind in SINK_KINDS.values()]
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
    # A full disk ends a run without other outputs; beside others, stdout waits for space.
    is_alone = len(plan.output.sinks) == 1
    return StdoutSink(is_alone=is_alone, **_line_options(plan))


def _make_file(plan: SinkPlan) -> Sink:
    return FileSink(plan.own.uri, **_line_options(plan))


def _make_unix(plan: SinkPlan) -> Sink:
    # Imported here, as the module needs file locks, which only POSIX systems have.
    from streamgmm.sinks.socket.unix import UnixListener

    # Without the token, which only TCP clients send.
    return make_socket_sink(UnixListener(plan.own.uri), plan)


def _make_tcp(plan: SinkPlan) -> Sink:
    return make_socket_sink(_tcp_listener(plan), plan, plan.token)


def _tcp_listener(plan: SinkPlan) -> TcpListener:
    allow_remote = plan.output.allow_remote
    if allow_remote and not plan.output.token_file:
        problem = f"output.allow_remote: {plan.own.uri!r} would be open to anybody; name an output.token_file too"
        raise ConfigError([problem])
    return TcpListener(plan.own.uri, allow_remote=allow_remote)


def _make_exec(plan: SinkPlan) -> Sink:
    # Imported here, as the module starts processes by calls that only POSIX systems have.
    from streamgmm.sinks.exec import COMMAND_TIMEOUT_S, MAX_RUNNING, ExecSink

    own = plan.own
    options = _push_options(plan)
    # By default one command for each event, not for each record of any type.
    options["selection"] = selection_of(own, default_types=["start"])
    max_running = MAX_RUNNING if own.max_running is None else own.max_running
    timeout_s = COMMAND_TIMEOUT_S if own.timeout_s is None else own.timeout_s
    return ExecSink(own.uri, max_running=max_running, timeout_s=timeout_s, **options)


def _make_mqtt(plan: SinkPlan) -> Sink:
    # Imported here, as only few runs need it.
    from streamgmm.sinks.child.sink import ChildSink
    from streamgmm.sinks.mqtt.address import make_request
    from streamgmm.sinks.mqtt.task import publishing

    own = plan.own
    types = own.records or ["start", "end"]
    options = _push_options(plan)
    # `records` selects what is published as an event; the states of labels need the others in any case.
    options["selection"] = selection_of(structs.replace(own, records=sorted({*types, *STATE_TYPES})))
    return ChildSink(own.uri, publishing(make_request(own, types)), **options)


def _make_web(plan: SinkPlan) -> Sink:
    # Imported here, as only few runs need it.
    from streamgmm.sinks.child.sink import ChildSink
    from streamgmm.sinks.web.task import WebTask

    own = plan.own
    options = _push_options(plan)
    if own.records:
        own = structs.replace(own, records=sorted({*own.records, *STATE_TYPES}))
    options["selection"] = selection_of(own, shows_every_hop=True)
    task = WebTask(
        _tcp_listener(plan),
        hosts=(own.hosts or "").split(),
        token=plan.token,
        max_viewers=plan.output.n_clients,
        clips_directory=plan.clips_directory,
    )
    return ChildSink(own.uri, task, **options)


def _make_webhook(plan: SinkPlan) -> Sink:
    # Imported here, as only few runs need it.
    from streamgmm.sinks.body_template import BodyTemplate
    from streamgmm.sinks.webhook import TIMEOUT_S, WebhookSink, read_headers, read_key

    own = plan.own
    options = _push_options(plan)
    options["selection"] = selection_of(own, default_types=["start", "end"])
    return WebhookSink(
        own.uri,
        headers=read_headers(Path(own.headers_file)) if own.headers_file else {},
        key=read_key(Path(own.hmac_file)) if own.hmac_file else b"",
        ca_file=own.ca_file or "",
        timeout_s=TIMEOUT_S if own.timeout_s is None else own.timeout_s,
        body=None if own.body is None else BodyTemplate(own.body),
        **options,
    )


STATE_TYPES: tuple[RecordType, ...] = ("hello", "model", "status", "start", "end", "bye")
"""Types of records that change a retained topic, or the state that a page shows."""

MQTT_SETTINGS = frozenset({"node", "discovery", "commands", "secret_file"})
WEBHOOK_SETTINGS = frozenset({"headers_file", "hmac_file", "timeout_s", "body"})
TLS_SETTINGS = frozenset({"ca_file", "cert_file", "key_file"})

SINK_KINDS: dict[str, SinkKind] = {
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
        SinkKind("mqtt://HOST/PREFIX", _make_mqtt, MQTT_SETTINGS, is_available=os.name == "posix"),
        SinkKind("mqtts://HOST/PREFIX", _make_mqtt, MQTT_SETTINGS | TLS_SETTINGS, is_available=os.name == "posix"),
        SinkKind("web://HOST:PORT", _make_web, frozenset({"hosts"}), os.name == "posix", shows_every_hop=True),
        SinkKind("http://HOST/PATH", _make_webhook, WEBHOOK_SETTINGS),
        SinkKind("https://HOST/PATH", _make_webhook, WEBHOOK_SETTINGS | {"ca_file"}),
    )
    if kind.is_available
}
"""Every available kind by its scheme, in the order used in messages."""

SETTINGS_OF_SOME = frozenset(name for kind in SINK_KINDS.values() for name in kind.settings)
"""Names of the settings that only some kinds have; null if not given."""
