"""URIs and settings of MQTT sinks: every mistake is reported before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamgmm.errors import ConfigError, StreamgmmError
from streamgmm.settings.output import OutputSection, SinkSection
from streamgmm.sinks.hub import make_sinks
from streamgmm.sinks.mqtt.address import Address, make_request, parse_address


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mqtt://broker/home", Address(False, "broker", 1883, "home")),
        ("mqtts://broker/home/sounds", Address(True, "broker", 8883, "home/sounds")),
        ("mqtt://[::1]:1884/a", Address(False, "::1", 1884, "a")),
    ],
)
def test_address_names_broker_and_topics(uri: str, expected: Address) -> None:
    assert parse_address(uri) == expected


@pytest.mark.parametrize(
    "uri",
    [
        *("mqtt://", "mqtt:///home", "mqtt://broker", "mqtt://broker/", "mqtt://broker:0/a", "mqtt://broker:x/a"),
        *("mqtt://broker/a?b", "mqtt://broker/a#", "mqtt://broker/+/a", "mqtt://broker//a", "mqtt://broker/a/"),
        *("mqtt://broker/$SYS", "mqtt://broker/a\0", "mqtt://broker/ä", "mqtt://[::1/a", "mqtt://broker/" + "a" * 300),
        *("mqtt://broker..local/home", f"mqtts://{'x' * 64}/home", "mqtt://.local/home", "mqtt://a\0b/home"),
    ],
)
def test_invalid_address_is_refused_in_one_line(uri: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(uri)
    assert len(caught.value.problems) == 1


def test_A37_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address("mqtt://me:Xs3cret@broker/home")
    assert "Xs3cret" not in str(caught.value)
    assert "secret_file" in str(caught.value)


def test_request_holds_the_secret_but_does_not_show_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("me:Xs3cret\n")
    secret.chmod(0o600)
    request = make_request(SinkSection(uri="mqtt://broker/home", secret_file=str(secret)))
    assert (request.user, request.password) == ("me", "Xs3cret")
    assert "Xs3cret" not in repr(request)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"secret_file": "{folder}/open"}, "any user of this machine can access it"),
        ({"secret_file": "{folder}/nothing"}, "{folder}/nothing"),
        ({"ca_file": "{folder}/nothing"}, "{folder}/nothing"),
        ({"key_file": "{folder}/open"}, "key_file needs a cert_file"),
        ({"node": ""}, "node has 1 to 256 characters"),
        ({"discovery": "a/#"}, "discovery is one or more levels"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    (tmp_path / "open").write_text("me:pw\n")
    (tmp_path / "open").chmod(0o644)
    own = {key: value.format(folder=tmp_path) for key, value in settings.items()}
    with pytest.raises(StreamgmmError) as caught:
        make_request(SinkSection(uri="mqtts://broker/home", **own))
    assert words.format(folder=tmp_path) in str(caught.value)


def test_settings_of_tls_are_refused_without_tls() -> None:
    own = SinkSection(uri="mqtt://broker/home", ca_file="ca.pem")
    with pytest.raises(ConfigError, match="ca_file is not a setting of mqtt://HOST/PREFIX"):
        make_sinks(OutputSection(sinks=[own]))


def test_missing_library_is_reported_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'streamgmm\[mqtt\]'"):
        make_request(SinkSection(uri="mqtt://broker/home"))
