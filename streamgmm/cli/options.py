"""Options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

import argparse


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add `--config FILE` (`args.config`) and `--set KEY=VALUE` (`args.overrides`), for `load_config`."""
    parser.add_argument("-c", "--config", metavar="FILE", help="settings; see `streamgmm config`")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="change one setting, e.g. decision.hangover_s=1",
    )
