"""Topics of the messages, and identifiers for Home Assistant; distinct for distinct names, whatever these contain."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple
from urllib.parse import quote


def level_of(name: str) -> str:
    """Return `name` as one level of a topic: all but ASCII letters, digits and `_ . - ~` is percent-encoded."""
    # surrogatepass: names of files may hold bytes that are not UTF-8, and no two names may share a topic.
    return quote(name, safe="", errors="surrogatepass")


def identifier_of(*names: str) -> str:
    """Return letters, digits and `_` that identify `names`: readable words, and a hash that keeps them distinct."""
    exact = "/".join(map(level_of, names))
    words = re.sub(r"[^a-z0-9]+", "_", " ".join(names).lower()).strip("_")[:40]
    return f"{words or 'x'}_{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


class Topics(NamedTuple):
    """Topics of one daemon.

    Attributes:
        prefix: first level or levels of all topics.
        node: name of the daemon among those of the same prefix.
        discovery: prefix of the topics of Home Assistant's discovery; empty for no discovery.
    """

    prefix: str
    node: str
    discovery: str

    @property
    def base(self) -> str:
        """Return the levels that all topics of this daemon begin with."""
        return f"{self.prefix}/{level_of(self.node)}"

    @property
    def status(self) -> str:
        """Return the topic that is `online` or `offline`."""
        return f"{self.base}/status"

    @property
    def command(self) -> str:
        """Return the topic on which this daemon takes commands."""
        return f"{self.base}/command"

    def state(self, source: str, label: str) -> str:
        """Return the topic that is `ON` while an event of `label` is open, else `OFF`."""
        return f"{self.base}/{level_of(source)}/{level_of(label)}/state"

    def event(self, source: str) -> str:
        """Return the topic of the records of a source."""
        return f"{self.base}/{level_of(source)}/event"

    def health(self, source: str) -> str:
        """Return the topic of the latest status record of a source."""
        return f"{self.base}/{level_of(source)}/health"

    @property
    def device(self) -> str:
        """Return the identifier of this daemon among the devices of Home Assistant."""
        return f"streamgmm_{identifier_of(self.node, self.prefix)}"

    @property
    def config(self) -> str:
        """Return the topic on which this daemon announces itself to Home Assistant."""
        return f"{self.discovery}/device/{self.device}/config"

    @property
    def birth(self) -> str:
        """Return the topic on which Home Assistant announces its start."""
        return f"{self.discovery}/status"
