"""Prints how well a few sounds are detected in a room: `python -m tests.benchmarks.room [--brief]`.

Eight users each teach two to five sounds with 5, 8 or 16 clips, and then let the model listen for hours. Five want a
*kind* of sound (any dog) and are tested on other sources; three want their *own* (one person's word, one pack of notes)
and are tested on other takes. Streams are ambiences in which 570 different foreign sounds an hour occur: kitchens,
ESC-10, notes, music, words and meetings. A stream of each user holds the targets too, at 0 to 20 dB over the ambience.
Foreign sounds that a user would be glad to have reported are cut out, as are the sources that were trained on.
`--deals 3` deals the clips of each user out to training and test three times;
`--rate 44100` measures streams, and trains, at another rate than 16 kHz.

Needs STREAMGMM_DATA, a folder of corpora. Features are kept in files, so that another trainer is measured soon.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from streamgmm.errors import ConfigError
from streamgmm.settings.config import Config
from streamgmm.settings.loading import load_config
from tests.benchmarks.room.hearing import Ears
from tests.benchmarks.room.report import results_table, write_json, write_picture
from tests.benchmarks.room.sounds import CORPORA, RATE_HZ, read_sounds
from tests.benchmarks.room.streams import STREAM_S, plan_foreign, plan_room, plan_targets
from tests.benchmarks.room.trial import ROOM_USES, Result, try_user
from tests.benchmarks.room.users import N_TARGETS, USERS, User, make_lesson

CACHE = Path("~/.cache/streamgmm-tests/room")
DEFAULTS = Path(__file__).parents[3] / "config.yaml"
N_FOREIGN_STREAMS = 9
BRIEF_USERS = ("farm", "words")
BRIEF_S = 120.0
BRIEF_TARGETS = 8
BRIEF_SETTINGS = ("training.search=false", "training.copies=false")


def main(arguments: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(arguments)
    root = Path(os.environ.get("STREAMGMM_DATA", "")).absolute()
    if not all((root / corpus / "manifest.csv").is_file() for corpus in CORPORA):
        _parser().error("STREAMGMM_DATA does not name a folder of all corpora")
    settings = [f"features.sample_rate_hz={args.rate}", *(BRIEF_SETTINGS if args.brief else ()), *args.set]
    try:
        config = load_config(DEFAULTS, settings).config
    except ConfigError as error:
        _parser().error(str(error))
    room_uses = ROOM_USES if args.room == [] else args.room or ()
    users = [user for user in USERS if user.name in args.models and args.only in (None, user.kind)]
    if args.brief:
        users = [user for user in users if user.name in BRIEF_USERS]
    users = [user._replace(deal=deal) for deal in range(args.deals) for user in users]
    console = Console(width=180)
    ears = Ears(root, args.cache.expanduser())
    results = measure(users, ears, root, config, room_uses=room_uses, is_brief=args.brief, console=console)
    title = "Detection in a room" + (f", whose recording was given to {' and '.join(room_uses)}" if room_uses else "")
    console.print(results_table(results, title))
    if args.json:
        write_json(args.json, results, {"room": list(room_uses), "set": settings})
    if args.picture:
        write_picture(args.picture, results, title)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.room", description=__doc__.split("\n")[0])
    names = [user.name for user in USERS]
    parser.add_argument("--brief", action="store_true", help="two users, some minutes: enough to see that nothing rots")
    parser.add_argument(
        "--models", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {', '.join(names)}"
    )
    parser.add_argument("--only", choices=("kinds", "own"), help="only users of this kind")
    parser.add_argument(
        "--room",
        nargs="*",
        choices=ROOM_USES,
        help="give the recording of the room to train, to tune, or (default) both",
    )
    parser.add_argument(
        "--deals", type=int, default=1, metavar="N", help="try each user with N choices of clips (default: 1)"
    )
    parser.add_argument(
        "--rate", type=int, default=RATE_HZ, metavar="HZ", help=f"of streams and models (default: {RATE_HZ})"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help=f"features (default: {CACHE})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw recall over false alarms (.svg, .png)")
    return parser


def measure(
    users: Sequence[User],
    ears: Ears,
    root: Path,
    config: Config,
    *,
    room_uses: Sequence[str],
    is_brief: bool,
    console: Console,
) -> list[Result]:
    """Try each of `users`; the streams of one do not depend on which others are tried."""
    sounds = read_sounds(root)
    foreign = plan_foreign(sounds, 1, BRIEF_S) if is_brief else plan_foreign(sounds, N_FOREIGN_STREAMS, STREAM_S)
    room = plan_room(sounds, [make_lesson(user, sounds) for user in (*USERS, *users)], foreign)
    results = []
    for user in users:
        started_s = time.monotonic()
        lesson = make_lesson(user, sounds)
        plans = [plan_targets(lesson, sounds, BRIEF_TARGETS if is_brief else N_TARGETS), *foreign]
        result = try_user(lesson, plans, room, room_uses, ears, root, config)
        results.append(result)
        console.print(
            f"{user.seed}: {time.monotonic() - started_s:.0f} s"
            f" (training {result.training_s:.0f} s, listening {result.scoring_s:.0f} s)",
            *result.remarks,
        )
    return results


if __name__ == "__main__":
    main()
