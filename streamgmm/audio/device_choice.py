"""Which input device, and which source of the sound server, a name means.

A sound server offers all its microphones behind one device of ALSA (`pulse`, `pipewire`, `default`). Which of
them a stream records from is chosen by variables of the environment, as PortAudio has no argument for it.

Loaded by the capture child by path: imports nothing of the package.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

SERVER_DEVICES = ("pulse", "pipewire", "default")
"""Devices that lead to a sound server, the surest first."""

STREAM_PROPERTY = "streamgmm.capture"
"""Tells our stream from all others. A process id would not: PipeWire lists its native streams without one, and
containers that share a server may use the same ones."""

MAX_MEAN_CHANNELS = 8
_CARD = re.compile(r" \(hw:\d+,\d+\)$")
_CARD_OF_SOURCE = re.compile(r"hw[:_]\d+")

Device = dict[str, Any]


class CaptureFailedError(Exception):
    """The microphone cannot be opened.

    Args:
        reason: one word for programs.
        error: one line for people.
        hint: what to do about it.
    """

    def __init__(self, reason: str, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.answer = {"type": "failed", "reason": reason, "error": error, "hint": hint}


class Choice(NamedTuple):
    """What to open.

    Attributes:
        device: the device of PortAudio.
        source: the source of the sound server to record from through it; None leaves that to the server.
        is_fixed: whether no other source may ever take its place.
    """

    device: Device
    source: Device | None = None
    is_fixed: bool = False


def choose(
    devices: list[Device], sources: list[Device], request: Mapping[str, Any], environment: Mapping[str, str]
) -> Choice:
    """Find what a request means.

    Args:
        devices: those of PortAudio.
        sources: those of the sound server, empty if there is none.
        request: `device` is an index, a name, or None for the default; `pinned` {name, description} is the source
            that the name has meant before; `followed` is the name of the source that the stream was last moved to.
        environment: PULSE_SOURCE names the source for whoever names none.

    Raises:
        CaptureFailedError: nothing or several fit.
    """
    wanted = request["device"]
    if "pinned" in request:
        return Choice(_server_device(devices), _pinned(sources, request["pinned"]), is_fixed=True)
    if isinstance(wanted, str) and (source := _source_named(sources, devices, wanted)) is not None:
        return Choice(_server_device(devices), source, is_fixed=True)
    device = find_device(devices, wanted, sources)
    if device["name"] not in SERVER_DEVICES or not sources:
        return Choice(device)
    if chosen := environment.get("PULSE_SOURCE", "").replace("@DEFAULT_SOURCE@", ""):
        chosen = next((s["name"] for s in sources if str(s["index"]) == chosen), chosen)
        return Choice(device, _pinned(sources, {"name": chosen, "description": ""}), is_fixed=True)
    return Choice(device, next((s for s in sources if s["name"] == request.get("followed")), None))


def find_device(devices: list[Device], wanted: str | int | None, sources: Sequence[Device] = ()) -> Device:
    """The one device that `wanted` means: an index, a part of a name in any case, or None for the default.

    `sources` are named in the error if nothing fits.

    Raises:
        CaptureFailedError: no device or several fit.
    """
    if wanted is None:
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
    """The name of a device without the number of its card, which changes when devices come and go."""
    return _CARD.sub("", name)


def _devices_named(devices: list[Device], wanted: str) -> list[Device]:
    names = [(device["name"].casefold(), device) for device in devices]
    # A full name wins, or a device whose name is part of another's could never be chosen. A device that was
    # plugged in again may have another number of its card in its name.
    return (
        [device for name, device in names if wanted == name]
        or [device for name, device in names if wanted in name]
        or [device for name, device in names if without_card_number(wanted) == without_card_number(name)]
    )


def _names(devices: list[Device]) -> str:
    return ", ".join(repr(d["name"]) if "node" in d else f"{d['index']} {d['name']!r}" for d in devices)


def _source_named(sources: list[Device], devices: list[Device], wanted: str) -> Device | None:
    """The one source that a name means, as it is, as its description, or as a part of either; None if none.

    Raises:
        CaptureFailedError: several fit.
    """
    wanted = wanted.casefold()
    is_device = any(device["name"].casefold() == wanted for device in devices)
    tests: list[Callable[[Device], bool]] = [
        lambda source: source["name"].casefold() == wanted,
        lambda source: source["description"].casefold() == wanted,
        # `pulse` or `default` means the device of that name, although it is a part of the name of many a source.
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


def _is_part(wanted: str, source: Device) -> bool:
    return wanted in source["name"].casefold() or wanted in source["description"].casefold()


def _pinned(sources: list[Device], pinned: Mapping[str, str]) -> Device:
    """The very source that was meant before; only the number of its card may have changed."""
    matches = [source for source in sources if _is_same(source, pinned)]
    matches = [source for source in matches if source["name"] == pinned["name"]] or matches
    if len(matches) != 1:
        hint = f"there are: {_names(sources)}" if sources else "is the sound server running?"
        error = f"source {pinned['name']!r} cannot be opened: the sound server has none of that name"
        raise CaptureFailedError("not_found", error, hint)
    return matches[0]


def _is_same(source: Device, pinned: Mapping[str, str]) -> bool:
    # Most names say which device it is; one with the number of a card only says where it is plugged in.
    name, has_number = _CARD_OF_SOURCE.subn("hw", pinned["name"])
    if has_number and pinned["description"]:
        return bool(
            _CARD_OF_SOURCE.sub("hw", source["name"]) == name and source["description"] == pinned["description"]
        )
    return bool(source["name"] == pinned["name"])


def _server_device(devices: list[Device]) -> Device:
    for name in SERVER_DEVICES:
        for device in devices:
            if device["name"] == name:
                return device
    hint = "install libasound2-plugins, or pipewire-alsa where the sound server is PipeWire"
    raise CaptureFailedError("not_found", "no device of ALSA leads to the sound server", hint)


def listed(devices: list[Device], sources: list[Device]) -> list[Device]:
    """The sources of the sound server, then the devices of PortAudio, as a list for people and programs.

    Where the default device leads to the sound server, it is the server's default source that is opened.
    """
    leads_to_server = bool(sources) and any(d["is_default"] and d["name"] in SERVER_DEVICES for d in devices)
    return [
        *({**source, "index": None, "is_default": source["is_default"] and leads_to_server} for source in sources),
        *({**device, "is_default": device["is_default"] and not leads_to_server} for device in devices),
    ]


def mark_streams(environment: MutableMapping[str, str], token: str) -> tuple[str, str]:
    """Have every stream that this process opens from now on carry a property with `token`, whichever library opens it.

    Args:
        environment: `os.environ`; properties that the user has set there stay.
        token: letters, digits and dashes.

    Returns:
        The key and the value of the property.
    """
    # Servers remember by the application where a stream was moved to; "python" would be many.
    _add_properties(environment, {STREAM_PROPERTY: token, "application.id": "streamgmm"})
    return STREAM_PROPERTY, token


def direct_streams(environment: MutableMapping[str, str], choice: Choice) -> None:
    """Have every stream that this process opens from now on record from the source chosen, if one is.

    Args:
        environment: `os.environ`.
        choice: what to open.
    """
    if choice.source is None:
        return
    # Or the server would put this stream where another one was once moved to, or another one where this one was.
    fixed = {"state.restore-target": "false", "application.id": "streamgmm.fixed"}
    properties = fixed if choice.is_fixed else {}
    if choice.source["is_monitor"]:
        properties["stream.capture.sink"] = "true"  # on PipeWire a monitor is no node, but the other end of its sink
    environment["PULSE_SOURCE"] = choice.source["name"]
    environment["PIPEWIRE_NODE"] = choice.source["node"]
    _add_properties(environment, properties)


def _add_properties(environment: MutableMapping[str, str], properties: Mapping[str, str]) -> None:
    ours = " ".join(f"{key}={value}" for key, value in properties.items())
    environment["PULSE_PROP"] = f"{environment.get('PULSE_PROP', '')} {ours}".strip()
    theirs = environment.get("PIPEWIRE_PROPS", "").strip().removeprefix("{").removesuffix("}").strip()
    environment["PIPEWIRE_PROPS"] = f"{{ {theirs} {ours} }}"


def n_channels_to_open(device: Device, channel: int | str) -> int:
    """How many channels to open for one of them, or for the mean.

    A device that claims more than `MAX_MEAN_CHANNELS` is the alias of a sound server, which mixes down
    by itself when asked for one channel, or a studio interface, whose mean over all inputs nobody wants.

    Raises:
        CaptureFailedError: the device has no such channel.
    """
    n_offered: int = device["max_channels"]
    if isinstance(channel, str):
        return n_offered if n_offered <= MAX_MEAN_CHANNELS else 1
    if not 0 <= channel < n_offered:
        raise CaptureFailedError(
            "no_channel", f"{device['name']!r} has no channel {channel}", f"0 to {n_offered - 1} or mean"
        )
    return channel + 1
