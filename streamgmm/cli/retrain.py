"""`streamgmm retrain`: from the reviewed clips of a run to a better model, and back."""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from rich.table import Table
from rich.text import Text

from streamgmm.cli.changes import changing_model, locked, n_classes, show_change, write_change
from streamgmm.cli.console import RichTrack, make_progress, stderr_console
from streamgmm.cli.findings import print_findings
from streamgmm.dataset.listing import Findings
from streamgmm.errors import InputMissingError, UsageError
from streamgmm.files import path_kind
from streamgmm.model.file import load_model
from streamgmm.model.room_card import RoomCard
from streamgmm.training.enrolment.cache_file import cache_path, check_cache_target, save_with_same_cache
from streamgmm.training.enrolment.comparison import HeldOutScores, ModelComparison
from streamgmm.training.enrolment.retraining import retrain, reviewed_clips
from streamgmm.wording import escaped


def run_retrain(args: argparse.Namespace) -> int:
    """Train a model again with reviewed clips and replace it unless it would be worse, or go back to the old one."""
    if args.back:
        return _go_back(args)
    previous = previous_path(args.model)
    if not args.dry_run:
        check_cache_target(previous)
    with changing_model(args) as (model, cache):
        findings = Findings()
        reviewed = reviewed_clips(args.clips, model, cache, findings)
        if not reviewed.new and reviewed.n_known and not findings.skipped:
            print_findings(findings)
            print(f"nothing to do: all {reviewed.n_known} reviewed clips are in the model")
            return 0
        with make_progress(stderr_console()) as progress:
            track = RichTrack(progress)
            change = retrain(model, cache, reviewed.new, findings, is_cached=not args.no_cache, track=track)
        print_findings(findings)
        known = {clip.clip.content_sha256 for clip in cache.clips}
        added = Counter(clip.clip.label for clip in change.cache.clips if clip.clip.content_sha256 not in known)
        remarks = [f"new clips: {', '.join(f'{label} {n}' for label, n in sorted(added.items()))}"]
        if reviewed.n_known:
            remarks.append(f"{reviewed.n_known} reviewed clips were in the model before")
        show_change(change, retrained_table(change.comparison), remarks)
        code = write_change(change, model, args, previous)
    if not args.dry_run:
        _print_next(args.model, f"the old model is kept as {escaped(previous.name)}")
    return code


def previous_path(model_path: Path) -> Path:
    """Return the path at which the model before the last retraining is kept, with its cache beside it."""
    return model_path.with_name(f"{model_path.stem}.previous{model_path.suffix}")


def _go_back(args: argparse.Namespace) -> int:
    if args.dry_run or args.force:
        raise UsageError("--back goes alone")
    check_cache_target(args.model)
    previous = previous_path(args.model)
    with locked(args.model):
        if path_kind(previous) == "nothing":
            raise InputMissingError("there is no earlier model", where=str(previous))
        saved = save_with_same_cache(load_model(previous), previous, args.model)
        # Only now: after an interruption, the command can be repeated.
        for path in (previous, cache_path(previous)):
            with suppress(OSError):
                path.unlink()
    line = f"{escaped(str(args.model))} is the earlier model again: {n_classes(saved.labels)}, sha256 {saved.sha256}"
    stderr_console().print(line, soft_wrap=True)
    _print_next(args.model)
    return 0


def _print_next(model_path: Path, line: str = "") -> None:
    console = stderr_console()
    if line:
        command = f"streamgmm retrain {shlex.quote(str(model_path))} --back"
        console.print(f"{line}; to return to it: {escaped(command)}", soft_wrap=True)
    console.print("a running daemon takes it on SIGHUP: systemctl reload streamgmm", soft_wrap=True)


def retrained_table(comparison: ModelComparison) -> Table:
    """Return a row per class: its clips, and the shares of held-out clips and of copies in a room that are found."""
    before, after, again = comparison.before, comparison.after, comparison.again
    rooms = [scores.room for scores in (before, again, after)]
    levels = _levels(rooms)
    table = Table("class", title="Held-out clips right" + (" and sounds found in the room (%)" if levels else " (%)"))
    table.caption = "after: on the clips of before; of a new class, on its own"
    for heading in ("clips", "after", "right", "after"):
        table.add_column(heading, justify="right")
    if levels:
        table.add_column(f"found at {'/'.join(levels)} dB", justify="right")
        table.add_column("after", justify="right")
    for label in sorted({*before.n_clips, *after.n_clips}):
        now = again if label in before.labels else after
        clips = [str(scores.n_clips.get(label, "-")) for scores in (before, after)]
        right = [_percent(scores, label) for scores in (before, now)]
        found = [_found(scores.room, label, levels) for scores in (before, now)] if levels else []
        table.add_row(Text(label), *clips, *right, *found)
    return table


def _percent(scores: HeldOutScores, label: str) -> str:
    return f"{100.0 * scores.held_out_recalls[label]:.0f}" if label in scores.labels else "-"


def _levels(rooms: Sequence[RoomCard | None]) -> list[str]:
    """Return the levels at which any of these knows what is found, rising."""
    known: Iterator[str] = (level for room in rooms if room for recalls in room.recalls.values() for level in recalls)
    return sorted(set(known), key=float)


def _found(room: RoomCard | None, label: str, levels: Sequence[str]) -> str:
    recalls = room.recalls.get(label, {}) if room else {}
    if not recalls:
        return "-"
    return " ".join(f"{100.0 * recalls[level]:.0f}" if level in recalls else "-" for level in levels)
