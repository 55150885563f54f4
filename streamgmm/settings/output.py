"""Settings of the sinks and of the records."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamgmm.settings.section import RELOADS, Place, Section, SourceName

TextFormat = Literal["jsonl", "text", "label", "dcase", "audacity"]

# A test compares these words with the tags of the records.
RecordType = Literal[
    "hello", "start", "update", "end", "window", "gap", "status", "dropped", "heartbeat", "model", "error", "bye"
]
"""Types of records (see `streamgmm.records`)."""


class SinkSection(Section, frozen=True, kw_only=True):
    """One sink, and which records it gets; a filter that is left out or empty passes everything."""

    uri: Annotated[Place, Meta(min_length=1, description="as an item of `sinks` that is a URI alone")]
    # None marks a setting that is not given: `streamgmm.sinks.registry` rejects one that the kind of sink does not
    # have.
    format: Annotated[TextFormat | None, Meta(description="of stdout: and file://PATH; null: output.format")] = None
    labels: Annotated[list[str], Meta(description="only events and windows of these labels")] = msgspec.field(
        default_factory=list
    )
    records: Annotated[list[RecordType], Meta(description="only records of these types")] = msgspec.field(
        default_factory=list
    )
    sources: Annotated[list[SourceName], Meta(description="only records of these sources")] = msgspec.field(
        default_factory=list
    )
    min_score: Annotated[float, Meta(ge=0.0, le=1.0, description="only events that start with at least this score")] = (
        0.0
    )
    max_running: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | None, Meta(description="of exec: commands that run at once; null: 4")
    ] = None
    timeout_s: Annotated[
        Annotated[float, Meta(ge=0.1, le=3600.0, extra={"unit": "s"})] | None,
        Meta(description="of exec and http(s): longest time of a command or request; null: 10 s"),
    ] = None
    node: Annotated[str | None, Meta(description="of mqtt: name of this daemon in topics; null: the host name")] = None
    discovery: Annotated[
        str | None,
        Meta(description='of mqtt: prefix for Home Assistant\'s discovery; null: homeassistant; "": no discovery'),
    ] = None
    commands: Annotated[
        bool | None,
        Meta(description="of mqtt: whether whoever may write to PREFIX/NODE/command controls this run; null: no"),
    ] = None
    secret_file: Annotated[
        Place | None, Meta(description="of mqtt: file with `user:password`, closed to other users; null: none")
    ] = None
    ca_file: Annotated[
        Place | None, Meta(description="of mqtts and https: PEM file of authorities to trust; null: the system's")
    ] = None
    cert_file: Annotated[
        Place | None, Meta(description="of mqtts: PEM file of the client's certificate; null: none")
    ] = None
    key_file: Annotated[Place | None, Meta(description="of mqtts: PEM file of its key; null: it is in cert_file")] = (
        None
    )
    headers_file: Annotated[
        Place | None, Meta(description="of http(s): file with lines `Name: value`, closed to other users; null: none")
    ] = None
    hmac_file: Annotated[
        Place | None, Meta(description="of http(s): file with the key of a signature, closed to others; null: none")
    ] = None
    body: Annotated[
        str | None,
        Meta(description="of http(s): body with $label, $score and other fields of a record; null: the record as JSON"),
    ] = None
    hosts: Annotated[
        str | None,
        Meta(description="of web: further names of this machine in browsers, separated by spaces; null: none"),
    ] = None

    @property
    def shown_uri(self) -> str:
        """Return the URI for messages, without the path of a web server, which may be secret."""
        scheme, _, rest = self.uri.partition("://")
        host = rest.partition("/")[0].rpartition("@")[2]
        return f"{scheme}://{host}/..." if scheme in ("http", "https") else self.uri


class OutputSection(Section, frozen=True, kw_only=True):
    """Outputs and their format."""

    sinks: Annotated[
        list[Place | SinkSection],
        Meta(
            description="stdout:, file://PATH, unix://PATH, tcp://HOST:PORT, exec:COMMAND, mqtt://HOST/PREFIX, "
            "mqtts://HOST/PREFIX, web://HOST:PORT, http://HOST/PATH, https://HOST/PATH; or {uri: ...}",
            examples=[[{"uri": "stdout:", "labels": ["doorbell"]}]],
        ),
    ] = msgspec.field(default_factory=lambda: ["stdout:"])
    format: Annotated[TextFormat, Meta(description="format of stdout: and file://PATH; sockets always get jsonl")] = (
        "jsonl"
    )
    windows: Annotated[
        bool,
        Meta(description="emit a record for every hop, to see why something was reported or not", extra=RELOADS),
    ] = False
    updates: Annotated[bool, Meta(description="emit a record for every hop of an open event", extra=RELOADS)] = False
    heartbeat_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86400.0,
            description="interval of heartbeat records; 0: none",
            extra={"unit": "s of audio", **RELOADS},
        ),
    ] = 0.0
    queue_records: Annotated[
        int,
        Meta(
            ge=16,
            le=1_000_000,
            description="records queued for a slow reader; the oldest are dropped first",
        ),
    ] = 1024
    n_clients: Annotated[int, Meta(ge=1, le=10_000, description="maximum number of subscribers of one socket")] = 64
    allow_remote: Annotated[
        bool,
        Meta(
            description="accept other machines on tcp:// and web://; needs a token, which is sent in the clear",
        ),
    ] = False
    token_file: Annotated[
        Place,
        Meta(
            description="file with the token that a tcp:// client must send as its first line, and a browser of web:// "
            "as the password; empty: none",
        ),
    ] = ""


def sections_of_sinks(output: OutputSection) -> list[SinkSection]:
    """Return the settings of each sink, with defaults for a URI alone."""
    return [SinkSection(uri=item) if isinstance(item, str) else item for item in output.sinks]
