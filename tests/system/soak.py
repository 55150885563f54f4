"""A day of sound through a real `streamgmm run` within minutes, while its memory, descriptors and threads are watched.

    python -m tests.system.soak [--hours 24] [--sources 8] [--model MODEL]

The daemon reads raw samples on its standard input as fast as it can: a minute with events, then all the rooms of
STREAMGMM_DATA/ambience one after the other, and that again and again (without the recordings, events alone). Of two
subscribers one reads everything and accounts for it, and one never reads, and comes back whenever it is cut.
Further sources are recordings of the same sound, of the same length, read as fast as they can be analysed.
Every ten minutes of audio the process is looked at from outside. The first tenth, at most an hour, is warm-up.

A day at 16 kHz takes about a quarter of an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamgmm.audio.reading import open_recording
from streamgmm.audio.resample import Resampler
from streamgmm.demo.scene import make_scene
from streamgmm.model.file import load_model
from streamgmm.records import Bye, Dropped, Gap, Heartbeat, Start, decode_json
from tests.sinks.sink_rig import Client
from tests.system.run_rig import Daemon, subscribe

LOOK_S = 600.0
MAX_GROWTH_BYTES = 2**20
MAX_PEAK_BYTES = 120 * 2**20
LONGEST_PART_S = 120.0
TIMEOUT_S = 60.0


class Look(NamedTuple):
    """The process from outside.

    Attributes:
        t: audio analysed so far (s).
        rss_bytes: its memory now.
        peak_bytes: the most it ever had.
        n_fds: open descriptors.
        n_threads: its threads.
        n_children: its children, zombies too.
    """

    t: float
    rss_bytes: int
    peak_bytes: int
    n_fds: int
    n_threads: int
    n_children: int


class Soaked(NamedTuple):
    """What became of the daemon.

    Attributes:
        looks: in order of time, those of the warm-up left out.
        n_records: what the reading subscriber got.
        n_events: how many events began.
        n_lost: records that it did not get.
        n_cut: how often the unread one was cut.
        byes: the last record of each source.
        took_s: how long it really took.
    """

    looks: list[Look]
    n_records: int
    n_events: int
    n_lost: int
    n_cut: int
    byes: list[Bye]
    took_s: float

    @property
    def growth_bytes(self) -> int:
        """Most memory after the warm-up over that at its end."""
        return max(look.rss_bytes for look in self.looks) - self.looks[0].rss_bytes

    @property
    def peak_bytes(self) -> int:
        return self.looks[-1].peak_bytes

    def check(self) -> None:
        """Raise AssertionError unless all is as promised."""
        assert self.growth_bytes <= MAX_GROWTH_BYTES, f"grew by {self.growth_bytes} bytes"
        assert self.peak_bytes <= MAX_PEAK_BYTES, f"had {self.peak_bytes} bytes at its peak"
        # One more or less while the unread subscriber is between two connections.
        n_fds = [look.n_fds for look in self.looks]
        assert max(n_fds) - min(n_fds) <= 1, n_fds
        assert len({look.n_threads for look in self.looks}) == 1, self.looks
        assert {look.n_children for look in self.looks} == {0}
        assert self.n_lost == 0
        for bye in self.byes:
            assert bye.lost_samples == bye.in_flight_samples == 0
            assert bye.captured_samples == bye.analysed_samples
        assert len({bye.captured_samples for bye in self.byes}) == 1


def soak(model: Path, folder: Path, duration_s: float, look_s: float = LOOK_S, n_sources: int = 1) -> Soaked:
    """Run a daemon on `duration_s` of sound from each source; `folder` gets its socket and the sound (s16le)."""
    rate_hz = load_model(model).spec.sample_rate_hz
    sound = folder / "sound.raw"
    sound.write_bytes(make_sound(rate_hz))
    uri = f"unix://{folder}/s"
    settings = [f"source.pcm_rate_hz={rate_hz}", f"output.heartbeat_s={look_s}"]
    # Longer by what may wait in the ring, as nobody looks at a daemon that is about to end.
    n_samples = round((duration_s + 60.0) * rate_hz)
    sources = ["pcm:-"] if n_sources == 1 else ["pipe=pcm:-", *_recordings(folder, n_sources - 1, n_samples, rate_hz)]
    options = [*(f"--source={source}" for source in sources), *(f"--set={setting}" for setting in settings)]
    daemon = Daemon("-m", model, "--windows", "-k", uri, *options, stdin=subprocess.PIPE)
    with contextlib.closing(daemon), subscribe(uri) as reading:
        unread = Unread(uri)
        feeder = threading.Thread(target=_feed, args=(daemon, sound, n_samples), daemon=True)
        feeder.start()
        # Python takes memory in pieces of 1 MiB, of which the first minutes may need another one.
        warm_up_s = min(3600.0, duration_s / 5.0)
        soaked = _follow(daemon, reading, (warm_up_s, duration_s), unread, n_sources)
        assert daemon.wait() == 0, daemon.log
        unread.close()
    assert "Traceback" not in daemon.log
    return soaked


def _recordings(folder: Path, n: int, n_samples: int, rate_hz: int) -> Iterator[str]:
    """Yield `n` further sources, each a link to one recording of the sound."""
    whole = folder / "sound.wav"
    with wave.open(str(whole), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        for data in _repeated(folder / "sound.raw", n_samples):
            file.writeframes(data)
    for i in range(n):
        (folder / f"{i}.wav").symlink_to(whole)
        yield f"recording{i}=file:{folder}/{i}.wav"


def _repeated(sound: Path, n_samples: int) -> Iterator[bytes]:
    """Yield the sound again and again, `n_samples` in all (s16le)."""
    n_left = 2 * n_samples
    while n_left > 0:
        with sound.open("rb") as file:
            while n_left > 0 and (data := file.read(min(n_left, 1 << 16))):
                yield data
                n_left -= len(data)


def make_sound(rate_hz: int) -> bytes:
    """What is played again and again: a minute with events, then real rooms, if there are any (s16le)."""
    root = os.environ.get("STREAMGMM_DATA")
    paths = sorted(Path(root).glob("ambience/audio/*.ogg")) if root else []
    parts = [make_scene(60.0, 0, rate_hz).samples, *(_part(path, rate_hz) for path in paths)]
    return b"".join((np.clip(part, -1.0, 1.0) * 32767.0).astype("<i2").tobytes() for part in parts)


def _part(path: Path, rate_hz: int) -> np.ndarray:
    with open_recording(path) as recording:
        resampler = Resampler(recording.sample_rate_hz, rate_hz)
        blocks, n_samples = [], 0
        for samples in recording:
            blocks.append(resampler.push(samples))
            n_samples += len(blocks[-1])
            if n_samples > LONGEST_PART_S * rate_hz:
                break
    return np.concatenate(blocks)


def _feed(daemon: Daemon, sound: Path, n_samples: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # its end is told by its exit code
        for data in _repeated(sound, n_samples):
            daemon.stdin.write(data)
        daemon.stdin.close()


class Unread:
    """A subscriber that never reads, and connects again when it is cut."""

    def __init__(self, uri: str) -> None:
        self.n_cut = -1
        self._uri = uri
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._sit, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closing.set()
        self._thread.join(TIMEOUT_S)

    def _sit(self) -> None:
        while not self._is_closing.is_set():
            with contextlib.suppress(OSError), Client(self._uri, receive_space_bytes=4096) as client:
                self.n_cut += 1
                # What it sends is discarded; once it is cut, sending fails. So little that it is forgiven.
                while not self._is_closing.wait(0.5):
                    client.connection.send(b"\n")


def _follow(
    daemon: Daemon, reading: Client, looked_at_s: tuple[float, float], unread: Unread, n_sources: int
) -> Soaked:
    """Read and account for everything up to the last record; look at the process between two times of the audio."""
    began_s = time.monotonic()
    looks: list[Look] = []
    byes: list[Bye] = []
    n_events = n_lost = 0
    reading.connection.settimeout(TIMEOUT_S)
    for n_records, record in enumerate(_records(reading), 1):
        match record:
            case Dropped(count=count):
                n_lost += count
            case Start():
                n_events += 1
            case Gap():
                raise AssertionError(f"a gap where nothing can be lost: {record}")
            # Not once a source has ended: its threads and memory are gone, and those of the others may follow.
            case Heartbeat(t=t) if looked_at_s[0] <= t <= looked_at_s[1] and not byes:
                looks.append(look_at(daemon.process.pid, t))
            case Bye():
                byes.append(record)
                if len(byes) == n_sources:
                    n_lost = max(n_lost, record.seq + 1 - n_records)
                    return Soaked(looks, n_records, n_events, n_lost, unread.n_cut, byes, time.monotonic() - began_s)
    raise AssertionError(f"it ended without a bye: {daemon.log}")


def _records(reading: Client) -> Iterator[object]:
    rest = b""
    while received := reading.connection.recv(1 << 16):
        *lines, rest = (rest + received).split(b"\n")
        yield from map(decode_json, lines)


def look_at(pid: int, t: float = 0.0) -> Look:
    """A process from outside."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    rss_bytes, peak_bytes = (1024 * int(status[key].split()[0]) for key in ("VmRSS", "VmHWM"))
    return Look(t, rss_bytes, peak_bytes, n_fds(pid), int(status["Threads"]), len(children_of(pid)))


def n_fds(pid: int) -> int:
    """Descriptors that a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def children_of(pid: int) -> list[int]:
    """Processes that it started and that are there, zombies too."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def main() -> int:
    """Print the figures; an AssertionError if one is not as promised."""
    from tests.conftest import write_demo_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0, help="of audio")
    parser.add_argument("--sources", type=int, default=1, help="how many, each of as many hours (default: 1)")
    parser.add_argument("--model", type=Path, help="default: one of a few generated sounds at 16 kHz")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soaked = soak(args.model or write_demo_model(folder), folder, 3600.0 * args.hours, n_sources=args.sources)
    first, last = soaked.looks[0], soaked.looks[-1]
    print(
        f"{soaked.byes[0].t / 3600:.2f} h of audio from {len(soaked.byes)} sources in {soaked.took_s:.0f} s: "
        f"{soaked.n_records} records, "
        f"{soaked.n_events} events, {soaked.n_lost} lost, unread subscriber cut {soaked.n_cut} times\n"
        f"memory {first.rss_bytes / 2**20:.2f} MiB after warm-up, {last.rss_bytes / 2**20:.2f} at the end, "
        f"growth at most {soaked.growth_bytes / 2**20:.2f}, peak {soaked.peak_bytes / 2**20:.1f}\n"
        f"descriptors {sorted({look.n_fds for look in soaked.looks})}, "
        f"threads {sorted({look.n_threads for look in soaked.looks})}, restarts 0"
    )
    soaked.check()
    return 0


if __name__ == "__main__":
    sys.exit(main())
