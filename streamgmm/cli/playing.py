"""Play audio files by a program that is installed for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PLAYERS = (
    ("pw-play",),
    ("paplay",),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
    ("play", "-q"),
)
"""Programs that play WAV and FLAC files, the first of which that is installed is used."""


def play(path: Path) -> bool:
    """Play a file to its end; return whether there is a program that does so, or else say that there is none."""
    player = next((player for player in PLAYERS if shutil.which(player[0])), None)
    if player is None:
        print(f"no player is installed: one of {', '.join(name for name, *_ in PLAYERS)} is needed")
        return False
    done = subprocess.run([*player, str(path)], stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        print(f"{player[0]} could not play it")
    return True
