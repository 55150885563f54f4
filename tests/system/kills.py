"""Kill a process again and again while it saves a model and a settings file: each is the old one or the new one, whole.

    python -m tests.system.kills [--n 500] [--seed 0]

A child writes two versions of both files in turn, as fast as it can, and is killed at a random moment. What
must hold after each kill: both files are one of their two versions, byte for byte; and however many kills
there were, at most one file half written per kind stands beside them, which the next save removes.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from streamgmm.cli.output_file import write_file
from streamgmm.model.file import save_model
from streamgmm.model.model import Model
from streamgmm.model.writer import model_bytes
from streamgmm.settings.config import Config
from streamgmm.settings.decision import DecisionSection
from streamgmm.settings.text import annotated_yaml

LONGEST_S = 0.02
"""Latest moment of a kill after the first save."""


class Killed(NamedTuple):
    """What the kills left.

    Attributes:
        n_kills: how many there were.
        n_changed: after how many of them a file was another version than before.
        n_interrupted: how many of them left a file half written.
        most_left: most such files at once.
    """

    n_kills: int
    n_changed: int
    n_interrupted: int
    most_left: int


def kill_savers(folder: Path, models: tuple[Model, Model], n_kills: int, seed: int) -> Killed:
    """Kill `n_kills` savers of `models` and of two settings files in `folder`; raises AssertionError on damage."""
    texts = [annotated_yaml(Config(decision=DecisionSection(min_llr=value))).encode() for value in (0.0, 1.0)]
    wholes = {"m.sgm": [model_bytes(model) for model in models], "c.yaml": texts}
    rng = random.Random(seed)
    before = {}
    n_changed = n_interrupted = most_left = 0
    for _ in range(n_kills):
        _kill_one(folder, models, texts, rng.uniform(0.0, LONGEST_S))
        after = {name: (folder / name).read_bytes() for name in wholes}
        for name, versions in wholes.items():
            assert after[name] in versions, f"{name} is damaged: {len(after[name])} bytes"
        n_left = sum(path.name not in wholes for path in folder.iterdir())
        n_changed += after != before
        n_interrupted += n_left > 0
        most_left = max(most_left, n_left)
        before = after
    return Killed(n_kills, n_changed, n_interrupted, most_left)


def _kill_one(folder: Path, models: tuple[Model, Model], texts: list[bytes], delay_s: float) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _save_for_ever(folder, models, texts, writer)
    os.close(writer)
    assert os.read(reader, 1) == b"!", "the child could not save"
    # Not a wait for anything: the kill shall fall into another moment of a save each time.
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)


def _save_for_ever(folder: Path, models: tuple[Model, Model], texts: list[bytes], ready_fd: int) -> None:
    try:
        while True:
            for model, text in zip(models, texts, strict=True):
                save_model(model, folder / "m.sgm")
                write_file(text, folder / "c.yaml")
            os.write(ready_fd, b"!")
    finally:
        os._exit(1)


def main() -> int:
    """Print what came of it; 1 if anything was damaged."""
    from dataclasses import replace

    from streamgmm.model.shipped import load_shipped_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model = load_shipped_model()
    with tempfile.TemporaryDirectory() as folder:
        killed = kill_savers(Path(folder), (model, replace(model, name="other")), args.n, args.seed)
    print(
        f"{killed.n_kills} kills: no file damaged; files changed after {killed.n_changed}, "
        f"{killed.n_interrupted} fell into a write, most left half written at once {killed.most_left}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
