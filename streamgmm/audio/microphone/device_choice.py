"""Selection of the input device, and of the sound server's source, by name or index.

A sound server offers all its microphones behind one ALSA device (`pulse`, `pipewire`, `default`). Environment
variables choose the one that a stream records from, because PortAudio has no argument for it.

The capture child loads this module by path, so it imports nothing from the package.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

SERVER_DEVICES = ("pulse", "pipewire", "default")
"""Names of ALSA devices that lead to a sound server, the most reliable first."""

STREAM_PROPERTY = "streamgmm.capture"
"""Property that identifies our stream on the server. A process id is not enough: PipeWire lists its native streams
without one, and containers that share a server may have equal ids."""

MAX_WHOLE_CHANNELS = 8
# PortAudio appends the numbers of the ALSA card and device to a name; names of sources may contain a card too.
_CARD = re.compile(r" \(hw:\d+,\d+\)$")
_CARD_OF_SOURCE = re.compile(r"hw[:_]\d+")

DeviceFields = dict[str, Any]


class CaptureFailedError(Exception):
    """Raised when the microphone cannot be opened.

    Args:
        reason: reason as a keyword, for programs.
        error: description in one line, for people.
        hint: advice for the user.
    """

    def __init__(self, reason: str, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.answer = {"type": "failed", "reason": reason, "error": error, "hint": hint}


class Choice(NamedTuple):
    """Device and source to open.

    Attributes:
        device: the PortAudio device.
        source: source of the sound server to record from through the device; None leaves the choice to the server.
        is_fixed: True if no other source may replace it.
    """

    device: DeviceFields
    source: DeviceFields | None = None
    is_fixed: bool = False


def choose(
    devices: list[DeviceFields], sources: list[DeviceFields], request: Mapping[str, Any], environment: Mapping[str, str]
) -> Choice:
    """Choose the device and the source that a request names.

    Args:
        devices: devices of PortAudio.
        sources: sources of the sound server, empty without a server.
        request: `device` is an index, a name, or None for the default; `pinned` {name, description} is the source
            to which the name referred before; `followed` is the name of the source to which the stream was last moved.
        environment: PULSE_SOURCE names the source to use if the request names none.

    Raises:
        CaptureFailedError: no device or source matches, or several do.
    """
    wanted = request["device"]
    # A source that was once chosen by name is requested for good, even while another one matches the name.
    if "pinned" in request:
        return Choice(_server_device(devices), _pinned(sources, request["pinned"]), is_fixed=True)
    if isinstance(wanted, str) and (source := _source_named(sources, devices, wanted)) is not None:
        return Choice(_server_device(devices), source, is_fixed=True)
    # A name that no source has may still be that of a device of PortAudio.
    device = find_device(devices, wanted, sources)
    if device["name"] not in SERVER_DEVICES or not sources:
        return Choice(device)
    # PULSE_SOURCE may hold an index too, and @DEFAULT_SOURCE@ leaves the choice to the server.
    if chosen := environment.get("PULSE_SOURCE", "").replace("@DEFAULT_SOURCE@", ""):
        chosen = next((s["name"] for s in sources if str(s["index"]) == chosen), chosen)
        return Choice(device, _pinned(sources, {"name": chosen, "description": ""}), is_fixed=True)
    # A move is followed only while its target exists: else the server decides, as for any other program.
    return Choice(device, next((s for s in sources if s["name"] == request.get("followed")), None))


def find_device(
    devices: list[DeviceFields], wanted: str | int | None, sources: Sequence[DeviceFields] = ()
) -> DeviceFields:
    """Find the one device that matches `wanted`: an index, a part of a name in any case, or None for the default.

    The error lists `sources` too if nothing matches.

    Raises:
        CaptureFailedError: no device matches, or several do.
    """
    if wanted is None:
        # PortAudio may know no default device although there are some: take the first one.
        matches = [d for d in devices if d["is_default"]] or devices[:1]
    elif isinstance(wanted, int):
        matches = [d for d in devices if d["index"] == wanted]
    else:
        matches = _devices_named(devices, wanted.casefold())
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise CaptureFailedError("ambiguous", f"several devices fit: {_names(matches)}", "give more of the name")
    if not devices:
        raise CaptureFailedError("not_found", "no input device", "is a microphone connected, the sound server running?")
    raise CaptureFailedError("not_found", "no such input device", f"there are: {_names([*sources, *devices])}")


def without_card_number(name: str) -> str:
    """Return the name of a device without its card number, which changes when devices are plugged in and removed."""
    return _CARD.sub("", name)


def _devices_named(devices: list[DeviceFields], wanted: str) -> list[DeviceFields]:
    names = [(device["name"].casefold(), device) for device in devices]
    # A full name takes precedence, else a device whose name is part of another's could never be chosen. A device
    # that was plugged in again may have another card number in its name.
    return (
        [device for name, device in names if wanted == name]
        or [device for name, device in names if wanted in name]
        or [device for name, device in names if without_card_number(wanted) == without_card_number(name)]
    )


def _names(devices: list[DeviceFields]) -> str:
    return ", ".join(repr(d["name"]) if "node" in d else f"{d['index']} {d['name']!r}" for d in devices)


def _source_named(sources: list[DeviceFields], devices: list[DeviceFields], wanted: str) -> DeviceFields | None:
    """Find the one source whose name or description is `wanted` or contains it; None if no source matches.

    Raises:
        CaptureFailedError: several sources match.
    """
    wanted = wanted.casefold()
    is_device = any(device["name"].casefold() == wanted for device in devices)
    # In order of precedence: the first test that any source passes decides.
    tests: list[Callable[[DeviceFields], bool]] = [
        lambda source: source["name"].casefold() == wanted,
        lambda source: source["description"].casefold() == wanted,
        # `pulse` or `default` is the device of that name, although many names of sources contain the word.
        lambda source: not is_device and not source["is_monitor"] and _is_part(wanted, source),
        lambda source: not is_device and _is_part(wanted, source),
        lambda source: not is_device and source["alsa_name"].casefold() == without_card_number(wanted),
    ]
    for test in tests:
        if len(matches := [source for source in sources if test(source)]) > 1:
            raise CaptureFailedError("ambiguous", f"several sources fit: {_names(matches)}", "give more of the name")
        if matches:
            return matches[0]
    return None


def _is_part(wanted: str, source: DeviceFields) -> bool:
    return wanted in source["name"].casefold() or wanted in source["description"].casefold()


def _pinned(sources: list[DeviceFields], pinned: Mapping[str, str]) -> DeviceFields:
    """Find the source that was used before; only its card number may have changed.

    Raises:
        CaptureFailedError: there is no such source, or several match.
    """
    matches = [source for source in sources if _is_same(source, pinned)]
    # Two equal interfaces differ in nothing but the card number: then the exact name decides.
    matches = [source for source in matches if source["name"] == pinned["name"]] or matches
    if len(matches) != 1:
        hint = f"there are: {_names(sources)}" if sources else "is the sound server running?"
        error = f"source {pinned['name']!r} cannot be opened: the sound server has none of that name"
        raise CaptureFailedError("not_found", error, hint)
    return matches[0]


def _is_same(source: DeviceFields, pinned: Mapping[str, str]) -> bool:
    # Most names identify the device, but one with a card number identifies only its place: compare descriptions too.
    name, has_number = _CARD_OF_SOURCE.subn("hw", pinned["name"])
    if has_number and pinned["description"]:
        return bool(
            _CARD_OF_SOURCE.sub("hw", source["name"]) == name and source["description"] == pinned["description"]
        )
    return bool(source["name"] == pinned["name"])


def _server_device(devices: list[DeviceFields]) -> DeviceFields:
    for name in SERVER_DEVICES:
        for device in devices:
            if device["name"] == name:
                return device
    hint = "install libasound2-plugins, or pipewire-alsa where the sound server is PipeWire"
    raise CaptureFailedError("not_found", "no device of ALSA leads to the sound server", hint)


def listed(devices: list[DeviceFields], sources: list[DeviceFields]) -> list[DeviceFields]:
    """Return the sources of the sound server, then the devices of PortAudio, for listing.

    If the default device leads to the sound server, the server's default source is marked as the default instead.
    """
    leads_to_server = bool(sources) and any(d["is_default"] and d["name"] in SERVER_DEVICES for d in devices)
    return [
        *({**source, "index": None, "is_default": source["is_default"] and leads_to_server} for source in sources),
        *({**device, "is_default": device["is_default"] and not leads_to_server} for device in devices),
    ]


def mark_streams(environment: MutableMapping[str, str], token: str) -> tuple[str, str]:
    """Mark every stream that this process opens from now on with a property, whichever library opens it.

    Args:
        environment: `os.environ`; properties that the user has set in it are kept.
        token: value of the property: letters, digits and dashes.

    Returns:
        Key and value of the property.
    """
    # Servers remember per application where its stream was moved; "python" would be shared with other programs.
    _add_properties(environment, {STREAM_PROPERTY: token, "application.id": "streamgmm"})
    return STREAM_PROPERTY, token


def direct_streams(environment: MutableMapping[str, str], choice: Choice) -> None:
    """Make every stream that this process opens from now on record from the chosen source, if there is one.

    Args:
        environment: `os.environ`, which is changed.
        choice: device and source to open.
    """
    if choice.source is None:
        return
    # Else the server would apply moves remembered from other streams to this one, and the other way round.
    fixed = {"state.restore-target": "false", "application.id": "streamgmm.fixed"}
    properties = fixed if choice.is_fixed else {}
    if choice.source["is_monitor"]:
        properties["stream.capture.sink"] = "true"  # on PipeWire a monitor is not a node but belongs to its sink
    environment["PULSE_SOURCE"] = choice.source["name"]
    environment["PIPEWIRE_NODE"] = choice.source["node"]
    _add_properties(environment, properties)


def _add_properties(environment: MutableMapping[str, str], properties: Mapping[str, str]) -> None:
    ours = " ".join(f"{key}={value}" for key, value in properties.items())
    environment["PULSE_PROP"] = f"{environment.get('PULSE_PROP', '')} {ours}".strip()
    # PIPEWIRE_PROPS is one object: further properties must go inside its braces.
    theirs = environment.get("PIPEWIRE_PROPS", "").strip().removeprefix("{").removesuffix("}").strip()
    environment["PIPEWIRE_PROPS"] = f"{{ {theirs} {ours} }}"


def n_channels_to_open(device: DeviceFields, source: DeviceFields | None, n_wanted: int) -> int:
    """Return the number of channels to open.

    All of them are opened, whichever are wanted now, so that further ones can be read without an interruption. Of a
    device with more than `MAX_WHOLE_CHANNELS`, only those that are wanted: it is either the alias of a sound server,
    which mixes down when one channel is opened, or a studio interface, whose mean over all inputs is not useful.

    Args:
        device: device of PortAudio.
        source: source of the sound server behind it; None if there is none, or if it is unknown.
        n_wanted: number of channels that are wanted, from the first on.
    """
    n_offered: int = device["max_channels"]
    n_channels: int = n_offered if source is None else source["max_channels"]
    return min(max(n_wanted, n_channels if n_channels <= MAX_WHOLE_CHANNELS else 1), n_offered)


def source_behind(choice: Choice, sources: list[DeviceFields]) -> DeviceFields | None:
    """Return the source from which a stream of the chosen device will record; None if it is unknown."""
    if choice.source is not None or choice.device["name"] not in SERVER_DEVICES:
        return choice.source
    return next((source for source in sources if source["is_default"]), None)
