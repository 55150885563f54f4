"""`streamgmm devices`: which microphones there are, and whether one of them hears anything."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from streamgmm.audio.device_choice import SERVER_DEVICES
from streamgmm.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from streamgmm.audio.microphone import Device

_DESCRIPTION = "List the input devices, or watch the level of one with --test."
_EPILOG = """\
Name a source of the sound server, or a device, by its name or a part of it
(run --source mic:USB) rather than by its number, which changes when devices
come and go.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `devices`."""
    parser = subparsers.add_parser(
        "devices", help="list the microphones, or watch the level of one", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object for each device")
    parser.add_argument("--test", action="store_true", help="show the level of a device")
    parser.add_argument("--device", metavar="NAME", help="(part of) the name, or the number, of what to test")
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="N",
        help="how long to test (default: until Ctrl-C on a terminal, 10 elsewhere)",
    )
    parser.set_defaults(handler=_devices)


def _devices(args: argparse.Namespace) -> int:
    if args.test and args.json:
        raise UsageError("--json lists the devices, and --test shows the level of one: give one of them")
    if not args.test and (args.device is not None or args.seconds is not None):
        raise UsageError("--device and --seconds are for --test: give that too")
    if args.test:
        from streamgmm.cli.level_meter import watch_level

        if args.seconds is not None and not 0 < args.seconds < float("inf"):
            raise UsageError(f"--seconds must be above 0, not {args.seconds:g}")
        watch_level(_index_or_name(args.device), args.seconds)
        return 0
    from streamgmm.audio.microphone import list_devices

    devices = list_devices()
    rows = [device for device in devices if device.index is not None]
    sources = [device for device in devices if device.index is None]
    if not devices:
        raise DeviceError("no input device was found", hint="is a microphone plugged in and the sound server running?")
    if args.json:
        _print_json(devices)
    else:
        _print_sources(sources)
        if rows:
            _print_table(rows)
        print("* is opened when none is named")
    _warn(sources, rows)
    return 0


def _index_or_name(device: str | None) -> str | int | None:
    return int(device) if device and device.isascii() and device.isdigit() else device or None


def _print_json(devices: Iterable[Device]) -> None:
    import msgspec

    for device in devices:
        print(msgspec.json.encode(device).decode())


def _warn(sources: list[Device], devices: list[Device]) -> None:
    from streamgmm.cli.console import stderr_console

    console = stderr_console()
    for source in sources:
        if source.is_default and source.is_monitor:
            what = f"warning: the default source {source.name!r} is a monitor: it gives what this machine plays, "
            console.print(f"{what}not what a microphone hears; choose another source (mic:NAME)", soft_wrap=True)
    if sources and not any(device.name in SERVER_DEVICES for device in devices):
        what = "warning: no device of ALSA leads to the sound server: install libasound2-plugins, or pipewire-alsa"
        console.print(f"{what} where it is PipeWire", soft_wrap=True)


def _print_sources(sources: list[Device]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not sources:
        return
    table = Table(
        "", "source", "description", "channels", "rate (Hz)", "", box=None, header_style="bold", pad_edge=False
    )
    for source in sources:
        mark, kind = "*" if source.is_default else "", "monitor" if source.is_monitor else ""
        numbers = (str(source.max_channels), str(source.default_rate_hz))
        table.add_row(mark, Text(source.name), Text(source.description), *numbers, kind)
    console = Console(soft_wrap=True)
    console.print(Text(f"{sources[0].host_api}:"))
    console.print(table)
    print()


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
