"""Which device and which source of the sound server a name means."""

from __future__ import annotations

from typing import Any

import pytest

from streamgmm.audio.microphone.device_choice import (
    MAX_WHOLE_CHANNELS,
    CaptureFailedError,
    Choice,
    choose,
    direct_streams,
    find_device,
    listed,
    mark_streams,
    n_channels_to_open,
    source_behind,
)

MANY = MAX_WHOLE_CHANNELS + 1


def devices(*names: str, default: int | None = None) -> list[dict[str, Any]]:
    return [
        {"index": 10 + n, "name": name, "is_default": n == default, "max_channels": 2} for n, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("usb", "USB Audio"), ("AUDIO", "USB Audio"), ("pulse", "Pulse"), ("pulse m", "Pulse Monitor"), (11, "Pulse"),
     (None, "Pulse Monitor")],
)  # fmt: skip
def test_a_device_is_found(wanted: Any, found: str) -> None:
    assert find_device(devices("USB Audio", "Pulse", "Pulse Monitor", default=2), wanted)["name"] == found


@pytest.mark.parametrize(
    ("wanted", "reason", "text"),
    [
        ("mic", "ambiguous", "several devices fit: 10 'Mic A', 11 'Mic B'"),
        ("C", "ambiguous", "10 'Mic A', 11 'Mic B'"),
        ("line", "not_found", "no such input device"),
        (0, "not_found", "no such input device"),
    ],
)
def test_a_device_is_not_found(wanted: Any, reason: str, text: str) -> None:
    with pytest.raises(CaptureFailedError, match=text) as caught:
        find_device(devices("Mic A", "Mic B"), wanted)
    assert caught.value.answer["reason"] == reason


def test_A1_no_device_at_all() -> None:
    with pytest.raises(CaptureFailedError, match="no input device"):
        find_device([], None)


def test_without_a_default_the_first_input_is_taken() -> None:
    assert find_device(devices("Mic A", "Mic B"), None)["name"] == "Mic A"


@pytest.mark.parametrize(
    ("n_offered", "n_of_source", "n_wanted", "n_opened"),
    [(1, None, 1, 1), (2, None, 1, 2), (2, None, 2, 2), (2, None, 5, 2), (MANY - 1, None, 1, MANY - 1),
     (MANY, None, 1, 1),
     (32, None, 3, 3), (32, 1, 1, 1), (32, 2, 1, 2), (32, 2, 4, 4), (32, MANY, 1, 1), (1, 2, 2, 1)],
)  # fmt: skip
def test_channels_to_open(n_offered: int, n_of_source: int | None, n_wanted: int, n_opened: int) -> None:
    behind = None if n_of_source is None else source("a", max_channels=n_of_source)
    assert n_channels_to_open({"name": "x", "max_channels": n_offered}, behind, n_wanted) == n_opened


def test_the_source_behind_a_device_is_the_chosen_one_or_the_default_of_the_server() -> None:
    first, default = source("a"), source("b", is_default=True)
    assert source_behind(Choice({"name": "pulse"}, first), [first, default]) is first
    assert source_behind(Choice({"name": "pulse"}), [first, default]) is default
    assert source_behind(Choice({"name": "pulse"}), [first]) is None
    assert source_behind(Choice({"name": "USB"}), [first, default]) is None


def source(name: str, description: str = "", index: int = 1, **fields: Any) -> dict[str, Any]:
    fixed = {"index": index, "name": name, "description": description or name, "node": name, "alsa_name": ": "}
    return {**fixed, "is_monitor": name.endswith(".monitor"), "is_default": False, **fields}


PULSE = devices("HDA Intel: ALC (hw:0,0)", "pulse", "default", default=2)
YETI = source("alsa_input.usb-Blue_Yeti-00.analog-stereo", "Yeti Stereo Microphone", 5)
WEBCAM = source("alsa_input.usb-Cam-02.mono-fallback", "HD Webcam C270 Mono", 6, alsa_name="C270: USB Audio")
BUILT_IN = source("alsa_input.pci-0000_00_1f.3.analog-stereo", "Built-in Audio Analog Stereo", 7, is_default=True)
MONITOR = source("alsa_output.usb-Blue_Yeti-00.analog-stereo.monitor", "Monitor of Yeti Stereo", 8)
SOURCES = [YETI, WEBCAM, BUILT_IN, MONITOR]


def chosen(wanted: str | int | None, sources: list[dict[str, Any]] = SOURCES, **request: Any) -> Choice:
    environment = request.pop("environment", {})
    return choose(request.pop("devices", PULSE), sources, {"device": wanted, **request}, environment)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (YETI["name"], YETI),
        (YETI["name"].upper(), YETI),
        ("yeti stereo microphone", YETI),
        ("Yeti", YETI),  # its monitor too, but a microphone comes first
        ("C270", WEBCAM),
        ("cam-02", WEBCAM),
        ("built-in", BUILT_IN),
        ("monitor of yeti", MONITOR),
        (MONITOR["name"], MONITOR),
        ("C270: USB Audio (hw:3,0)", WEBCAM),  # as ALSA called it before the sound server took it
    ],
)
def test_a_name_means_a_source_of_the_sound_server_first(wanted: str, expected: dict[str, Any]) -> None:
    choice = chosen(wanted)
    assert (choice.device["name"], choice.source, choice.is_fixed) == ("pulse", expected, True)


@pytest.mark.parametrize(
    ("wanted", "device"),
    [
        ("pulse", "pulse"),
        ("Default", "default"),
        ("HDA Intel: ALC (hw:0,0)", "HDA Intel: ALC (hw:0,0)"),
        ("hda", "HDA Intel: ALC (hw:0,0)"),
        (10, "HDA Intel: ALC (hw:0,0)"),
        (None, "default"),
    ],
)
def test_what_is_no_source_is_a_device_as_before(wanted: Any, device: str) -> None:
    # A name of a device wins over sources that it is only a part of.
    others = [*SOURCES, source("my.pulse.default.source")]
    assert chosen(wanted, others) == Choice(next(d for d in PULSE if d["name"] == device))


@pytest.mark.parametrize(
    ("wanted", "reason", "names"),
    [
        ("usb", "ambiguous", [YETI["name"], WEBCAM["name"]]),
        ("alsa_input", "ambiguous", [YETI["name"], WEBCAM["name"], BUILT_IN["name"]]),
        ("gramophone", "not_found", [YETI["name"], MONITOR["name"], "1 'pulse'".replace("1", "11")]),
    ],
)
def test_a_name_that_means_several_or_none_is_refused_with_the_names_there_are(
    wanted: str, reason: str, names: list[str]
) -> None:
    with pytest.raises(CaptureFailedError) as caught:
        chosen(wanted)
    assert caught.value.answer["reason"] == reason
    assert all(name in f"{caught.value.answer['error']} {caught.value.answer['hint']}" for name in names)


@pytest.mark.parametrize("names", [["pulse", "default"], ["default", "pipewire", "pulse"], ["pulse"]])
def test_the_surest_device_that_leads_to_the_server_is_opened(names: list[str]) -> None:
    assert chosen("yeti", devices=devices(*names)).device["name"] == "pulse"
    assert chosen("yeti", devices=devices("hw", "default", "pipewire")).device["name"] == "pipewire"
    assert chosen("yeti", devices=devices("default")).device["name"] == "default"


def test_without_a_device_that_leads_to_the_server_its_plugin_is_named() -> None:
    with pytest.raises(CaptureFailedError, match="leads to the sound server") as caught:
        chosen("yeti", devices=devices("HDA Intel: ALC (hw:0,0)"))
    assert "libasound2-plugins" in caught.value.answer["hint"]


@pytest.mark.parametrize(
    ("before", "now", "is_same"),
    [
        (YETI, [YETI], True),
        (YETI, [source(YETI["name"], "another description", 99)], True),
        (YETI, [source("alsa_input.usb-Blue_Yeti-01.analog-stereo", YETI["description"])], False),  # its twin
        (source("alsa_input.hw_1", "USB Audio"), [source("alsa_input.hw_2", "USB Audio")], True),
        (source("alsa_input.hw_1", "USB Audio"), [source("alsa_input.hw_1", "Webcam")], False),
        (source("alsa_input.hw_1", "USB Audio"), [source("alsa_input.hw_2", "Webcam")], False),
        (YETI, [WEBCAM, BUILT_IN, MONITOR], False),
        (YETI, [], False),
    ],
)
def test_A7_a_source_that_was_meant_before_is_waited_for(
    before: dict[str, Any], now: list[dict[str, Any]], is_same: bool
) -> None:
    pinned = {"name": before["name"], "description": before["description"]}
    if is_same:
        assert chosen("USB", now, pinned=pinned) == Choice(PULSE[1], now[0], is_fixed=True)
        return
    with pytest.raises(CaptureFailedError, match=f"source '{before['name']}' cannot be opened") as caught:
        chosen("USB", now, pinned=pinned)
    assert caught.value.answer["reason"] == "not_found"


@pytest.mark.parametrize("wanted", [None, "pulse", "default", 11])
@pytest.mark.parametrize("named", [YETI["name"], "5"])
def test_the_users_own_choice_of_a_source_is_kept_to(wanted: Any, named: str) -> None:
    choice = chosen(wanted, environment={"PULSE_SOURCE": named})
    assert (choice.source, choice.is_fixed) == (YETI, True)
    with pytest.raises(CaptureFailedError, match="source 'gone' cannot be opened"):
        chosen(wanted, environment={"PULSE_SOURCE": "gone"})


@pytest.mark.parametrize("named", ["", "@DEFAULT_SOURCE@"])
def test_a_choice_of_the_default_is_none(named: str) -> None:
    assert chosen(None, environment={"PULSE_SOURCE": named}) == Choice(PULSE[2])


def test_a_move_is_followed_as_long_as_there_is_something_to_follow() -> None:
    assert chosen(None, followed=YETI["name"]) == Choice(PULSE[2], YETI, is_fixed=False)
    assert chosen(None, followed="gone") == Choice(PULSE[2])
    assert chosen("hda", followed=YETI["name"]).source is None


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ("", "{  streamgmm.capture=t application.id=streamgmm }"),
        ("{ media.role = music }", "{ media.role = music streamgmm.capture=t application.id=streamgmm }"),
        ("a=1 b=2", "{ a=1 b=2 streamgmm.capture=t application.id=streamgmm }"),
    ],
)
def test_properties_of_the_user_stay(theirs: str, expected: str) -> None:
    environment = {"PIPEWIRE_PROPS": theirs, "PULSE_PROP": "media.role=music"}
    assert mark_streams(environment, "t") == ("streamgmm.capture", "t")
    assert environment == {
        "PIPEWIRE_PROPS": expected,
        "PULSE_PROP": "media.role=music streamgmm.capture=t application.id=streamgmm",
    }


def test_streams_are_directed_by_either_library() -> None:
    environment: dict[str, str] = {}
    direct_streams(environment, Choice(PULSE[1]))
    assert environment == {}
    direct_streams(environment, Choice(PULSE[1], source("a.monitor", node="a"), is_fixed=True))
    assert (environment["PULSE_SOURCE"], environment["PIPEWIRE_NODE"]) == ("a.monitor", "a")
    assert "stream.capture.sink=true" in environment["PIPEWIRE_PROPS"]
    assert "state.restore-target=false" in environment["PIPEWIRE_PROPS"]


def test_the_default_of_the_list_is_what_is_heard_in_the_end() -> None:
    names = {True: BUILT_IN["name"], False: "default"}
    for has_sources, name in names.items():
        rows = listed(PULSE, SOURCES if has_sources else [])
        assert [row["name"] for row in rows if row["is_default"]] == [name]
    hardware = devices("HDA Intel: ALC (hw:0,0)", "pulse", default=0)
    assert [row["name"] for row in listed(hardware, SOURCES) if row["is_default"]] == ["HDA Intel: ALC (hw:0,0)"]
