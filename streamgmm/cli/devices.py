"""`streamgmm devices`: the list of microphones, and a level meter to test one."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamgmm.audio.microphone.device_choice import SERVER_DEVICES
from streamgmm.audio.microphone.microphone import InputDevice, list_devices
from streamgmm.cli.console import stderr_console
from streamgmm.cli.level_meter import watch_level
from streamgmm.errors import DeviceError, UsageError


def run_devices(args: argparse.Namespace) -> int:
    """List the input devices, or show the level of one."""
    if args.test and args.json:
        raise UsageError("--json lists the devices and --test shows the level of one: give only one of these options")
    if not args.test and (args.device is not None or args.seconds is not None):
        raise UsageError("--device and --seconds need --test")
    if args.test:
        if args.seconds is not None and not 0 < args.seconds < float("inf"):
            raise UsageError(f"--seconds must be above 0, not {args.seconds:g}")
        watch_level(_index_or_name(args.device), args.seconds)
        return 0

    devices = list_devices()
    # Devices of PortAudio have a number; sources of the sound server have only a name.
    rows = [device for device in devices if device.index is not None]
    sources = [device for device in devices if device.index is None]
    if not devices:
        raise DeviceError("no input device was found", hint="is a microphone plugged in and the sound server running?")
    if args.json:
        _print_json(devices)
    else:
        _print_sources(sources)
        if rows:
            _print_devices(rows)
        print("* is the default")
    _warn(sources, rows)
    return 0


def _index_or_name(device: str | None) -> str | int | None:
    # `isdigit` alone accepts superscripts, which `int` rejects.
    return int(device) if device and device.isascii() and device.isdigit() else device or None


def _print_json(devices: Iterable[InputDevice]) -> None:
    for device in devices:
        print(msgspec.json.encode(device).decode())


def _warn(sources: list[InputDevice], devices: list[InputDevice]) -> None:
    console = stderr_console()
    for source in sources:
        if source.is_default and source.is_monitor:
            what = f"warning: the default source {source.name!r} is a monitor: it carries the output of this machine, "
            console.print(f"{what}not the sound of a microphone; choose another source (mic:NAME)", soft_wrap=True)
    if sources and not any(device.name in SERVER_DEVICES for device in devices):
        what = "warning: no ALSA device leads to the sound server: install libasound2-plugins, or pipewire-alsa"
        console.print(f"{what} if the server is PipeWire", soft_wrap=True)


def _print_sources(sources: list[InputDevice]) -> None:
    if not sources:
        return
    table = Table(
        "", "source", "description", "channels", "rate (Hz)", "", box=None, header_style="bold", pad_edge=False
    )
    for source in sources:
        mark, kind = "*" if source.is_default else "", "monitor" if source.is_monitor else ""
        numbers = (str(source.max_channels), str(source.default_rate_hz))
        # As `Text`, so that brackets in a name are not read as markup.
        table.add_row(mark, Text(source.name), Text(source.description), *numbers, kind)
    console = Console(soft_wrap=True)
    console.print(Text(f"{sources[0].host_api}:"))
    console.print(table)
    print()


def _print_devices(devices: Iterable[InputDevice]) -> None:
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
