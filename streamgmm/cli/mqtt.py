"""`streamgmm mqtt`: remove what a daemon has left on a broker."""

from __future__ import annotations

import argparse

from streamgmm.errors import UsageError
from streamgmm.settings.loading import load_config
from streamgmm.settings.output import SinkSection, sections_of_sinks
from streamgmm.sinks.mqtt.address import make_request
from streamgmm.sinks.mqtt.task import remove_retained
from streamgmm.sinks.registry import find_kind_of


def remove_topics(args: argparse.Namespace) -> int:
    """Empty all topics of one daemon, and print their number."""
    sections = {own.uri: own for own in sections_of_sinks(load_config(args.config, args.overrides).config.output)}
    own = sections.get(args.address, SinkSection(uri=args.address))
    if not find_kind_of(own).scheme.startswith("mqtt"):
        raise UsageError(
            "is not an MQTT sink", where=args.address, hint="use mqtt://HOST/PREFIX or mqtts://HOST/PREFIX"
        )
    print(f"removed {remove_retained(make_request(own), own.uri)} topics")
    return 0
