"""Clips of a few seconds of noise, and writers whose folder is in the hands of the test."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import msgspec
import numpy as np

from streamgmm.clips.clip import Clip, Piece
from streamgmm.clips.naming import ClipKind
from streamgmm.clips.store import ClipStore
from streamgmm.records import End, ModelInfo
from streamgmm.settings.clips import ClipsSection
from tests.sinks.sink_rig import TIMEOUT_S, end

RATE_HZ = 8000
MODEL = ModelInfo(name="home", version="1", sha256="0" * 64)


def make_clip(
    n: int = 0, label: str = "dog", score: float = 0.8, kind: ClipKind = "event", duration_s: float = 0.1
) -> Clip:
    """The clip number `n`; each of the same length has nearly the same size."""
    record = msgspec.structs.replace(end(0, f"r-{n}", label), start_t=1.0 + n, end_t=2.0 + n, max_score=score)
    samples = np.random.default_rng(n).uniform(-0.1, 0.1, round(duration_s * RATE_HZ)).astype(np.float32)
    return Clip(kind, record, (Piece(0, samples),), 0, len(samples), RATE_HZ, MODEL)


def section_of(folder: Path, **settings: object) -> ClipsSection:
    return msgspec.convert({"directory": str(folder), **settings}, ClipsSection)


def clips_in(folder: Path) -> list[str]:
    """The ids of the clips in a folder, in the order of their names; each with its record beside it."""
    audio = {path.stem for path in folder.rglob("*.flac")}
    assert audio == {path.stem for path in folder.rglob("*.json")}
    assert len(audio) == len(list(folder.rglob("*.flac")))
    return [stem.rpartition("_")[2] for stem in sorted(audio)]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class BrokenStore(ClipStore):
    """A folder that can be made to fail or to hang.

    Attributes:
        error: what each write fails with; None if it works.
        may_go_on: cleared to let writes hang.
        hanging: set while one does.
    """

    def __init__(self, section: ClipsSection) -> None:
        super().__init__(section)
        self.error: OSError | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.hanging = threading.Event()

    def keep(self, clip: Clip) -> None:
        self.hanging.set()
        assert self.may_go_on.wait(TIMEOUT_S)
        if self.error:
            raise self.error
        super().keep(clip)


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def record_of(path: Path) -> End:
    return msgspec.convert(msgspec.json.decode(path.with_suffix(".json").read_bytes())["record"], End)
