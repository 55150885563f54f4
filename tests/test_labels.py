from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.errors import DataError
from streamgmm.labels import RESERVED, check_label, check_labels, is_reserved, nearest_label


@pytest.mark.parametrize(
    "label",
    ["dog", "glass break", "v1.2_a-b", "Türklingel", "犬", "हिन्दी", "é", "3", "_private", "a" * 64, *sorted(RESERVED)],
)
def test_B22_ordinary_words_of_any_script_are_labels(label: str) -> None:
    assert check_label(label) == unicodedata.normalize("NFC", label)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "a\nb",
            "a\tb",
            "a\0",
            "\x1b[31m",
            "a\u202eb",
            "a" * 65,
            "a" * 300,
            "../etc",
            "a/b",
            "-rf",
            " a",
            "a ",
        ),
        *("a\u200bb", "a\ufeff", "\ud800", "\u0301a", "a\u00a0b", "a\u2028", "\ufffe", "a\ufe0f", "\u3164", '"', "🐕"),
        *("Unknown", "SILENCE", "\uff42ackground"),
    ],
)
def test_B22_hostile_labels_are_refused_and_shown_escaped(text: str) -> None:
    with pytest.raises(DataError) as caught:
        check_label(text)
    assert caught.value.exit_code == 65
    assert caught.value.what.isprintable()
    assert len(str(caught.value)) < 500


@given(st.text(max_size=80))
def test_B22_what_passes_is_plain_text_and_passes_again(text: str) -> None:
    try:
        label = check_label(text)
    except DataError:
        return
    assert check_label(label) == label
    assert 1 <= len(label) <= 64
    assert label.isprintable()
    assert label == label.strip()
    assert not set(label) & set("/\\\"'\n\r\t<>|:*?$`")


def test_B21_normal_forms_are_one_label() -> None:
    assert check_label("cafe\u0301") == "caf\u00e9"


@pytest.mark.parametrize(
    "labels", [["caf\u00e9", "cafe\u0301"], ["dog", "Dog"], ["straße", "STRASSE"], ["dog", "dog"], ["K9", "\u212a9"]]
)
def test_B21_labels_that_look_alike_are_refused(labels: list[str]) -> None:
    with pytest.raises(DataError, match="differ only by case or Unicode form"):
        check_labels(labels)


def test_B21_the_order_of_labels_is_kept() -> None:
    assert check_labels(["b", "a", "cafe\u0301"]) == ("b", "a", "caf\u00e9")


def test_reserved_labels() -> None:
    assert all(map(is_reserved, ["background", "unknown", "silence"]))
    assert not is_reserved("dog")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("yard", "yard"),
        ("my!model", "my_model"),
        (" -yard ", "yard"),
        ("a\x1b[31m\n", "a__31m_"),
        ("e\u0301", "\u00e9"),
        ("x" * 63 + " y", "x" * 63),
        ("\udcff", "_"),
        ("Unknown", "other"),
        ("", "other"),
        ("--", "other"),
    ],
)
def test_the_nearest_label_of_any_text(text: str, label: str) -> None:
    assert nearest_label(text, otherwise="other") == label


@given(st.text())
def test_the_nearest_label_is_a_label(text: str) -> None:
    label = nearest_label(text, otherwise="other")
    assert check_label(label) == label


def test_B22_all_characters_that_are_refused_are_named_at_once() -> None:
    with pytest.raises(DataError, match=r"holds COMMA \(U\+002C\), EQUALS SIGN \(U\+003D\) \(use letters"):
        check_label("a,b=c,d")
