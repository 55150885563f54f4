"""Two channels of one interface, and two microphones, in one run on real sound servers."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from streamgmm.audio.microphone.interface import Interface
from streamgmm.audio.microphone.microphone import InterfaceChannel
from tests.pulse_rig import PulseServer, write_wav
from tests.system.listening import RATE_HZ, Listening
from tests.system.run_rig import Json, check_bye, parse, running, wait_until

STUDIO = "sink_name=studio rate=16000 channels=2 format=s16le norewinds=1"
LEFT = "  left: {uri: mic:studio.monitor, channel: 0}\n"
RIGHT = "  right: {uri: mic:studio.monitor, channel: 1}\n"
HEARING = ("ok", "quiet", "silent", "flat")
OTHER = "  other: mic:testsink.monitor\n"


def plug_in(server: PulseServer) -> str:
    """Load the interface of two channels; returns the number of its module."""
    return server.pactl("load-module", "module-null-sink", *STUDIO.split())


@pytest.fixture
def studio(server: PulseServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of the interface, and the environment of this process set to its server."""
    for key, value in server.changes.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("PULSE_SOURCE")
    return plug_in(server)


@contextlib.contextmanager
def listening(model: Path, settings: Path, sources: str, names: str) -> Iterator[Listening]:
    """A run of the sources that the settings file names, once each of `names` has given a window."""
    settings.write_text(f"sources:\n{sources}")
    with running("-m", model, "-c", settings, "--windows") as daemon:
        stream = Listening(daemon)
        read_until_each(stream, names, "window")
        yield stream


def children(stream: Listening) -> list[int]:
    """The capture processes of a run."""
    found: list[str] = []
    for task in Path(f"/proc/{stream.daemon.process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += (task / "children").read_text().split()
    return [int(child) for child in found]


def of_source(stream: Listening, name: str, kind: str) -> list[Json]:
    return [record for record in stream.records if (record["source"], record["type"]) == (name, kind)]


def read_until_each(stream: Listening, names: str, kind: str, states: tuple[str | None, ...] = (None,)) -> None:
    """Read until each source has given a record of that kind and of one of these states, from now on."""
    n_before = len(stream.records)

    def have_all(record: Json) -> bool:
        fitting = [r for r in stream.records[n_before:] if r["type"] == kind and r.get("state") in states]
        return set(names.split()) <= {r["source"] for r in fitting}

    stream.read_until(kind, after=have_all)


def stop(stream: Listening) -> dict[str, Json]:
    """End the run; returns the last record of each source, with every sample accounted for."""
    stream.daemon.terminate()
    stream.records += parse(stream.daemon.stdout.read())
    byes = {record["source"]: record for record in stream.records if record["type"] == "bye"}
    for name, bye in byes.items():
        check_bye(bye, bye["reason"])
        assert bye["lost_samples"] == 0
        gap_samples = sum(record["lost_samples"] for record in of_source(stream, name, "gap"))
        assert bye["t"] == pytest.approx((bye["captured_samples"] + gap_samples) / RATE_HZ)
    return byes


def hear(source: InterfaceChannel, n_samples: int) -> np.ndarray:
    """Whole blocks from the first sample that is not zero on."""
    heard = np.zeros(0, np.float32)
    while len(heard) < n_samples:
        block = source.read()
        assert block is not None
        assert block.gap_reason is None
        heard = np.concatenate([heard, block.samples])
        heard = heard[int(np.argmax(heard != 0)) if heard.any() else len(heard) :]
    return heard[:n_samples]


def test_two_sources_hear_each_its_channel_bit_by_bit(server: PulseServer, studio: str, tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(1, 32768, (2 * RATE_HZ, 2)).astype(np.int16)
    wav = write_wav(tmp_path / "stereo.wav", values, RATE_HZ)
    interface = Interface("studio.monitor")
    sources = [InterfaceChannel(interface, channel) for channel in (0, 1)]
    with ThreadPoolExecutor(2) as readers, contextlib.ExitStack() as closing:
        for source in sources:
            closing.callback(source.close)
            source.open(RATE_HZ)
        server.play(wav, sink="studio")
        heard = [readers.submit(hear, source, len(values)) for source in sources]
        for channel in (0, 1):
            np.testing.assert_array_equal(heard[channel].result(30), values[:, channel].astype(np.float32) / 32768)


def test_a_single_channel_is_that_of_the_interface_and_not_its_mixture(server: PulseServer, studio: str) -> None:
    with contextlib.closing(InterfaceChannel(Interface("studio.monitor"), 0)) as source:
        source.open(RATE_HZ)
        assert source.opened is not None
        assert source.opened.n_channels == 2


@pytest.mark.parametrize("fault", ["child killed", "server killed"])
def test_A23_A25_A46_both_sources_of_an_interface_recover(
    demo_model: Path, server: PulseServer, studio: str, tmp_path: Path, fault: str
) -> None:
    with listening(demo_model, tmp_path / "c.yaml", LEFT + RIGHT, "left right") as stream:
        (child,) = children(stream)
        if fault == "child killed":
            os.kill(child, signal.SIGKILL)
        else:
            server.kill()
        read_until_each(stream, "left right", "status", ("lost", "stalled"))
        if fault == "server killed":
            server.start()
            plug_in(server)
        read_until_each(stream, "left right", "status", HEARING)
        read_until_each(stream, "left right", "window")
        (again,) = children(stream)
        assert again != child
        byes = stop(stream)
    for name in ("left", "right"):
        assert {record["reason"] for record in of_source(stream, name, "gap")} == {"device_lost"}
        assert of_source(stream, name, "status")[-1]["health"]["n_reopened"] == 1
    assert byes["left"]["t"] == pytest.approx(byes["right"]["t"], abs=0.5)


def test_F31_a_channel_is_added_to_an_interface_and_dropped_without_a_gap_of_the_other(
    demo_model: Path, server: PulseServer, studio: str, tmp_path: Path
) -> None:
    settings = tmp_path / "c.yaml"
    with listening(demo_model, settings, LEFT, "left") as stream:
        (child,) = children(stream)
        settings.write_text(f"sources:\n{LEFT}{RIGHT}")
        stream.daemon.signal(signal.SIGHUP)
        stream.read_until("window", source="right")
        assert children(stream) == [child]
        settings.write_text(f"sources:\n{RIGHT}")
        stream.daemon.signal(signal.SIGHUP)
        stream.read_until("bye", source="left")
        stream.read_until("window", source="right")
        assert children(stream) == [child]
        byes = stop(stream)
    assert byes.keys() == {"left", "right"}
    assert Counter(record["type"] for record in stream.records)["gap"] == 0


def test_A2_A46_a_microphone_that_is_unplugged_costs_another_no_sample(
    demo_model: Path, server: PulseServer, studio: str, tmp_path: Path
) -> None:
    started_s = time.monotonic()
    with listening(demo_model, tmp_path / "c.yaml", LEFT + OTHER, "left other") as stream:
        assert len(children(stream)) == 2
        server.pactl("unload-module", studio)
        read_until_each(stream, "left", "status", ("lost", "stalled"))
        plug_in(server)
        read_until_each(stream, "left", "status", HEARING)
        read_until_each(stream, "left", "window")
        assert wait_until(lambda: len(children(stream)) == 2, "another number of capture processes than microphones")
        byes = stop(stream)
    assert of_source(stream, "other", "gap") == []
    assert {record["state"] for record in of_source(stream, "other", "status")} <= set(HEARING)
    assert byes["other"]["captured_samples"] / RATE_HZ <= time.monotonic() - started_s
    assert byes["other"]["t"] == pytest.approx(byes["left"]["t"], abs=1.0)
