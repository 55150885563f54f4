"""The conditions of an evaluation: how `--noise`, `--room`, `--band`, `--gain` and `--seconds` alter test clips."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from streamgmm.errors import UsageError
from streamgmm.evaluation.conditions import Conditions, Noise

MAX_DB = 120.0
MAX_SECONDS = 3600.0
MAX_ROOM_S = 10.0
MAX_HZ = 96000.0


def conditions_of(args: argparse.Namespace) -> Conditions:
    """Return the conditions that the options of `add_condition_options` ask for.

    Raises:
        UsageError: a number is out of range, or a noise or band is malformed.
    """
    # `not ... <=` rejects NaN too.
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
        # NaN fails the comparison below, so that one message serves text and numbers.
        low_hz, high_hz = math.nan, math.nan
    if not 0.0 < low_hz < high_hz <= MAX_HZ:
        raise UsageError(
            f"--band {text} is not a band", hint=f"write LOW:HIGH in Hz, such as 300:3400, up to {MAX_HZ:g}"
        )
    return low_hz, high_hz


def _parse_noise(text: str | None) -> Noise | None:
    if text is None:
        return None
    # From the right, as the path of a recording may contain colons.
    name, _, number = text.rpartition(":")
    try:
        snr_db = float(number)
    except ValueError:
        snr_db = math.nan
    if not name or not abs(snr_db) <= MAX_DB:
        hint = f"write white:10, pink:10 or FILE:10, an SNR of {-MAX_DB:g} to {MAX_DB:g} dB"
        raise UsageError(f"--noise {text} is not a noise", hint=hint)
    match name:
        case "white" | "pink":
            return Noise(name, snr_db)
        case _:
            return Noise("file", snr_db, Path(name))
