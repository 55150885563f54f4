"""Explanations of the reasons for leaving files out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from streamgmm.audio.formats.foreign import conversion_of
from streamgmm.dataset.listing import Skipped
from streamgmm.wording import escaped

EXPLANATIONS = {
    "bad_header": "has an invalid header",
    "bad_labels": "has a label track without any usable line",
    "cancelled": "has channels that cancel each other; use a single one with --set source.channel=0",
    "constant": "holds one value throughout, as from a dead microphone",
    "damaged": "is truncated or damaged",
    "denied": "may not be read; check its permissions",
    "empty": "holds no sound",
    "hidden": "is hidden, as its name begins with a dot; rename it to use it",
    "no_onsets": "has no labels with onset and offset",
    "no_such_channel": "does not have this channel",
    "nonfinite": "holds NaN or infinity",
    "not_audio": "is not a recording, or in an unknown format",
    "not_in_manifest": "is in the event list but not in the manifest",
    "not_regular": "is a pipe, a device or a socket",
    "out_of_range": "holds floats beyond a full scale of 1.0, perhaps 32768; divide them by it",
    "outside_class": "is not in the folder of a class and has no label track (X.txt beside X.wav)",
    "silent": "is silent throughout",
    "symlink": "is a symbolic link, which is not followed",
    "system_folder": "is named like a folder of a system or a program; rename it if it is a class",
    "too_large": "is too large",
    "too_long": "is too long; cut it into parts",
    "too_short": "is too short to hold a sound: less than 10 ms",
    "undecodable": "cannot be decoded",
    "unreadable": "cannot be read",
    "unsupported": "is in a format that cannot be read; convert it: ffmpeg -i X{suffix} X.wav",
    "vanished": "does not exist",
}
"""Explanation of each reason; `{suffix}` stands for the suffix of the file."""


def explanation(reason: str, path: Path | None = None) -> str:
    """Return the explanation of `reason` for the file at `path`, or for any file."""
    suffix = ".m4a" if path is None else escaped(path.suffix)
    return EXPLANATIONS.get(reason, reason).replace("{suffix}", suffix)


def left_out_lines(skipped: Iterable[Skipped]) -> list[str]:
    """Return a sentence per reason, the most frequent first, each with an example."""
    paths_by_reason: dict[str, list[Path]] = defaultdict(list)
    for path, reason in skipped:
        paths_by_reason[reason].append(path)
    by_number = sorted(paths_by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    # The first path by name is the example, so that the message does not depend on the order of the scan.
    return [f"left out: {_sentence(reason, min(paths), len(paths))}" for reason, paths in by_number]


def count_skipped(skipped: Iterable[Skipped]) -> dict[str, int]:
    """Count the files left out for each reason, sorted by reason."""
    return dict(sorted(Counter(reason for _, reason in skipped).items()))


def _sentence(reason: str, example: Path, n_files: int) -> str:
    shown = escaped(str(example))
    if n_files > 1:
        return f"{n_files} files, such as {shown}: {explanation(reason, example)}"
    if reason == "unsupported":
        return f"{shown}: is in a format that cannot be read; convert it: {escaped(conversion_of(str(example)))}"
    return f"{shown}: {explanation(reason, example)}"
