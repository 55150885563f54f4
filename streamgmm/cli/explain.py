"""`streamgmm explain`: why the model decided as it did at one moment of a recording."""

from __future__ import annotations

import argparse

from streamgmm.cli.console import make_progress, stderr_console, stdout_console
from streamgmm.cli.explanation_tables import print_explanation
from streamgmm.cli.models import load_chosen_or_shipped_model
from streamgmm.cli.options import as_overrides
from streamgmm.cli.output_file import check_picture, check_writable, write_json
from streamgmm.explanation.explaining import Explained, check_against, explain
from streamgmm.listening.recordings import blocks_of, opened, with_progress
from streamgmm.model.model import Model
from streamgmm.report.explanation_picture import draw_explanation
from streamgmm.settings.config import Config
from streamgmm.settings.loading import load_config


def run_explain(args: argparse.Namespace) -> int:
    """Print and draw the explanation of one decision."""
    check_writable(args.json)
    check_picture(args.picture)
    loaded = load_config(args.config, [*as_overrides({"model.path": args.model}), *args.overrides])
    model = load_chosen_or_shipped_model(loaded)
    # Before the recording is read, which can take minutes.
    check_against(args.against, model)
    explained = _explain(args, model, loaded.config)
    if args.json:
        write_json(explained.explanation, args.json)
    if args.picture:
        draw_explanation(args.picture, explained, model, title=args.file.name)
    print_explanation(explained.explanation, model.spec, stdout_console())
    return 0


def _explain(args: argparse.Namespace, model: Model, config: Config) -> Explained:
    with opened(args.file, model, config) as source, make_progress(stderr_console()) as progress:
        bar = progress.add_task("listening, s", total=args.at)
        rate_hz = model.spec.sample_rate_hz
        blocks = with_progress(blocks_of(source), rate_hz, lambda seconds: progress.advance(bar, seconds))
        return explain(blocks, model, config, args.at, args.against)
