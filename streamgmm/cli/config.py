"""`streamgmm config`: show the settings of a run, check or upgrade a file, or print a JSON Schema."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from streamgmm.record_schema import records_schema
from streamgmm.settings.config import Config
from streamgmm.settings.loading import load_config
from streamgmm.settings.schema import json_schema
from streamgmm.settings.text import annotated_yaml, plain_yaml
from streamgmm.settings.upgrade import upgrade_config


def show_config(args: argparse.Namespace) -> int:
    """Print the settings of a run as YAML."""
    config = load_config(args.config, args.overrides).config
    print(plain_yaml(config) if args.effective else annotated_yaml(config), end="")
    return 0


def check_config(args: argparse.Namespace) -> int:
    """Check a settings file and the addresses in it, and print how many settings it has."""
    loaded = load_config(args.file)
    # Imported only now: all else about settings needs little memory.
    from streamgmm.cli.plans import check_addresses

    check_addresses(loaded)
    n_set = len(loaded.explicit_keys)
    print(f"{args.file}: ok, {n_set} {'setting' if n_set == 1 else 'settings'}")
    return 0


def print_schema(args: argparse.Namespace) -> int:
    """Print the JSON Schema of settings files, for editors, or of records, for the programs that read them."""
    schema = records_schema() if args.what == "records" else json_schema(Config)
    print(json.dumps(schema, indent=2, ensure_ascii=False))
    return 0


def upgrade_file(args: argparse.Namespace) -> int:
    """Rename the settings of an earlier version in a file, and print which."""
    renamed = upgrade_config(Path(args.file))
    for old, new in renamed.items():
        print(f"{args.file}: {old} is {new} now")
    if not renamed:
        print(f"{args.file}: nothing to upgrade")
    return 0
