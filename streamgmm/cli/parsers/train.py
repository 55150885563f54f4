"""Arguments of `streamgmm train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from streamgmm.cli.options import (
    add_background_option,
    add_cache_option,
    add_cluster_option,
    add_config_options,
    add_fold_option,
    add_quick_option,
)
from streamgmm.cli.parser import handler_in
from streamgmm.settings.training import Covariance

_DESCRIPTION = """\
Train on a folder per class, or a manifest.csv (path,label[,fold,source_id]),
or recordings with label files (DCASE, Audacity). `background` is to be ignored.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command `train` and its arguments."""
    parser.description = _DESCRIPTION
    parser.usage = "%(prog)s -o MODEL [OPTION ...] DATA"
    parser.add_argument("data", metavar="DATA", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", metavar="MODEL", type=Path, required=True, help="file to write, e.g. my.sgm")
    parser.add_argument("--name", help="name of the model (default: that of the file)")
    parser.add_argument(
        "--covariance",
        metavar="SHAPE",
        choices=get_args(Covariance),
        help=f"of the Gaussians: {', '.join(get_args(Covariance))}",
    )
    parser.add_argument("--components", metavar="N|bic", help="Gaussians per class, or let BIC choose")
    parser.add_argument("--rate", metavar="HZ", help="sample rate of the model (default: of most data)")
    parser.add_argument("--seed", metavar="N", help="same seed and data, same file, byte for byte")
    add_background_option(parser)
    add_quick_option(parser)
    add_fold_option(parser)
    add_cluster_option(parser)
    parser.add_argument("--strict", action="store_true", help="reject what would be left out or only warned of")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write what was learnt and left out, as JSON")
    parser.add_argument("--no-memory", action="store_true", help="keep nothing for `enrol` and `forget`")
    add_cache_option(parser)
    add_config_options(parser)
    parser.set_defaults(handler=handler_in("streamgmm.cli.train", "run_train"))
