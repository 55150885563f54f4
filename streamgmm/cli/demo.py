"""`streamgmm demo`: training, detection and a picture, on synthesised sounds."""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

from rich.console import Console

from streamgmm.audio.choosing import plan_source
from streamgmm.cli.console import RichTrack, make_progress, stderr_console, stdout_console
from streamgmm.cli.output_file import check_picture
from streamgmm.cli.parsers.demo import PICTURE_NAME
from streamgmm.dataset.dataset import read_dataset
from streamgmm.demo.listener import PrintingSink
from streamgmm.demo.picture import draw_scene
from streamgmm.demo.recordings import write_training_set, write_wav
from streamgmm.demo.scene import SyntheticScene, make_scene
from streamgmm.demo.sounds import SOUNDS
from streamgmm.demo.terminal import result_table, timeline_text
from streamgmm.errors import StreamgmmError, UsageError
from streamgmm.evaluation.matching import Matches, match_events, overlapping
from streamgmm.listening.events import detections_of
from streamgmm.model.file import save_model
from streamgmm.model.model import Model
from streamgmm.service.context import ChannelPlan
from streamgmm.service.daemon import Daemon
from streamgmm.service.session import Setup
from streamgmm.settings.config import Config
from streamgmm.settings.source import SourceSection
from streamgmm.settings.training import TrainingSection
from streamgmm.sinks.hub import Hub
from streamgmm.training.enrolment.comparison import scores_in_card
from streamgmm.training.trainer import train
from streamgmm.wording import escaped

RATE_HZ = 16000
N_CLIPS = 10
SCENE_S = 75.0


def run_demo(args: argparse.Namespace) -> int:
    """Train on synthesised recordings, run the daemon on a scene, and show how many events it found."""
    if args.seed < 0:
        raise UsageError(f"--seed is {args.seed}, must be 0 or more")
    console = stdout_console()
    picture = _choose_picture(args.picture, console)
    if args.log_level != "debug":
        # The log of the daemon would clutter the demonstration.
        logging.getLogger("streamgmm").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="streamgmm-demo-") as temporary:
        folder = args.keep or Path(temporary)
        model = _train_demo(folder, args.seed, console)
        scene, matches, times_real_time = _listen_to_scene(folder, model, args.seed, console)
    _show_result(scene, matches, times_real_time, picture, console)
    return 0


def _choose_picture(named: Path | None, console: Console) -> Path | None:
    """Return the path of the picture; None if it cannot be drawn and `--picture` was not given."""
    try:
        check_picture(named or Path(PICTURE_NAME))
    except StreamgmmError as error:
        if named is not None:
            raise
        console.print(f"there will be no picture: {error}", soft_wrap=True)
        return None
    return named or Path(PICTURE_NAME)


def _train_demo(folder: Path, seed: int, console: Console) -> Model:
    console.print(f"synthesising {N_CLIPS} recordings each of {', '.join(sorted(SOUNDS))}")
    write_training_set(folder / "recordings", N_CLIPS, seed, RATE_HZ)
    started_s = time.monotonic()
    with make_progress(stderr_console()) as progress:
        dataset = read_dataset(folder / "recordings")
        # The search for better settings would take minutes, and these sounds do not need it.
        # Synthesised sounds among synthesised ones: the world would only cost the minute that a demo may last.
        config = Config(training=TrainingSection(search=False, world=False, n_context_copies=0))
        training = train(dataset, config, name="demo", track=RichTrack(progress))
    model = save_model(training.model, folder / "demo.sgm")
    elapsed_s = time.monotonic() - started_s
    console.print(f"trained in {elapsed_s:.0f} s; held-out clips right: {scores_in_card(model.card).share_of_all}")
    return model


def _listen_to_scene(folder: Path, model: Model, seed: int, console: Console) -> tuple[SyntheticScene, Matches, float]:
    """Run the daemon on a scene, and print the labels as they are detected."""
    scene = make_scene(SCENE_S, seed, RATE_HZ)
    path = folder / "scene.wav"
    write_wav(path, scene.samples, RATE_HZ)
    console.print(f"listening to a scene of {SCENE_S:.0f} s that was not trained on")
    sink = PrintingSink(console)
    source = plan_source(SourceSection(uri=f"file:{path}"))
    plan = ChannelPlan(source, Setup(model, Config()))
    daemon = Daemon([plan], Hub([sink]), run_id="demo")
    started_s = time.monotonic()
    daemon.run()
    # By default a file is read as fast as possible, so the time is that of the processing.
    times_real_time = SCENE_S / (time.monotonic() - started_s)
    matches = match_events(scene.events, detections_of(sink.records), overlapping(collar_s=0.0))
    return scene, matches, times_real_time


def _show_result(
    scene: SyntheticScene, matches: Matches, times_real_time: float, picture: Path | None, console: Console
) -> None:
    console.print(result_table(matches, times_real_time))
    console.print(timeline_text(scene.samples, RATE_HZ, matches, n_columns=console.width, encoding=console.encoding))
    if picture is not None:
        draw_scene(picture, scene.samples, RATE_HZ, matches)
        console.print(f"picture: {escaped(str(picture))}", soft_wrap=True)
