"""`streamgmm config`: show the settings of a run, or check a file without running."""

from __future__ import annotations

import argparse

from streamgmm.config_loading import load_config
from streamgmm.config_text import annotated_yaml, plain_yaml


def show_config(args: argparse.Namespace) -> int:
    """Print the settings of a run as YAML."""
    config = load_config(args.config, args.overrides).config
    print(plain_yaml(config) if args.effective else annotated_yaml(config), end="")
    return 0


def check_config(args: argparse.Namespace) -> int:
    """Check a settings file, and print how many settings it has."""
    n_set = len(load_config(args.file).explicit_keys)
    print(f"{args.file}: ok, {n_set} {'setting' if n_set == 1 else 'settings'}")
    return 0
