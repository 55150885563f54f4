"""Writes the credits that the licences ask for, grouped by licence and author."""

from __future__ import annotations

from itertools import groupby

LICENCES = {
    "BSD-3-Clause": "https://spdx.org/licenses/BSD-3-Clause.html",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "LicenseRef-Public-Domain": "https://en.wikipedia.org/wiki/Public_domain",
    "MIT": "https://spdx.org/licenses/MIT.html",
}

HEAD = """# Credits of the world

`world.ogg` holds {clips} clips of other people's recordings. Each was mixed to mono, cut to its loudest 1.5 s at most
(short sounds were joined or repeated), resampled to 44.1 kHz, levelled, faded, and encoded as Ogg Vorbis; none of the
authors endorses this use. `world.json` names the file, author, licence and address of each clip. Clips under CC BY-SA
stay under that licence, alterations included; the file as a whole is a collection of separate works.

"""


def short_name(file: str) -> str:
    """Return the name of a clip's first file, or of its first member."""
    path, _, member = file.partition("|")[0].partition("#")
    return (member or path).rsplit("/", 1)[-1]


def lines_of(author: str, clips: list[dict[str, str]]) -> list[str]:
    """Return the lines of one author's clips."""
    lines = [f"- **{author}**"]
    for (origin, url), group in groupby(clips, key=lambda clip: (clip["origin"], clip["url"])):
        files = dict.fromkeys(short_name(clip["file"]) for clip in group)
        lines.append(f"  - {origin}, <{url}>: {', '.join(files)}")
    return lines


def credits_text(clips: list[dict[str, str]], packages: list[str], notices: dict[str, str]) -> str:
    """Return the credits as Markdown; `notices` are texts of licences that must go along."""
    text = [HEAD.format(clips=len(clips))]
    # `groupby` groups only neighbours: sort by all keys by which the clips are grouped.
    ordered = sorted(clips, key=lambda clip: (clip["licence"], clip["author"], clip["origin"], clip["url"]))
    for licence, group in groupby(ordered, key=lambda clip: clip["licence"]):
        members = list(group)
        text.append(f"## {licence} ({len(members)} clips)\n\n<{LICENCES[licence]}>\n\n")
        for author, own in groupby(members, key=lambda clip: clip["author"]):
            text.append("\n".join(lines_of(author, list(own))) + "\n")
        text.append(f"\n```\n{notices[licence].strip()}\n```\n\n" if licence in notices else "\n")
    text.append("## Debian packages\n\n" + "\n".join(f"- {package}" for package in packages) + "\n")
    return "".join(text)
