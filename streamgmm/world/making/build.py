"""Build the world from Debian packages: `python -m streamgmm.world.making.build --cache DIR`.

`selection.csv` lists the sounds: kind, package, file (with `#` the member of an archive, with `|` several short sounds
that are joined), rank (0 the loudest part, 1 the next one, ...), source (sounds to hold out together), author, licence,
address. `packages.csv` pins the packages. The same input and libraries give the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

from streamgmm.world.making.credit import credits_text
from streamgmm.world.making.cutting import SLOT_SAMPLES, WORLD_RATE_HZ, CutSound, cut
from streamgmm.world.making.ogg import write_vorbis
from streamgmm.world.making.packages import Package, digest, read_packages, unpack

HERE = Path(__file__).resolve().parent
GAP_SAMPLES = 2_205  # silent samples between clips (50 ms), so that the codec spreads nothing from one to the next
QUALITY = 0.3
NOTICES = ("MIT", "BSD-3-Clause")  # licences that ask for their text


def read_selection(table: Path) -> list[dict[str, str]]:
    """Read the table of clips and name each by its kind and number."""
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    seen: dict[str, int] = {}
    for row in rows:
        seen[row["kind"]] = seen.get(row["kind"], 0) + 1
        row["id"] = f"{row['kind'].replace(' ', '_')}_{seen[row['kind']]:02d}"
    return rows


def parts(row: dict[str, str], root: Path) -> list[tuple[Path, str]]:
    """Return the files and members that a clip is made of."""
    found = []
    for name in row["file"].split("|"):
        path, _, member = name.partition("#")
        found.append((root / path, member))
    return found


def cut_all(rows: list[dict[str, str]], cache: Path, packages: dict[str, Package]) -> list[CutSound]:
    """Cut all clips; report those that fail together."""
    clips, faults = [], []
    for row in rows:
        try:
            clips.append(cut(parts(row, unpack(packages[row["origin"]], cache)), int(row["rank"])))
        # soundfile raises its errors as RuntimeError, and a missing package or member is a KeyError.
        except (ValueError, KeyError, OSError, RuntimeError) as fault:
            faults.append(f"{row['id']} ({row['file']}): {fault}")
    if faults:
        raise ValueError("\n".join(faults))
    return clips


def entry(row: dict[str, str], clip: CutSound, start: int) -> dict[str, str | int | float]:
    """Return the index entry of a clip."""
    return {
        "id": row["id"],
        "kind": row["kind"],
        "start_sample": start,
        "n_samples": len(clip.samples),
        "source_id": row["source"],
        "package": row["origin"],
        "file": row["file"],
        "author": row["author"],
        "licence": row["licence"],
        "url": row["url"],
        "rate_hz": clip.rate_hz,
        "gain_db": round(clip.gain_db, 1),
    }


def write_audio(clips: list[CutSound], path: Path) -> list[int]:
    """Write all clips to one file and return where each starts."""
    # Every clip has a slot of full length, so that its place depends only on its number.
    joined = np.zeros(len(clips) * (SLOT_SAMPLES + GAP_SAMPLES))
    starts = [number * (SLOT_SAMPLES + GAP_SAMPLES) for number in range(len(clips))]
    for start, clip in zip(starts, clips, strict=True):
        joined[start : start + len(clip.samples)] = clip.samples
    write_vorbis(path, joined, WORLD_RATE_HZ, QUALITY)
    return starts


def write_index(rows: list[dict[str, str]], clips: list[CutSound], starts: list[int], folder: Path) -> None:
    """Write the index, one clip a line."""
    entries = [entry(*item) for item in zip(rows, clips, starts, strict=True)]
    head = {"sha256": digest(folder / "world.ogg"), "rate_hz": WORLD_RATE_HZ}
    lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in entries)
    # The closing brace is replaced: the sounds follow inside the same object.
    text = json.dumps(head, ensure_ascii=False)[:-1] + f', "sounds": [\n{lines}\n]}}\n'
    (folder / "world.json").write_text(text, encoding="utf-8")


def write_credits(rows: list[dict[str, str]], packages: dict[str, Package], path: Path) -> None:
    """Write the credits."""
    used = [packages[name] for name in sorted({row["origin"] for row in rows})]
    notices = {name: (HERE / "notices" / f"{name}.txt").read_text(encoding="utf-8") for name in NOTICES}
    names = [f"{package.name} {package.version}" for package in used]
    path.write_text(credits_text(rows, names, notices), encoding="utf-8")


def main() -> int:
    """Build the world, and replace the files that ship if no other folder is given."""
    parser = argparse.ArgumentParser(description="Build world.ogg, world.json and credits.md.")
    parser.add_argument(
        "--cache", type=Path, required=True, help="folder for downloaded and unpacked packages (0.7 GB)"
    )
    parser.add_argument("--output", type=Path, default=HERE.parent, help="where the files go (default: in place)")
    options = parser.parse_args()
    rows = read_selection(HERE / "selection.csv")
    packages = read_packages(HERE / "packages.csv")
    clips = cut_all(rows, options.cache, packages)
    options.output.mkdir(parents=True, exist_ok=True)
    # The audio is written first, because the index contains its digest.
    write_index(rows, clips, write_audio(clips, options.output / "world.ogg"), options.output)
    write_credits(rows, packages, options.output / "credits.md")
    print(f"{len(rows)} sounds, {(options.output / 'world.ogg').stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
