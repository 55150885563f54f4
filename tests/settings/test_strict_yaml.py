from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from streamgmm.errors import ConfigError
from streamgmm.settings import strict_yaml
from streamgmm.settings.strict_yaml import Node, YamlProblems, parse, resolve_plain


def read(content: bytes | str) -> Node:
    problems = YamlProblems()
    raw = content.encode() if isinstance(content, str) else content
    node = parse(raw, lambda line, column: f"{line}:{column}", problems)
    problems.raise_if_any()
    return node


def problems_of(content: bytes | str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(content)
    assert caught.value.exit_code == 78
    return caught.value.problems


def children(node: Node) -> dict[str, Node]:
    assert isinstance(node.value, dict)
    return node.value


def plain(node: Node) -> object:
    """The tree without places, as PyYAML would give it."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    return [plain(child) for child in node.value] if isinstance(node.value, list) else node.value


def test_reads_what_yaml_writes() -> None:
    tree = {"a": {"b": [1, -2.5, "x: y", True, None, {}]}, "c": "", "d": []}
    assert plain(read(yaml.safe_dump(tree))) == tree


def test_places_are_those_of_keys_and_values() -> None:
    root = read("a:\n  bc:   7\n  d: [1, x]\n")
    inner = children(children(root)["a"])
    assert (inner["bc"].key_place, inner["bc"].place) == ("2:3", "2:9")
    items = inner["d"].value
    assert isinstance(items, list)
    assert [item.place for item in items] == ["3:7", "3:10"]


@pytest.mark.parametrize("content", ["\ufeffa: 1", "a: 1\r\n", "%YAML 1.2\n---\na: 1\n...\n", "# only\na: 1 # here"])
def test_C2_harmless_dressing_is_read(content: str) -> None:
    assert plain(read(content)) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: 1\nb: \xff\n", "2:4: byte 0xff is not UTF-8, save the text as UTF-8"),
        ("a: 1".encode("utf-16"), "1:1: byte 0xff is not UTF-8, save the text as UTF-8"),
        (b"a: 1\r\nbc\0", "2:3: character U+0000 is not allowed in YAML"),
        (b"a:\n\tb: 1\n", "2:1: a tab cannot indent or separate here, use spaces"),
        (b"\xef\xbb\xbfa: [1\n", "2:1: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        (b"a: b: c", "1:5: mapping values are not allowed here"),
        (b'a: "\\UFFFFFFFF"', "1:1: cannot be read as YAML"),
        (b'a: "\\ud800"', "1:4: half a surrogate pair is not a character"),
    ],
)
def test_C2_unreadable_text_is_named_by_line_and_column(content: bytes, problem: str) -> None:
    (line,) = problems_of(content)
    assert line.startswith(problem)


@pytest.mark.parametrize("text", ["no", "Yes", "off", "y", "012", "-07", "0x1F", "0o17", "0b11", "12:30:45", "1_000"])
def test_C5_what_yaml_versions_read_differently_must_be_quoted(text: str) -> None:
    (line,) = problems_of(f"a: {text}")
    assert line.startswith(f"1:4: {text} without quotes can be read as ")
    assert ", quote it or write " in line
    assert plain(read(f"a: '{text}'")) == {"a": text}


@pytest.mark.parametrize("text", ["2026-01-31", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43"])
def test_C5_dates_must_be_quoted(text: str) -> None:
    assert problems_of(f"{text}: 1")[0].endswith("can be read as a date, quote it")


@pytest.mark.parametrize(("text", "value"), [("1e5", 1e5), ("1E-3", 1e-3), ("+.5", 0.5), ("3.", 3.0), ("-0", 0)])
def test_C5_numbers_that_yaml_1_1_takes_for_text_are_numbers(text: str, value: float) -> None:
    assert resolve_plain(text) == value
    assert type(resolve_plain(text)) is type(value)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".inf", "-.Inf", "1e999", "9" * 30])
def test_C4_numbers_are_finite_and_of_a_sane_size(text: str) -> None:
    assert problems_of(f"a: {text}")[0].startswith(f"1:4: {text} is ")


@given(st.text(alphabet="0123456789+-._:eExobTZynftrualsi ~=<", max_size=12))
@example("=")
def test_C5_never_reads_a_plain_word_otherwise_than_pyyaml_but_for_exponents(text: str) -> None:
    try:
        ours = resolve_plain(text)
        theirs = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return
    # Only a scalar that stayed whole is comparable: `a: b` and ` a` are not one plain word.
    if text.strip() == text and isinstance(theirs, str | int | float | None) and ours != theirs:
        assert theirs == text
        assert isinstance(ours, int | float)


def test_C6_duplicate_keys_name_both_places() -> None:
    assert problems_of("a: 1\nb: {c: 1, c: 2}\na: 3\n") == [
        "2:11: the key c is set twice, first at 2:5",
        "3:1: the key a is set twice, first at 1:1",
    ]


def test_C7_aliases_and_anchors_are_refused_before_they_multiply() -> None:
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 30))
    started = time.process_time()
    lines = problems_of(f"l0: &l0 lol\n{levels}\n")
    assert time.process_time() - started < 1.0
    assert lines[0] == "1:5: the anchor &l0 is refused, write values out"
    assert lines[2] == "2:10: an alias is refused, write the value out"


def test_C7_merge_keys_are_refused_unless_quoted() -> None:
    assert problems_of("a: {<<: {b: 1}}") == ["1:5: the merge key << is refused, write the keys out"]
    assert plain(read("'<<': 1")) == {"<<": 1}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: "])
def test_C8_nesting_is_refused_at_depth_32_and_at_once(opening: str) -> None:
    started = time.process_time()
    lines = problems_of(opening * 5000)
    assert time.process_time() - started < 1.0
    assert lines[-1].endswith("nested deeper than 32 levels")


def test_C8_depth_32_is_read() -> None:
    assert plain(read("[" * 32 + "]" * 32)) is not None


def test_C8_size_and_number_of_values_are_bounded() -> None:
    assert problems_of(b"#" * (256 * 1024 + 1)) == ["1:1: the text is larger than 262144 bytes"]
    assert problems_of("[" + "a," * 120_000 + "]")[0].endswith("more than 10000 values")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!str", "!", "!own"])
def test_C9_tags_are_refused(tag: str) -> None:
    (line,) = problems_of(f"a: {tag} [id]")
    assert line.startswith("1:4: the tag ")
    assert line.endswith(" is refused, write the plain value")


@pytest.mark.parametrize("key", ["1", "true", "[a]", "{a: 1}", "~", "? [a]\n"])
def test_keys_are_text(key: str) -> None:
    assert problems_of(f"{key}: 1")[0].endswith("a key must be text, quote it")


def test_only_one_document_is_read() -> None:
    assert problems_of("a: 1\n---\nb: 2\n") == ["2:1: a second document starts here, only one is read"]


def test_a_hostile_text_gives_a_short_list() -> None:
    lines = problems_of("\n".join(f"k{i}: no" for i in range(5000)))
    assert len(lines) == strict_yaml.MAX_YAML_PROBLEMS + 1
    assert lines[-1] == "only the first 50 problems are shown"


def test_problems_are_printable_whatever_the_text_holds() -> None:
    (line,) = problems_of(b'a: {"\\e[2J\\n\\u202e": 1, "\\e[2J\\n\\u202e": 2}')
    assert line.isprintable()
    assert "\\x1b[2J\\n\\u202e" in line


YAML_PIECES = st.sampled_from(
    [
        *"a?{}[]\n\t\"'|>#\\%",
        *("b: ", "- ", ", ", "\n  ", "&x ", "*x ", "!t ", "<<: ", "--- ", "...\n", "%YAML 1.1\n", "%TAG ! a\n"),
        *('"\\U0011ffff"', '"\\ud800"', "no", "012", "1e9", ".nan"),
    ]
)


@given(st.lists(YAML_PIECES, max_size=30).map("".join).map(str.encode) | st.text().map(str.encode) | st.binary())
@example(b"\xef\xbb\xbf")
def test_any_bytes_give_a_tree_or_a_config_error(content: bytes) -> None:
    problems: list[str] = ["none"]
    try:
        read(content)
    except ConfigError as error:
        problems = error.problems
    assert problems
    assert all(line.isprintable() for line in problems)
