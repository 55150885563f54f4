"""`streamgmm mqtt`: remove what a daemon has left on a broker."""

from __future__ import annotations

import argparse
import sys

from streamgmm.errors import UsageError
from streamgmm.settings.loading import load_config
from streamgmm.settings.output import SinkSection, sections_of_sinks
from streamgmm.sinks.mqtt.address import make_request
from streamgmm.sinks.mqtt.task import remove_retained
from streamgmm.sinks.registry import find_kind_of
from streamgmm.wording import escaped


def remove_topics(args: argparse.Namespace) -> int:
    """Empty all topics of one daemon, and print their number and the node that was looked for."""
    sections = {own.uri: own for own in sections_of_sinks(load_config(args.config, args.overrides).config.output)}
    own = sections.get(args.address, SinkSection(uri=args.address))
    if not find_kind_of(own).scheme.startswith("mqtt"):
        raise UsageError(
            "is not an MQTT sink", where=args.address, hint="use mqtt://HOST/PREFIX or mqtts://HOST/PREFIX"
        )
    request = make_request(own)
    n_removed = remove_retained(request, own.uri)
    node = escaped(request.topics.node)
    print(f"removed {n_removed} topics of node {node}")
    if not n_removed:
        advice = "if the daemon has another `node` in its settings, name them with --config"
        print(f"streamgmm: there is nothing of node {node}; {advice}", file=sys.stderr)
    return 0
