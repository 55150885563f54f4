from __future__ import annotations

import pickle

import pytest

from streamgmm import errors
from streamgmm.audio.reading import RecordingMissingError


def test_a_message_says_where_what_and_what_to_do() -> None:
    assert str(errors.DataError("is empty", where="a.wav", hint="record again")) == "a.wav: is empty (record again)"
    assert str(errors.DataError("is empty")) == "is empty"


def test_a_hostile_name_stays_on_one_printable_line() -> None:
    text = str(errors.DataError("bad", where="a\n\x1b[31m\u202eb"))
    assert text.isprintable()
    assert "\\n" in text


def test_a_config_error_shows_every_problem() -> None:
    assert str(errors.ConfigError(["1:2: a", "3:4: b"], where="f.yaml")).split("\n") == [
        "f.yaml:1:2: a",
        "f.yaml:3:4: b",
    ]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UsageError, 64),
        (errors.DataError, 65),
        (errors.InputMissingError, 66),
        (errors.DeviceError, 69),
        (errors.StreamgmmError, 70),
        (errors.SystemResourceError, 71),
        (errors.CannotCreateError, 73),
        (errors.OutputError, 74),
        (errors.PermissionDeniedError, 77),
        (errors.ConfigError, 78),
    ],
)
def test_exit_codes_are_those_of_sysexits(kind: type[errors.StreamgmmError], code: int) -> None:
    assert kind.exit_code == code


@pytest.mark.parametrize(
    "error",
    [
        errors.DataError("is empty", where="a.wav", hint="record again"),
        errors.ConfigError(["1:2: a", "3:4: b"], where="f.yaml"),
        RecordingMissingError("no such file", reason="vanished", where="a.wav"),
    ],
)
def test_an_error_comes_back_whole_from_another_process(error: errors.StreamgmmError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))
