"""The sounds of the world as they ship: whole, audible, free, and credited."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from streamgmm import units
from streamgmm.errors import DataError
from streamgmm.world.making import build
from streamgmm.world.making.credit import LICENCES
from streamgmm.world.making.cutting import WORLD_RATE_HZ, cut
from streamgmm.world.making.packages import read_packages
from streamgmm.world.world import SHIPPED, World, read_index, read_world
from tests.audio.making import wav

MAX_BYTES = 6_000_000
MAKING = Path(build.__file__).parent


@pytest.fixture(scope="module")
def world() -> World:
    return read_world()


def test_there_are_many_kinds_and_no_kind_prevails(world: World) -> None:
    n_of_kind = Counter(sound.entry.kind for sound in world.sounds)
    assert len(world.sounds) >= 400
    assert len(n_of_kind) >= 60
    assert max(n_of_kind.values()) <= 25
    assert len({sound.entry.id for sound in world.sounds}) == len(world.sounds)


def test_each_sound_is_audible_and_at_most_a_second_and_a_half(world: World) -> None:
    for entry, samples in world.sounds:
        assert 0.25 <= units.samples_to_seconds(len(samples), world.rate_hz) <= 1.5, entry.id
        assert 0.05 < np.abs(samples).max() < 1.0, entry.id


def test_between_two_sounds_there_is_silence(world: World) -> None:
    ends = [entry.start_sample + entry.n_samples for entry, _ in world.sounds]
    starts = [entry.start_sample for entry, _ in world.sounds]
    assert min(np.subtract(starts[1:], ends[:-1])) >= 2000


def test_it_is_small_enough_to_ship() -> None:
    assert sum((SHIPPED / name).stat().st_size for name in ("world.ogg", "world.json", "credits.md")) <= MAX_BYTES


def test_every_sound_is_free_and_its_author_credited(world: World) -> None:
    text = (SHIPPED / "credits.md").read_text(encoding="utf-8")
    for entry, _ in world.sounds:
        assert entry.licence in LICENCES
        assert entry.author in text


def test_the_index_is_that_of_the_tables_that_it_is_made_from() -> None:
    rows = build.read_selection(MAKING / "selection.csv")
    entries = read_index().sounds
    assert [(row["id"], row["origin"], row["file"]) for row in rows] == [(e.id, e.package, e.file) for e in entries]
    assert {entry.package for entry in entries} == read_packages(MAKING / "packages.csv").keys()


def copied(folder: Path) -> Path:
    for name in ("world.ogg", "world.json"):
        shutil.copy(SHIPPED / name, folder / name)
    return folder


@pytest.mark.parametrize("name", ["world.ogg", "world.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "altered"])
def test_what_is_missing_or_damaged_is_refused_with_its_place(tmp_path: Path, name: str, damage: str) -> None:
    path = copied(tmp_path) / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0x80
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_world(tmp_path)
    assert caught.value.where == str(path)


def test_a_sound_is_cut_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    """The way from a recording to the file: loudest part, level, and the same bytes twice."""
    rng = np.random.default_rng(0)
    quiet, loud = 0.0001 * rng.standard_normal(WORLD_RATE_HZ), 0.2 * rng.standard_normal(WORLD_RATE_HZ)
    recording = np.clip(32767 * np.concatenate([quiet, loud, quiet]), -32768, 32767).astype("<i2")
    path = tmp_path / "a.wav"
    path.write_bytes(wav(recording, rate_hz=WORLD_RATE_HZ))
    clip = cut([(path, "")], 0)
    assert 20 * np.log10(np.abs(clip.samples).max()) == pytest.approx(-3.0, abs=0.1)
    assert abs(len(clip.samples) - WORLD_RATE_HZ) < 0.06 * WORLD_RATE_HZ
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        build.write_audio([clip, clip], tmp_path / name / "world.ogg")
    one, two = ((tmp_path / name / "world.ogg").read_bytes() for name in ("one", "two"))
    assert one == two


def test_packages_are_pinned() -> None:
    with (MAKING / "packages.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert len(bytes.fromhex(row["sha256"])) == 32
            assert row["version"]
            assert row["url"].startswith("https://")
