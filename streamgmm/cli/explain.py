"""`streamgmm explain`: why the model said what it said at a moment of a recording."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.cli.options import add_config_options, as_overrides

if TYPE_CHECKING:
    from streamgmm.config import Config
    from streamgmm.explanation.explaining import Explained
    from streamgmm.model.model import Model

_DESCRIPTION = """\
Tell why the model says what it says at one moment of a recording, heard from
its beginning as `run` would: the gates, the posteriors, and which kinds of
features in which bands speak for the best label rather than for another.
"""

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
_UNITS_S = (3600.0, 60.0, 1.0)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `explain`."""
    parser = subparsers.add_parser(
        "explain", help="tell why the model said what it said at a moment", description=_DESCRIPTION
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="recording of any format and rate")
    parser.add_argument(
        "--at", metavar="TIME", type=parse_time_s, required=True, help="end of the window: seconds, or m:ss, or h:mm:ss"
    )
    parser.add_argument("-m", "--model", metavar="MODEL", help="made by `train` (default: shipped, of ten sounds)")
    parser.add_argument("--against", metavar="LABEL", help="compare with it (default: the next best of the window)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result as JSON")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="draw it, as PNG or as SVG by the name's end")
    add_config_options(parser)
    parser.set_defaults(handler=_run)


def parse_time_s(text: str) -> float:
    """Seconds of `75`, `75.5`, `1:15.5` or `0:01:15`.

    Raises:
        ArgumentTypeError: `text` is none of these.
    """
    match = _TIME.fullmatch(text)
    time_s = (
        sum(float(part or 0.0) * unit_s for part, unit_s in zip(match.groups(), _UNITS_S, strict=True))
        if match
        else math.inf
    )
    if not math.isfinite(time_s):
        raise argparse.ArgumentTypeError(f"{text} is no time; write seconds, as 75.5, or 1:15.5")
    return time_s


def _run(args: argparse.Namespace) -> int:
    from streamgmm.cli.console import stdout_console
    from streamgmm.cli.explanation_tables import print_explanation
    from streamgmm.cli.output_file import check_picture, check_writable, write_json
    from streamgmm.cli.run import load_chosen_or_shipped_model
    from streamgmm.config_loading import load_config
    from streamgmm.explanation.explaining import check_against
    from streamgmm.report.explanation_picture import draw_explanation

    check_writable(args.json)
    check_picture(args.picture)
    loaded = load_config(args.config, [*as_overrides({"model.path": args.model}), *args.overrides])
    model = load_chosen_or_shipped_model(loaded)
    check_against(args.against, model)
    explained = _explain(args, model, loaded.config)
    if args.json:
        write_json(explained.explanation, args.json)
    if args.picture:
        draw_explanation(args.picture, explained, model, title=args.file.name)
    print_explanation(explained.explanation, model.spec, stdout_console())
    return 0


def _explain(args: argparse.Namespace, model: Model, config: Config) -> Explained:
    from streamgmm.cli.console import make_progress, stderr_console
    from streamgmm.explanation.explaining import explain
    from streamgmm.listening.recordings import blocks_of, opened, with_progress

    with opened(args.file, model, config) as source, make_progress(stderr_console()) as progress:
        bar = progress.add_task("listening, s", total=args.at)
        rate_hz = model.spec.sample_rate_hz
        blocks = with_progress(blocks_of(source), rate_hz, lambda seconds: progress.advance(bar, seconds))
        return explain(blocks, model, config, args.at, args.against)
