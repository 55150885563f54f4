"""What each reason for leaving a file out means, in sentences."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from streamgmm.audio.foreign import conversion_of
from streamgmm.dataset.listing import Skipped
from streamgmm.wording import escaped

EXPLANATIONS = {
    "bad_header": "the header of the recording makes no sense",
    "bad_labels": "no line of its label track can be used",
    "cancelled": "its channels cancel each other; hear one alone with --set source.channel=0",
    "constant": "holds one value throughout, as from a dead microphone",
    "damaged": "part of the recording is missing",
    "denied": "you may not read it",
    "empty": "holds no sound",
    "hidden": "is hidden, as its name begins with a dot; rename it if it is wanted",
    "no_onsets": "nothing says when its sounds begin and end",
    "no_such_channel": "has not as many channels",
    "nonfinite": "holds NaN or infinity",
    "not_audio": "is not a recording, or of a format that cannot be read",
    "not_in_manifest": "is in the event list but not in the manifest",
    "not_regular": "is a pipe, a device or a socket",
    "out_of_range": "holds floats of a larger full scale than 1.0, such as 32768; divide them by it",
    "outside_class": "lies in no folder of a class and has no label track (X.txt beside X.wav)",
    "silent": "is silent throughout",
    "symlink": "is a symbolic link; they are not followed",
    "system_folder": "is called like a folder that a system or a program makes; rename it if it is a class",
    "too_large": "is too large",
    "too_long": "is too long; cut it into parts",
    "undecodable": "cannot be decoded",
    "unreadable": "cannot be read",
    "unsupported": "is in a format that cannot be read; convert it: ffmpeg -i X{suffix} X.wav",
    "vanished": "is not there",
}
"""What each reason for leaving a file out means; `{suffix}` stands for that of the file."""


def explanation(reason: str, path: Path | None = None) -> str:
    """What `reason` means for the file at `path`, or for any file."""
    suffix = ".m4a" if path is None else escaped(path.suffix)
    return EXPLANATIONS.get(reason, reason).replace("{suffix}", suffix)


def left_out_lines(skipped: Iterable[Skipped]) -> list[str]:
    """A sentence per reason, the most frequent first, with a file of each as an example."""
    paths_by_reason: dict[str, list[Path]] = defaultdict(list)
    for path, reason in skipped:
        paths_by_reason[reason].append(path)
    by_number = sorted(paths_by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    return [f"left out: {_sentence(reason, min(paths), len(paths))}" for reason, paths in by_number]


def count_skipped(skipped: Iterable[Skipped]) -> dict[str, int]:
    """Number of files left out for each reason, sorted by reason."""
    return dict(sorted(Counter(reason for _, reason in skipped).items()))


def _sentence(reason: str, example: Path, n_files: int) -> str:
    shown = escaped(str(example))
    if n_files > 1:
        return f"{n_files} files, such as {shown}: {explanation(reason, example)}"
    if reason == "unsupported":
        return f"{shown}: is in a format that cannot be read; convert it: {escaped(conversion_of(str(example)))}"
    return f"{shown}: {explanation(reason, example)}"
