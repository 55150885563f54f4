"""Draws what `streamgmm monitor` shows of the demo's scene: `python -m tests.monitor_picture docs/monitor.svg`."""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console

from streamgmm.demo.recordings import write_wav
from streamgmm.demo.scene import make_scene
from streamgmm.monitor.board import Board
from streamgmm.monitor.drawing import Size, draw
from tests.conftest import DEMO_RATE_HZ, SCENE_S, write_demo_model
from tests.system.run_rig import run

SIZE = Size(92, 18)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.monitor_picture", description=__doc__.split(":")[0])
    parser.add_argument("picture", type=Path, help="file to write (SVG)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "kitchen.wav"
        write_wav(scene, make_scene(SCENE_S, 0, DEMO_RATE_HZ).samples, DEMO_RATE_HZ)
        arguments = ("-m", write_demo_model(Path(folder)), "-s", f"kitchen=file:{scene}", "--windows")
        records = run(*arguments, stdout=subprocess.PIPE).records
    board = Board("unix:///run/streamgmm/events.sock")
    n_events = 0
    for record in records:
        board.apply(record)
        n_events += record["type"] == "start"
        # In the middle of an event, with some before it.
        if n_events == 5 and record["type"] == "window" and max(record["scores"].values()) > 0.9:
            break
    console = Console(record=True, width=SIZE.width, force_terminal=True, file=io.StringIO())
    for line in draw(board, SIZE):
        console.print(line, no_wrap=True)
    # Without its fonts, which would be asked of another server.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="streamgmm monitor"), flags=re.DOTALL)
    args.picture.write_text(picture)


if __name__ == "__main__":
    main()
