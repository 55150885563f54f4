from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from streamgmm.cli.conditions import conditions_of
from streamgmm.cli.parsers.evaluate import add_condition_options
from streamgmm.errors import UsageError
from streamgmm.evaluation.conditions import UNCHANGED, Conditions, Noise


def parsed(*arguments: str) -> Conditions:
    parser = argparse.ArgumentParser()
    add_condition_options(parser)
    return conditions_of(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("arguments", "conditions"),
    [
        ([], UNCHANGED),
        (["--noise", "white:10"], Conditions(Noise("white", 10.0))),
        (["--noise", "pink:-5.5"], Conditions(Noise("pink", -5.5))),
        (["--noise", "fan: a:b.wav:0"], Conditions(Noise("file", 0.0, Path("fan: a:b.wav")))),
        (["--noise", "./white:10"], Conditions(Noise("file", 10.0, Path("white")))),
        (["--gain", "-20"], Conditions(gain_db=-20.0)),
        (["--room", "0.6"], Conditions(room_s=0.6)),
        (["--band", "300:3400"], Conditions(band_hz=(300.0, 3400.0))),
        (["--seconds", "0.5", "--gain", "6"], Conditions(first_active_s=0.5, gain_db=6.0)),
    ],
)
def test_what_is_asked_for(arguments, conditions):
    assert parsed(*arguments) == conditions


@pytest.mark.parametrize("text", ["white", "white:", ":10", "white:loud", "white:nan", "pink:1e9", ""])
def test_a_noise_that_makes_no_sense_is_refused_with_what_would(text):
    with pytest.raises(UsageError, match=r"is not a noise \(write white:10, pink:10 or FILE:10") as refused:
        parsed("--noise", text)
    assert f"--noise {text}" in str(refused.value)


@pytest.mark.parametrize("text", ["300", "3400:300", "0:3400", "300:1e9", "300:nan", "a:b", "1:2:3", ""])
def test_a_band_that_makes_no_sense_is_refused_with_what_would(text):
    with pytest.raises(UsageError, match=r"is not a band \(write LOW:HIGH in Hz, such as 300:3400") as refused:
        parsed("--band", text)
    assert f"--band {text}" in str(refused.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--gain", "nan"),
        ("--gain", "-121"),
        ("--seconds", "0"),
        ("--seconds", "inf"),
        ("--room", "0"),
        ("--room", "nan"),
        ("--room", "11"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(option, value):
    with pytest.raises(UsageError, match=f"{option} is {value}, must be"):
        parsed(option, value)
