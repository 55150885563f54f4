"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from streamgmm.wording import as_flow


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add `--config FILE` (`args.config`) and `--set KEY=VALUE` (`args.overrides`), for `load_config`."""
    parser.add_argument("-c", "--config", metavar="FILE", help="settings (default: $STREAMGMM_CONFIG); see `config`")
    _add_repeatable(parser, "--set", "overrides", "KEY=VALUE", "change one setting, e.g. decision.hangover_s=1")


def _add_repeatable(
    parser: argparse.ArgumentParser, option: str, dest: str, metavar: str, text: str, kind: type = str
) -> None:
    # argparse copies the default before it appends, so the list is not shared between calls.
    parser.add_argument(option, action="append", default=[], dest=dest, metavar=metavar, type=kind, help=text)


def add_quick_option(parser: argparse.ArgumentParser) -> None:
    """Add `--quick` (`args.quick`), short for `training.search: false`."""
    parser.add_argument("--quick", action="store_true", help="do not search for better settings than the defaults")


def add_cache_option(parser: argparse.ArgumentParser, *, is_shown: bool = True) -> None:
    """Add `--no-cache` (`args.no_cache`), short for `training.cache: false`; hidden where help fills a screen."""
    text = "measure all recordings, and keep nothing in ~/.cache" if is_shown else argparse.SUPPRESS
    parser.add_argument("--no-cache", action="store_true", help=text)


def add_background_option(parser: argparse.ArgumentParser) -> None:
    """Add `--background PLACE` (`args.backgrounds`), for `read_dataset`."""
    text = "more to ignore: a recording, or a folder; repeatable"
    _add_repeatable(parser, "--background", "backgrounds", "PLACE", text, Path)


def add_fold_option(parser: argparse.ArgumentParser) -> None:
    """Add `--fold NAME` (`args.folds`), for `read_dataset`."""
    _add_repeatable(parser, "--fold", "folds", "NAME", "only recordings of this fold; repeatable")


def add_cluster_option(
    parser: argparse.ArgumentParser, text: str = "compute on a Dask cluster: tcp://HOST:PORT"
) -> None:
    """Add `--cluster ADDRESS` (`args.cluster`), the scheduler of a Dask cluster, with `text` in the help."""
    parser.add_argument("--cluster", metavar="URI", help=text)


def add_change_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that change a model's classes (`args.model`, `.output`, `.dry_run`, `.force`)."""
    parser.add_argument("-m", "--model", metavar="MODEL", type=Path, required=True, help="made by `streamgmm train`")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write to FILE (default: MODEL itself)")
    add_caution_options(parser)


def add_caution_options(parser: argparse.ArgumentParser) -> None:
    """Add `--dry-run` and `--force` of a command that replaces a model (`args.dry_run`, `.force`)."""
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    parser.add_argument("--force", action="store_true", help="write even if the other classes lose by it")


def as_overrides(settings: Mapping[str, str | bool | list[str] | dict[str, str] | None]) -> Iterator[str]:
    """Yield `KEY=VALUE` overrides for `load_config` from options that stand for settings; None: not given."""
    for key, value in settings.items():
        if value is not None:
            yield f"{key}={as_flow(value)}"
