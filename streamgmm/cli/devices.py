"""`streamgmm devices`: which microphones there are, and whether one of them hears anything."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from streamgmm.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from streamgmm.audio.microphone import Device

_DESCRIPTION = "List the input devices, or watch the level of one with --test."
_EPILOG = """\
Name a device in `run` by a part of its name (--set 'source.uri=mic:USB') rather
than by its number, which changes when devices come and go.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `devices`."""
    parser = subparsers.add_parser(
        "devices", help="list the microphones, or watch the level of one", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object for each device")
    parser.add_argument("--test", action="store_true", help="show the level of a device until Ctrl-C")
    parser.add_argument("--device", metavar="NAME", help="part of the name, or number, of the device to test")
    parser.add_argument("--seconds", type=float, metavar="N", help="end the test after N seconds")
    parser.set_defaults(handler=_devices)


def _devices(args: argparse.Namespace) -> int:
    if args.test:
        from streamgmm.cli.level_meter import watch_level

        if args.seconds is not None and not 0 < args.seconds < float("inf"):
            raise UsageError(f"--seconds must be above 0, not {args.seconds:g}")
        watch_level(_index_or_name(args.device), args.seconds)
        return 0
    from streamgmm.audio.microphone import list_devices

    devices = list_devices()
    if not devices:
        raise DeviceError("no input device was found", hint="is a microphone plugged in and the sound server running?")
    if args.json:
        _print_json(devices)
    else:
        _print_table(devices)
    return 0


def _index_or_name(device: str | None) -> str | int | None:
    return int(device) if device and device.isascii() and device.isdigit() else device or None


def _print_json(devices: Iterable[Device]) -> None:
    import msgspec

    for device in devices:
        print(msgspec.json.encode(device).decode())


def _print_table(devices: Iterable[Device]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "", "number", "name", "system", "channels", "rate (Hz)", box=None, header_style="bold", pad_edge=False
    )
    for column in (1, 4, 5):
        table.columns[column].justify = "right"
    for device in devices:
        mark = "*" if device.is_default else ""
        numbers = (str(device.index), str(device.max_channels), str(device.default_rate_hz))
        table.add_row(mark, numbers[0], Text(device.name), device.host_api, *numbers[1:])
    Console(soft_wrap=True).print(table)
    print("* is opened when none is named")
