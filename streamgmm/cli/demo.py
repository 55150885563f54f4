"""`streamgmm demo`: everything at once, on sounds made on the spot."""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.errors import StreamgmmError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from streamgmm.demo.scene import SyntheticScene
    from streamgmm.evaluation.matching import Matches
    from streamgmm.model.model import Model

_DESCRIPTION = """\
Hear it work without a microphone: make recordings of ten sounds, learn them,
listen to a scene of a minute in which they occur, and compare with the truth.
Everything but the air between is real: the trainer, the daemon, its records.
"""

RATE_HZ = 16000
N_CLIPS = 10
SCENE_S = 75.0
PICTURE_NAME = "streamgmm-demo.png"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `demo`."""
    parser = subparsers.add_parser(
        "demo", help="hear it work within a minute, without a microphone", description=_DESCRIPTION
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="other sounds and another scene (default: 0)")
    parser.add_argument("--picture", metavar="FILE", type=Path, help=f"default: {PICTURE_NAME}")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep recordings, model and scene here")
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from streamgmm.cli.console import stdout_console

    if args.seed < 0:
        raise UsageError(f"--seed is {args.seed}, must be 0 or more")
    console = stdout_console()
    picture = _choose_picture(args.picture, console)
    if not args.verbose:
        # What the daemon logs for machines is no part of the show.
        logging.getLogger("streamgmm").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="streamgmm-demo-") as temporary:
        folder = args.keep or Path(temporary)
        model = _train(folder, args.seed, console)
        scene, matches, times_real_time = _listen(folder, model, args.seed, console)
    _show(scene, matches, times_real_time, picture, console)
    return 0


def _choose_picture(named: Path | None, console: Console) -> Path | None:
    """Where the picture will be; None if it cannot be made and nobody asked for it: the rest is enough."""
    from streamgmm.cli.output_file import check_picture

    try:
        check_picture(named or Path(PICTURE_NAME))
    except StreamgmmError as error:
        if named is not None:
            raise
        console.print(f"there will be no picture: {error}", soft_wrap=True)
        return None
    return named or Path(PICTURE_NAME)


def _train(folder: Path, seed: int, console: Console) -> Model:
    from streamgmm.cli.console import RichTrack, make_progress, stderr_console
    from streamgmm.config import Config, TrainingSection
    from streamgmm.dataset.dataset import read_dataset
    from streamgmm.demo.recordings import write_training_set
    from streamgmm.demo.sounds import SOUNDS
    from streamgmm.model.file import save_model
    from streamgmm.training.comparison import scores_of
    from streamgmm.training.trainer import train

    console.print(f"making {N_CLIPS} recordings each of {', '.join(sorted(SOUNDS))}")
    write_training_set(folder / "recordings", N_CLIPS, seed, RATE_HZ)
    started_s = time.monotonic()
    with make_progress(stderr_console()) as progress:
        dataset = read_dataset(folder / "recordings")
        # Without the search for better settings: it is made for sounds whose kind is not known.
        config = Config(training=TrainingSection(search=False))
        training = train(dataset, config, name="demo", track=RichTrack(progress))
    model = save_model(training.model, folder / "demo.sgm")
    elapsed_s = time.monotonic() - started_s
    console.print(f"learnt them in {elapsed_s:.0f} s; held-out clips right: {scores_of(model.card).share_of_all}")
    return model


def _listen(folder: Path, model: Model, seed: int, console: Console) -> tuple[SyntheticScene, Matches, float]:
    """Run the daemon on a scene, and print the labels as they come."""
    from functools import partial

    from streamgmm.audio.file import RecordingFile
    from streamgmm.config import Config
    from streamgmm.demo.listener import PrintingSink
    from streamgmm.demo.recordings import write_wav
    from streamgmm.demo.scene import make_scene
    from streamgmm.evaluation.matching import match_events, overlapping
    from streamgmm.listening.events import detections_of
    from streamgmm.service.daemon import Daemon
    from streamgmm.sinks.hub import Hub

    scene = make_scene(SCENE_S, seed, RATE_HZ)
    path = folder / "scene.wav"
    write_wav(path, scene.samples, RATE_HZ)
    console.print(f"listening to a scene of {SCENE_S:.0f} s that it has never heard")
    sink = PrintingSink(console)
    daemon = Daemon(model, Config(), partial(RecordingFile, path), Hub([sink]), run_id="demo")
    started_s = time.monotonic()
    daemon.run()
    times_real_time = SCENE_S / (time.monotonic() - started_s)
    matches = match_events(scene.events, detections_of(sink.records), overlapping(collar_s=0.0))
    return scene, matches, times_real_time


def _show(
    scene: SyntheticScene, matches: Matches, times_real_time: float, picture: Path | None, console: Console
) -> None:
    from streamgmm.demo.picture import draw_scene
    from streamgmm.demo.terminal import result_table, timeline_text
    from streamgmm.wording import escaped

    console.print(result_table(matches, times_real_time))
    console.print(timeline_text(scene.samples, RATE_HZ, matches, n_columns=console.width, encoding=console.encoding))
    if picture is not None:
        draw_scene(picture, scene.samples, RATE_HZ, matches)
        console.print(f"picture: {escaped(str(picture))}", soft_wrap=True)
