"""`streamgmm record` without a microphone: on recordings, and with sources that fail."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamgmm.audio.choosing import PlannedSource
from streamgmm.audio.source import Block, Source, Vitals
from streamgmm.cli import record
from streamgmm.errors import DeviceError
from streamgmm.settings.source import SourceSection
from tests.cli.cli_rig import Outcome, command_of, run_cli
from tests.recording.recording_rig import beep, room, scene
from tests.required import mount_namespace

RATE_HZ = 16000
# In seconds at this rate, twice as short.
TWO_SOUNDS = scene(room(4.0), beep(1.0), room(6.0, 1), beep(0.5), room(6.0, 2))


@pytest.fixture(autouse=True)
def no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config_home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "sounds.wav", TWO_SOUNDS, RATE_HZ)
    return tmp_path / "sounds.wav"


class ScriptedSource:
    """Delivers blocks of 0.1 s, then does what the script says."""

    name = "mic"
    is_live = True

    def __init__(self, samples: np.ndarray, last: Callable[[], Block | None]) -> None:
        self._blocks = [samples[begin : begin + 1600] for begin in range(0, len(samples), 1600)]
        self._last = last

    def open(self, sample_rate_hz: int, block_samples: int | None = None) -> None:
        assert sample_rate_hz == RATE_HZ

    def read(self) -> Block | None:
        return Block(self._blocks.pop(0)) if self._blocks else self._last()

    def vitals(self) -> Vitals:
        return Vitals("mic (USB)")

    def close(self) -> None:
        pass


def listen_to(monkeypatch: pytest.MonkeyPatch, samples: np.ndarray, last: Callable[[], Block | None]) -> None:
    def plan(section: SourceSection, name: str = "") -> PlannedSource:
        def make() -> Source:
            return ScriptedSource(samples, last)

        return PlannedSource("mic", is_live=True, is_device=True, make=make)

    monkeypatch.setattr(record, "plan_source", plan)


def unplugged() -> Block | None:
    raise DeviceError("the microphone was unplugged", where="mic")


def interrupted() -> Block | None:
    raise KeyboardInterrupt


def durations_s(folder: Path) -> list[float]:
    return [soundfile.info(path).duration for path in sorted(folder.iterdir())]


def test_takes_are_trimmed_saved_and_followed_by_the_next_command(
    capsys: pytest.CaptureFixture[str], sounds: Path, tmp_path: Path
) -> None:
    outcome = run_cli(capsys, "record", "door bell", "--takes", 2, "-o", "my sounds", "--source", f"file:{sounds}")
    assert outcome.code == 0, outcome.err
    assert durations_s(tmp_path / "my sounds" / "door bell") == [pytest.approx(s + 0.6, abs=0.05) for s in (0.5, 0.25)]
    assert "saved take 2 of 2: 0.8" in outcome.err
    assert "trimmed to 0.30 to 1.40 s of 2.00 s" in outcome.err
    assert outcome.out.splitlines() == [
        "next: streamgmm record --background 10 -o 'my sounds'",
        "then: streamgmm train 'my sounds' -o my.sgm",
    ]


def test_without_trimming_the_proposal_is_shown(
    capsys: pytest.CaptureFixture[str], sounds: Path, tmp_path: Path
) -> None:
    outcome = run_cli(capsys, "record", "dog", "--no-trim", "--format", "flac", "--source", f"file:{sounds}")
    assert "not trimmed; the sound is at 0.30 to 1.40 s of 2.00 s" in outcome.err
    assert durations_s(tmp_path / "recordings" / "dog") == [pytest.approx(2.0, abs=0.05)]


def test_clips_are_played_when_all_are_recorded(
    capsys: pytest.CaptureFixture[str], sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = tmp_path / "bin" / "paplay"
    player.parent.mkdir()
    player.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/played\n')
    player.chmod(0o755)
    monkeypatch.setenv("PATH", str(player.parent))
    outcome = run_cli(capsys, "record", "bell", "--takes", 2, "--play", "-s", f"file:{sounds}")
    assert outcome.code == 0
    played = (tmp_path / "played").read_text().split()
    assert played == sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "recordings" / "bell").iterdir())
    assert len(played) == 2


def test_without_a_player_the_clips_are_there_all_the_same(
    capsys: pytest.CaptureFixture[str], sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    outcome = run_cli(capsys, "record", "bell", "--play", "-s", f"file:{sounds}")
    assert outcome.code == 0
    assert "no player is installed" in outcome.err


def test_the_room_is_recorded_in_files_of_a_minute_that_follow_each_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "PIECE_S", 2.0)
    soundfile.write("room.wav", room(20.0), RATE_HZ, subtype="FLOAT")
    outcome = run_cli(capsys, "record", "--background", "0.1", "--source", "file:room.wav")
    assert (outcome.code, outcome.out) == (0, "next: streamgmm train recordings -o my.sgm\n")
    folder = tmp_path / "recordings" / "background"
    assert durations_s(folder) == [2.0, 2.0, 2.0]
    pieces = [soundfile.read(path, dtype="int16")[0] for path in sorted(folder.iterdir())]
    np.testing.assert_array_equal(np.concatenate(pieces), np.rint(room(20.0)[: 6 * RATE_HZ] * 32768.0))


def test_takes_of_a_length_begin_once_the_room_is_known_and_all_have_that_length(
    capsys: pytest.CaptureFixture[str], sounds: Path, tmp_path: Path
) -> None:
    outcome = run_cli(capsys, "record", "dog", "--seconds", 1, "--takes", 3, "--no-trim", "--source", f"file:{sounds}")
    assert outcome.code == 0
    assert durations_s(tmp_path / "recordings" / "dog") == [1.0, 1.0, 1.0]


def test_takes_never_overwrite(capsys: pytest.CaptureFixture[str], sounds: Path, tmp_path: Path) -> None:
    for _ in range(3):
        assert run_cli(capsys, "record", "dog", "--source", f"file:{sounds}").code == 0
    names = [path.name for path in sorted((tmp_path / "recordings" / "dog").iterdir())]
    assert names == ["dog_001.wav", "dog_002.wav", "dog_003.wav"]


def test_A2_a_microphone_that_vanishes_midway_leaves_what_was_recorded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listen_to(monkeypatch, room(8.0), unplugged)
    outcome = run_cli(capsys, "record", "dog", "--seconds", 60)
    assert outcome.code == 69
    assert "holds what was recorded so far" in outcome.err
    assert outcome.err.rstrip().endswith("streamgmm: error: mic: the microphone was unplugged")
    assert durations_s(tmp_path / "recordings" / "dog") == [pytest.approx(2.9, abs=0.15)]


def test_A2_a_microphone_that_vanishes_before_a_sound_leaves_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listen_to(monkeypatch, room(4.0), unplugged)
    assert run_cli(capsys, "record", "dog").code == 69
    assert not (tmp_path / "recordings").exists()


@pytest.mark.parametrize(
    ("arguments", "n_saved", "n_wanted"),
    [
        (["dog", "--takes", 5], 2, 5),
        (["dog", "--seconds", 2, "--takes", 50], 4, 50),
        (["--background", 5], 1, 5),
        (["dog", "--config", "late.yaml"], 0, 1),
    ],
)
def test_a_source_that_ends_early_is_reported(
    capsys: pytest.CaptureFixture[str],
    sounds: Path,
    tmp_path: Path,
    arguments: list[object],
    n_saved: int,
    n_wanted: int,
) -> None:
    soundfile.write(tmp_path / "quiet.wav", room(4.0), RATE_HZ)
    (tmp_path / "late.yaml").write_text("source: {uri: 'file:quiet.wav'}\n")
    source = [] if "--config" in arguments else ["--source", f"file:{sounds}"]
    outcome = run_cli(capsys, "record", *arguments, *source)
    assert outcome.code == 65, outcome.err
    last = outcome.err.splitlines()[-1]
    assert last.endswith(f".wav: the source ended, {n_saved} of {n_wanted} takes recorded")
    # The next command is named only if there is something for it.
    assert (tmp_path / "recordings").exists() == ("next: " in outcome.out) == (n_saved > 0)


@pytest.mark.parametrize("source", ["pcm:-", "file:empty.wav"])
def test_a_source_without_any_sound_leaves_no_folder(tmp_path: Path, source: str) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE_HZ)
    (tmp_path / "mine").mkdir()
    command = command_of("record", "dog", "--seconds", 3, "-o", "mine/new", "--source", source)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 65, done.stderr
    assert list((tmp_path / "mine").iterdir()) == []


def test_an_empty_folder_that_was_there_stays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "recordings" / "dog").mkdir(parents=True)
    listen_to(monkeypatch, room(4.0), unplugged)
    assert run_cli(capsys, "record", "dog").code == 69
    assert (tmp_path / "recordings" / "dog").is_dir()


@pytest.mark.parametrize("label", ["Dog", "DOG", "\uff44og"])
def test_a_label_that_looks_like_another_is_refused_before_anything_is_recorded(
    capsys: pytest.CaptureFixture[str], sounds: Path, tmp_path: Path, label: str
) -> None:
    (tmp_path / "recordings" / "dog").mkdir(parents=True)
    (tmp_path / "recordings" / "not a label?!").mkdir()
    outcome = refused(capsys, label, "--source", f"file:{sounds}")
    assert (outcome.code, f"labels 'dog' and '{label}' differ only by case or Unicode form" in outcome.err) == (
        65,
        True,
    )
    assert sorted(path.name for path in (tmp_path / "recordings").iterdir()) == ["dog", "not a label?!"]
    assert run_cli(capsys, "record", "dog", "--source", f"file:{sounds}").code == 0


def test_F2_ctrl_c_keeps_the_take_that_was_going_on(tmp_path: Path) -> None:
    source = ScriptedSource(scene(room(4.0), beep(1.0)), interrupted)
    wanted = record.Wanted(tmp_path, None, 1, False, "wav", False)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        record.Recording(source, wanted, RATE_HZ, record.Screen(said.append, lambda _: None)).run()
    assert durations_s(tmp_path) == [pytest.approx(1.0, abs=0.05)]
    assert "interrupted" in said[-1]


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    outcome = run_cli(capsys, "record", *arguments)
    assert "Traceback" not in outcome.err
    assert outcome.err.count("\n") == 1
    return outcome


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 64, "name what is to be recorded"),
        (["a/b"], 65, "SOLIDUS"),
        (["../dog"], 65, "SOLIDUS"),
        ([".."], 64, "hidden"),
        (["background"], 64, "--background MINUTES"),
        (["unknown"], 64, "reserved"),
        (["Silence"], 65, "reserved"),
        (["dog", "--seconds", "nan"], 64, "--seconds must be above 0"),
        (["dog", "--seconds", "1e9"], 64, "at most 600"),
        (["dog", "--seconds", "0.001"], 64, "at least 0.1"),
        (["dog", "--takes", "0"], 64, "--takes must be above 0"),
        (["--background", "-1"], 64, "--background must be above 0"),
        (["--background", "5", "--takes", "2"], 64, "no --takes"),
        (["dog", "--background", "5"], 64, "takes no other label"),
        (["dog", "--seconds", "1", "--on-sound"], 64, "not allowed with"),
        (["dog", "--source", "nonsense:x"], 64, "is not a source"),
        (["dog", "--source", "file:missing.wav"], 66, "missing.wav"),
        (["dog", "-o", "/proc/nothing"], 73, "/proc/nothing"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str) -> None:
    outcome = refused(capsys, *arguments)
    assert outcome.code == code, outcome.err
    assert words in outcome.err


def test_several_sources_of_the_settings_are_chosen_by_name(
    capsys: pytest.CaptureFixture[str], sounds: Path, tmp_path: Path
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(f'sources: {{kitchen: "file:{sounds}", yard: "file:missing.wav"}}\n')
    outcome = refused(capsys, "dog", "--config", config)
    assert (outcome.code, "kitchen, yard" in outcome.err) == (64, True)
    assert run_cli(capsys, "record", "dog", "--config", config, "--source", "kitchen").code == 0
    assert run_cli(capsys, "record", "dog", "--config", config, "--source", f"file:{sounds}").code == 0


def test_a_full_disk_ends_with_one_line_and_keeps_the_takes_before(sounds: Path, tmp_path: Path) -> None:
    (disk := tmp_path / "disk").mkdir()
    command = command_of("record", "dog", "-o", disk / "mine", "--takes", 2, "--no-trim", "--source", f"file:{sounds}")
    # What is on the disk is seen from within its file system.
    shown = ["sh", "-c", f'"$@"; code=$?; ls {disk}/mine/dog >&2; exit $code', "sh", *command]
    small = mount_namespace(f"mount -t tmpfs -o size=80k none {disk}", *shown)
    done = subprocess.run(small, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 74, done.stderr
    assert "Traceback" not in done.stderr
    *_, error, name = done.stderr.splitlines()
    assert error.endswith("cannot write: No space left on device")
    assert name == "dog_001.wav"
