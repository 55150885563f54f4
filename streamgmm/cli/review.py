"""`streamgmm review`: listen to clips of a run, and sort them into training clips."""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from streamgmm.cli.playing import play
from streamgmm.clips.reviewing import Candidate, Judgement, accepted_folder, judge, list_candidates, list_judged
from streamgmm.errors import DataError, InputMissingError, UsageError
from streamgmm.labels import BACKGROUND, UNKNOWN, check_label
from streamgmm.wording import escaped

_KEYS = "[a]ccept, [l]abel, [r]eject, [n]ot mine, [s]kip, [p]lay, [q]uit"
_HELP = """\
a  it is this sound: a training clip of its label
l  it is another sound: asks for its label
r  it is nothing to report: a training clip of the background
n  it is this sound, but not mine (a neighbour's, the television's): kept out of training
s  decide later; p  play it; q  quit"""


def run_review(args: argparse.Namespace) -> int:
    """List the clips, move those that are named, or ask about each."""
    _check(args)
    candidates = list_candidates(args.directory)
    if args.clips:
        candidates = _named(args.directory, candidates, args.clips)
    if args.list:
        _print_list(args.directory, candidates)
        return 0
    if args.label is not None:
        return _move_all(args.directory, candidates, args.label)
    if not candidates:
        print("there is nothing to review")
        return 0
    moved = Review(args.directory, input).run(candidates)
    print(", ".join(f"{n} {what}" for what, n in moved.items()) or "nothing was moved")
    if accepted_folder(args.directory).is_dir():
        print(f"next: streamgmm retrain MODEL --clips {shlex.quote(str(args.directory))}")
    return 0


class Review:
    """Ask a person about one clip after the other.

    Args:
        directory: folder of the clips.
        ask: shows a prompt, and returns the line that was entered; raises EOFError at the end.
    """

    def __init__(self, directory: Path, ask: Callable[[str], str]) -> None:
        self._directory = directory
        self._ask = ask
        self._moved: Counter[str] = Counter()

    def run(self, candidates: Sequence[Candidate]) -> Counter[str]:
        """Review the clips in their order; return the number of those moved, by what was decided."""
        try:
            for n, clip in enumerate(candidates, 1):
                if not clip.path.exists():
                    print(f"{n} of {len(candidates)}  gone: {clip.path.name}")
                    continue
                print(f"{n} of {len(candidates)}  {_describe(clip)}")
                if not self._decide(clip):
                    break
        except EOFError:
            print()
        return self._moved

    def _decide(self, clip: Candidate) -> bool:
        """Ask until something is decided; return False to quit."""
        while True:
            match self._ask(f"{_KEYS}, [?]: ").strip().lower()[:1]:
                case "a" if clip.label != UNKNOWN:
                    done = self._judge(clip, Judgement("accept"), f"as {clip.label}")
                case "a" | "l":
                    done = self._relabel(clip, self._ask("label: ").strip())
                case "r":
                    done = self._judge(clip, Judgement("reject"), f"as {BACKGROUND}")
                case "n":
                    done = self._judge(clip, Judgement("not_mine"), "not mine")
                case "s":
                    return True
                case "p":
                    done = _play(clip.path)
                case "q":
                    return False
                case _:
                    done = False
                    print(_HELP)
            if done:
                return True

    def _relabel(self, clip: Candidate, label: str) -> bool:
        try:
            return self._judge(clip, Judgement("accept", check_label(label)), f"as {label}")
        except (DataError, UsageError) as error:
            # A label that was mistyped; what the disk refuses ends the review.
            print(error)
            return False

    def _judge(self, clip: Candidate, judgement: Judgement, what: str) -> bool:
        if judge(self._directory, clip.path, clip.label, judgement) is None:
            print("gone: somebody else has moved or removed it")
        else:
            self._moved[what] += 1
        return True


def _check(args: argparse.Namespace) -> None:
    if args.list and args.label is not None:
        raise UsageError("--list moves nothing, so it goes without --as")
    if args.label is not None and not args.clips:
        raise UsageError("--as needs the clips that it is about", hint="streamgmm review DIR CLIP --as LABEL")


def _named(directory: Path, candidates: Sequence[Candidate], names: Sequence[str]) -> list[Candidate]:
    """Return the clips that are named relative to `directory`, or by a whole path.

    Raises:
        InputMissingError: one of them is not there any more.
    """
    by_path = {clip.path: clip for clip in candidates}
    found = [by_path.get(directory / name) or by_path.get(Path(name)) for name in names]
    for name, clip in zip(names, found, strict=True):
        if clip is None:
            hint = _where_judged(directory, Path(name).name)
            raise InputMissingError("is not a clip here, or somebody else has moved it", where=name, hint=hint)
    return [clip for clip in found if clip is not None]


def _where_judged(directory: Path, name: str) -> str:
    """Return what to do about a clip that was reviewed already; empty if there is none of that name."""
    with suppress(OSError):
        for path, _ in list_judged(directory):
            if path.name == name:
                return f"it was reviewed, and is now {path}: move or remove it there"
    return ""


def _move_all(directory: Path, clips: Sequence[Candidate], label: str) -> int:
    judgement = Judgement("accept", check_label(label))
    code = 0
    for clip in clips:
        target = judge(directory, clip.path, clip.label, judgement)
        if target is None:
            code = InputMissingError.exit_code
            print(f"gone: {escaped(str(clip.path))}")
        else:
            print(escaped(str(target)))
    return code


def _print_list(directory: Path, clips: Sequence[Candidate]) -> None:
    print("clip\tkind\tlabel\tscore")
    for clip in clips:
        print(f"{clip.path.relative_to(directory)}\t{clip.kind}\t{clip.label}\t{clip.score:.4f}")


def _describe(clip: Candidate) -> str:
    words = {"event": "event", "near_miss": "near miss", "unknown": "unknown sound"}
    text = f"{words[clip.kind]}  {clip.label}  score {clip.score:.2f}"
    info = clip.info()
    if info is not None:
        text += f"  {info.record.start_time or f'{info.record.start_t:.1f} s'}  {info.duration_s:.1f} s"
        text += f"  {info.record.source}"
        if clip.kind == "unknown":
            text += f"  (most like {info.label})"
    return escaped(f"{text}  {clip.path}")


def _play(path: Path) -> bool:
    """Play a clip to its end; return False, as nothing is decided by that."""
    play(path)
    return False
