"""`streamgmm record`: training clips from the microphone that will listen."""

from __future__ import annotations

import argparse
import contextlib
import select
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.live import Live
from rich.text import Text

from streamgmm.audio.choosing import plan_source
from streamgmm.audio.encoding import FileFormat
from streamgmm.audio.source import Source
from streamgmm.audio.streams.url import without_secrets
from streamgmm.cli.console import stderr_console
from streamgmm.cli.level_meter import METER_RATE_HZ, LevelMeter
from streamgmm.cli.options import as_overrides
from streamgmm.cli.playing import play
from streamgmm.errors import DataError, UsageError
from streamgmm.label_folders import folder_if_used
from streamgmm.labels import BACKGROUND
from streamgmm.recording.files import refuse_reserved, save_take
from streamgmm.recording.quality import propose_trim, trimmed, warnings_of
from streamgmm.recording.takes import Take, TakeCutter
from streamgmm.settings.config import Config, settings_by_source
from streamgmm.settings.loading import load_config
from streamgmm.settings.source import SourceSection

MAX_SECONDS = 600.0
MAX_MINUTES = 24 * 60.0
MAX_TAKES = 1000
PIECE_S = 60.0
"""Length of the files of a room (s): what was recorded stays if the rest fails."""

Show = Callable[[str], None]


class Screen(NamedTuple):
    """Where a line is shown.

    Attributes:
        say: prints a line that stays, above the meter.
        show: replaces the line of the meter.
    """

    say: Show
    show: Show


class Wanted(NamedTuple):
    """Recordings that the command line asks for.

    Attributes:
        folder: folder of the label.
        take_s: length of each take (s); None: as long as its sound.
        n_takes: number of takes.
        is_room: whether they are of the room alone.
        file_format: format of the files.
        is_trimmed: whether to cut the silence around a sound.
    """

    folder: Path
    take_s: float | None
    n_takes: int
    is_room: bool
    file_format: FileFormat
    is_trimmed: bool

    @property
    def needs_enter(self) -> bool:
        """Whether somebody at a terminal starts each take."""
        return self.take_s is not None and not self.is_room and sys.stdin is not None and sys.stdin.isatty()


def run_record(args: argparse.Namespace) -> int:
    """Record what was asked for; what was recorded before a failure or Ctrl-C is kept.

    Raises:
        DataError: the source ended before all takes were recorded.
        StreamgmmError: the source failed, or a take cannot be written.
    """
    _check_numbers(args)
    label = _label_of(args)
    section, rate_hz = _choose_source(args)
    planned = plan_source(section)
    with contextlib.ExitStack() as stack:
        # Left last, when all takes are written.
        wanted = _wanted(args, stack.enter_context(folder_if_used(args.output, label)))
        stack.callback(planned.close)
        source = stack.enter_context(contextlib.closing(planned.make()))
        source.open(rate_hz)
        saved = Recording(source, wanted, rate_hz, stack.enter_context(_screen())).run()
    # After the last take, as the microphone would hear it too.
    if args.play:
        _play_all(saved)
    if saved:
        _print_next(args.output)
    if len(saved) < wanted.n_takes:
        what = f"the source ended, {len(saved)} of {wanted.n_takes} takes recorded"
        raise DataError(what, where=without_secrets(section.uri))
    return 0


class Recording:
    """One run of the command: read the source, and save each take as soon as it is over.

    Args:
        source: an open source.
        wanted: what to record.
        sample_rate_hz: rate of the source.
        screen: shows messages and the meter.
    """

    def __init__(self, source: Source, wanted: Wanted, sample_rate_hz: int, screen: Screen) -> None:
        self._source = source
        self._wanted = wanted
        self._say, self._show = screen
        self._cutter = TakeCutter(sample_rate_hz, wanted.take_s)
        self._meter = LevelMeter(sample_rate_hz)
        self._saved: list[Path] = []
        self._n_prompted = 0

    def run(self) -> list[Path]:
        """Record until all takes are there, or the source ends; return the files."""
        self._say(f"listening to {self._source.vitals().description}")
        try:
            self._record()
        except BaseException:
            # The microphone is gone, or Ctrl-C: the caller reports it, after what there is was kept.
            self._save_rest()
            raise
        self._save_rest()
        return self._saved

    def _record(self) -> None:
        while len(self._saved) < self._wanted.n_takes and (block := self._source.read()) is not None:
            self._prompt()
            self._begin_if_asked()
            self._cutter.lose(block.lost_samples)
            for take in self._cutter.push(block.samples):
                self._save(take)
                if len(self._saved) == self._wanted.n_takes:
                    return
                # A room goes on without a pause.
                self._begin_if_asked()
            for meter in self._meter.push(block.samples):
                self._show(f"{self._state():>16}  {meter.bar(30)}  {meter.describe()}")

    def _begin_if_asked(self) -> None:
        if self._wanted.take_s is None or self._cutter.is_recording:
            return
        # The level of the room is known first, if a sound is to stand out from it.
        is_due = _was_entered() if self._wanted.needs_enter else self._wanted.is_room or self._cutter.is_settled
        if is_due:
            self._say(f"recording {self._next()}")
            self._cutter.begin()

    def _save_rest(self) -> None:
        take = self._cutter.interrupt()
        if take is not None:
            self._save(take)

    def _save(self, take: Take) -> None:
        wanted = self._wanted
        trim = None if wanted.is_room else propose_trim(take)
        kept = trimmed(take, trim) if wanted.is_trimmed else take
        path = save_take(kept, wanted.folder, wanted.file_format)
        self._saved.append(path)
        self._say(f"saved take {len(self._saved)} of {wanted.n_takes}: {kept.duration_s:.2f} s, {path}")
        if trim is not None:
            verb = "trimmed to" if wanted.is_trimmed else "not trimmed; the sound is at"
            self._say(f"  {verb} {trim.describe(take)}, {take.floor_dbfs:.0f} dBFS being the room")
        for text in warnings_of(take, is_room=wanted.is_room):
            self._say(f"  warning: {text}")
        if not take.is_whole:
            self._say("  warning: it was interrupted, and holds what was recorded so far")

    def _prompt(self) -> None:
        """Ask for the next take, once, as soon as it can be recorded."""
        if self._n_prompted > len(self._saved) or not self._cutter.is_settled:
            return
        self._n_prompted += 1
        if self._wanted.needs_enter:
            self._say(f"press Enter for {self._next()}")
        elif self._wanted.take_s is None:
            self._say(f"make the sound for {self._next()}")

    def _next(self) -> str:
        return f"take {len(self._saved) + 1} of {self._wanted.n_takes}"

    def _state(self) -> str:
        if self._cutter.is_recording:
            return f"recording {self._cutter.recorded_s:.1f} s"
        return "waiting" if self._cutter.is_settled or self._wanted.take_s else "hearing the room"


def _play_all(paths: Sequence[Path]) -> None:
    # stdout is for the next command.
    with contextlib.redirect_stdout(sys.stderr):
        for path in paths:
            print(f"playing {path}", flush=True)
            if not play(path):
                return


def _was_entered() -> bool:
    """Return whether a line was entered, without waiting for one."""
    # At the end of stdin, nobody will press Enter any more: go on at once.
    return bool(select.select([sys.stdin], [], [], 0)[0]) and sys.stdin.readline() is not None


def _check_numbers(args: argparse.Namespace) -> None:
    for value, option, most in (
        (args.seconds, "--seconds", MAX_SECONDS),
        (args.background, "--background", MAX_MINUTES),
        (args.takes, "--takes", MAX_TAKES),
    ):
        # NaN compares as false with everything.
        if value is not None and not 0 < value <= most:
            raise UsageError(f"{option} must be above 0 and at most {most:g}, not {value:g}")
    if args.seconds is not None and args.seconds < 0.1:
        raise UsageError(f"--seconds must be at least 0.1, not {args.seconds:g}")


def _label_of(args: argparse.Namespace) -> str:
    label: str | None = args.label
    if args.background is not None:
        if label not in (None, BACKGROUND):
            raise UsageError("--background records the room, and takes no other label", where=label or "")
        if args.takes != 1:
            raise UsageError("--background has no --takes: it is one recording, in files of a minute")
        return BACKGROUND
    if label is None:
        raise UsageError("name what is to be recorded", hint="e.g. streamgmm record doorbell, or --background 10")
    refuse_reserved(label)
    return label


def _choose_source(args: argparse.Namespace) -> tuple[SourceSection, int]:
    """Return the source, and the rate at which models listen to it."""
    chosen = args.source
    loaded = load_config(args.config, args.overrides)
    if chosen is not None and chosen not in loaded.config.sources:
        uri = {"source.uri": chosen, "sources": {}}
        loaded = load_config(args.config, [*as_overrides(uri), *args.overrides])
    config = _only_source(settings_by_source(loaded.config), chosen)
    return config.source, config.features.sample_rate_hz or METER_RATE_HZ


def _only_source(by_name: dict[str, Config], chosen: str | None) -> Config:
    if chosen in by_name:
        return by_name[chosen]
    if len(by_name) > 1:
        raise UsageError("the settings name several sources", hint=f"choose with --source: {', '.join(by_name)}")
    return next(iter(by_name.values()))


def _wanted(args: argparse.Namespace, folder: Path) -> Wanted:
    if args.background is None:
        return Wanted(folder, args.seconds, args.takes, False, args.format, not args.no_trim)
    duration_s = args.background * 60.0
    n_files = max(1, round(duration_s / PIECE_S))
    return Wanted(folder, duration_s / n_files, n_files, True, args.format, False)


@contextlib.contextmanager
def _screen() -> Iterator[Screen]:
    """Yield where lines are shown: a live meter below them on a terminal, and none elsewhere."""
    console = stderr_console()

    def say(text: str) -> None:
        console.print(Text(text), soft_wrap=True)

    if not console.is_terminal:
        yield Screen(say, lambda line: None)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Screen(say, lambda line: live.update(Text(line, no_wrap=True, overflow="crop"), refresh=True))


def _print_next(directory: Path) -> None:
    """Print the next command to type."""
    place = shlex.quote(str(directory))
    if not (directory / BACKGROUND).is_dir():
        print(f"next: streamgmm record --background 10 -o {place}")
        print(f"then: streamgmm train {place} -o my.sgm")
    else:
        print(f"next: streamgmm train {place} -o my.sgm")
