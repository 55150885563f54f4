"""Options for what is done to test clips before they are answered."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.cli.parser import place
from streamgmm.errors import UsageError

if TYPE_CHECKING:
    from streamgmm.evaluation.conditions import Conditions, Noise

MAX_DB = 120.0
MAX_SECONDS = 3600.0
MAX_ROOM_S = 10.0
MAX_HZ = 96000.0


def add_condition_options(parser: argparse.ArgumentParser) -> None:
    """Add `--noise`, `--room`, `--band`, `--gain` and `--seconds`, for `conditions_of`."""
    parser.add_argument(
        "--noise", metavar="KIND:DB", type=place, help="test in noise of this SNR: white, pink or a recording"
    )
    parser.add_argument("--room", metavar="S", type=float, help="test in a room of this reverberation time")
    parser.add_argument("--band", metavar="LOW:HIGH", help="test through a microphone that hears these Hz only")
    parser.add_argument("--gain", metavar="DB", type=float, default=0.0, help="test at another level")
    parser.add_argument("--seconds", metavar="S", type=float, help="test on the first active seconds only")


def conditions_of(args: argparse.Namespace) -> Conditions:
    """The conditions that were asked for.

    Raises:
        UsageError: a number makes no sense.
    """
    from streamgmm.evaluation.conditions import Conditions

    # Written so that NaN is refused too.
    if not abs(args.gain) <= MAX_DB:
        raise UsageError(f"--gain is {args.gain:g}, must be {-MAX_DB:g} to {MAX_DB:g} dB")
    if args.seconds is not None and not 0.0 < args.seconds <= MAX_SECONDS:
        raise UsageError(f"--seconds is {args.seconds:g}, must be above 0 and at most {MAX_SECONDS:g}")
    if args.room is not None and not 0.0 < args.room <= MAX_ROOM_S:
        raise UsageError(f"--room is {args.room:g}, must be above 0 and at most {MAX_ROOM_S:g} seconds")
    return Conditions(_parse_noise(args.noise), args.seconds, args.gain, args.room, _parse_band(args.band))


def _parse_band(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low_hz, high_hz = (float(end) for end in text.split(":"))
    except ValueError:
        low_hz, high_hz = math.nan, math.nan
    if not 0.0 < low_hz < high_hz <= MAX_HZ:
        raise UsageError(f"--band {text} is no band", hint=f"write LOW:HIGH in Hz, such as 300:3400, up to {MAX_HZ:g}")
    return low_hz, high_hz


def _parse_noise(text: str | None) -> Noise | None:
    from streamgmm.evaluation.conditions import Noise

    if text is None:
        return None
    name, _, number = text.rpartition(":")
    try:
        snr_db = float(number)
    except ValueError:
        snr_db = math.nan
    if not name or not abs(snr_db) <= MAX_DB:
        hint = f"write white:10, pink:10 or FILE:10, an SNR of {-MAX_DB:g} to {MAX_DB:g} dB"
        raise UsageError(f"--noise {text} is no noise", hint=hint)
    match name:
        case "white" | "pink":
            return Noise(name, snr_db)
        case _:
            return Noise("file", snr_db, Path(name))
