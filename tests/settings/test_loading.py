from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamgmm.errors import ConfigError, InputMissingError
from streamgmm.settings.config import Config, settings_by_source
from streamgmm.settings.loading import LoadedConfig, default_paths, load_config


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "streamgmm.settings.loading.default_paths", lambda: [tmp_path / "user.yaml", tmp_path / "etc.yaml"]
    )


def load(folder: Path, text: str, *overrides: str) -> LoadedConfig:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def problems_of(folder: Path, text: str, *overrides: str) -> list[str]:
    """The problems, with the file's folder left out."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *overrides)
    assert caught.value.exit_code == 78
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_nothing_given_is_all_defaults() -> None:
    assert load_config(None)[:3] == (Config(), frozenset(), None)


def test_the_place_of_each_value_is_kept(tmp_path: Path) -> None:
    loaded = load(tmp_path, "output:\n  sinks: ['stdout:', {uri: 'tcp://127.0.0.1:1'}]\n", "source.uri=mic:1")
    path = tmp_path / "c.yaml"
    names = ("output.sinks[0]", "output.sinks[1]", "output.sinks[1].uri", "source.uri")
    places = [f"{path}:2:11", f"{path}:2:22", f"{path}:2:28", "--set source.uri=mic:1"]
    assert [loaded.places[name].replace(str(loaded.path), str(path)) for name in names] == places


def test_what_was_given_is_told_apart_from_defaults(tmp_path: Path) -> None:
    loaded = load(tmp_path, "decision:\n  onset_threshold: 0.7\n", "model.priors.dog=2", "output.sinks=[]")
    assert loaded.explicit_keys == {"decision.onset_threshold", "model.priors.dog", "output.sinks"}
    assert loaded.config.decision == Config().decision
    assert loaded.path == tmp_path / "c.yaml"


def test_the_users_settings_come_before_the_systems(tmp_path: Path) -> None:
    (tmp_path / "etc.yaml").write_text("source: {ring_s: 5}")
    assert load_config(None).config.source.ring_s == 5
    (tmp_path / "user.yaml").write_text("source: {ring_s: 6}")
    assert load_config(None).config.source.ring_s == 6
    assert load_config(None).path == tmp_path / "user.yaml"


def test_the_variable_comes_before_both_and_after_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, ring_s in (("user", 5), ("named", 6), ("c", 7)):
        (tmp_path / f"{name}.yaml").write_text(f"source: {{ring_s: {ring_s}}}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STREAMGMM_CONFIG", "~/named.yaml")
    assert load_config(None).path == tmp_path / "named.yaml"
    assert load_config(None).config.source.ring_s == 6
    assert load_config(tmp_path / "c.yaml").config.source.ring_s == 7
    monkeypatch.setenv("STREAMGMM_CONFIG", "")
    assert load_config(None).path == tmp_path / "user.yaml"


@pytest.mark.parametrize("named", ["/no/such.yaml", "~nobody9/c.yaml", "/"])
def test_C1_an_error_names_the_variable_that_named_the_file(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGMM_CONFIG", named)
    with pytest.raises(InputMissingError, match=r"\(named by STREAMGMM_CONFIG\)$"):
        load_config(None)
    with pytest.raises(InputMissingError, match=r"^/no/other.yaml: no such file$"):
        load_config("/no/other.yaml")


def test_settings_are_looked_for_where_the_desktop_says() -> None:
    def paths(**environment: str) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("HOME", "XDG_CONFIG_HOME"):
                patch.delenv(name, raising=False)
            for name, value in environment.items():
                patch.setenv(name, value)
            return [path.as_posix() for path in default_paths()]

    system = "/etc/streamgmm/config.yaml"
    assert paths() == [system]
    assert paths(HOME="/h") == ["/h/.config/streamgmm/config.yaml", system]
    assert paths(HOME="/h", XDG_CONFIG_HOME="/x") == ["/x/streamgmm/config.yaml", system]


def test_sections_whose_settings_are_commented_out_are_empty(tmp_path: Path) -> None:
    assert load(tmp_path, "source:\n  # uri: mic\ndecision:\n  labels:\n").config == Config()


def test_C1_a_named_file_must_be_there(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(InputMissingError) as caught:
            load_config(path)
        assert caught.value.exit_code == 66
        assert str(path) in str(caught.value)


def test_C2_syntax_is_reported_with_the_mistakes_of_the_options(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "a: [", "source.ring_s=1") == [
        "c.yaml:1:5: while parsing a flow node, expected the node content, but found '<stream end>'",
        "--set source.ring_s=1: source.ring_s: got 1, wanted a number from 2 to 600 s",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "decision:\n  onset_threshhold: 1",
            "2:3: decision.onset_threshhold: unknown key, did you mean onset_threshold?",
        ),
        ("sorce: {}", "1:1: sorce: unknown key, did you mean source?"),
        (
            "training: {frames: never}",
            "1:12: training.frames: unknown key, it is called training.cepstra now",
        ),
        ("decision: {hop_s: 1}", "1:12: decision.hop_s: unknown key, it belongs to features"),
        (
            "model:\n  xyz: 1",
            "2:3: model.xyz: unknown key, known are path, priors",
        ),
        (
            "decision: {labels: {dog: {onset_treshold: 1}}}",
            "1:27: decision.labels.dog.onset_treshold: unknown key, did you mean onset_threshold?",
        ),
    ],
)
def test_C3_unknown_keys_come_with_the_nearest_known_one(tmp_path: Path, text: str, problem: str) -> None:
    assert problems_of(tmp_path, text) == [f"c.yaml:{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("source: {ring_s: fast}", "1:18: source.ring_s: got 'fast', wanted a number from 2 to 600 s"),
        ("source: {ring_s: 1}", "1:18: source.ring_s: got 1, wanted a number from 2 to 600 s"),
        ("source: {ring_s: }", "1:17: source.ring_s: got nothing, wanted a number from 2 to 600 s"),
        ("source: {ring_s: [2]}", "1:18: source.ring_s: got a list, wanted a number from 2 to 600 s"),
        ("source: {ring_s: .nan}", "1:18: .nan is not a finite number"),
        ("decision: {min_llr: -.inf}", "1:21: -.inf is not a finite number"),
        ("decision: {onset_threshold: 0}", "1:29: decision.onset_threshold: got 0, wanted a number above 0, up to 1"),
        ("training: {seed: 1.0}", "1:18: training.seed: got 1.0, wanted a whole number from 0 to 4294967295"),
        ("training: {seed: true}", "1:18: training.seed: got true, wanted a whole number from 0 to 4294967295"),
        (
            "training: {n_components: many}",
            "1:26: training.n_components: got 'many', wanted a whole number from 1 to 256, or bic",
        ),
        ("output: {windows: 1}", "1:19: output.windows: got 1, wanted true or false"),
        ("output: {sinks: 'stdout:'}", "1:17: output.sinks: got 'stdout:', wanted a list of text, or a mapping"),
        ("output: {sinks: [a, 2]}", "1:21: output.sinks[1]: got 2, wanted text, or a mapping, quote it"),
        ("output: {format: xml}", "1:18: output.format: got 'xml', wanted audacity, dcase, jsonl, label or text"),
        ("source: [1]", "1:9: source: got a list, wanted a mapping"),
        ("model: {priors: {dog: 0}}", "1:23: model.priors.dog: got 0, wanted a number above 0, up to 1000000"),
    ],
)
def test_C4_wrong_values_tell_what_was_wanted(tmp_path: Path, text: str, problem: str) -> None:
    assert problems_of(tmp_path, text) == [f"c.yaml:{problem}"]


def test_C4_values_that_contradict_each_other_are_told_at_their_section(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "model: {}\ndecision:\n  onset_threshold: 0.3\n") == [
        "c.yaml:2:1: decision: offset_threshold (0.4) must not exceed onset_threshold (0.3)"
    ]


@pytest.mark.parametrize("text", ["no", "012", "12:30:45", "2026-01-31"])
def test_C5_surprises_are_refused_and_quoting_helps(tmp_path: Path, text: str) -> None:
    (problem,) = problems_of(tmp_path, f"decision:\n  labels:\n    {text}: {{hangover_s: 1e0}}")
    assert problem.startswith(f"c.yaml:3:5: {text} without quotes can be read as ")
    loaded = load(tmp_path, f"decision:\n  labels:\n    '{text}': {{hangover_s: 1e0}}")
    assert loaded.config.decision.labels[text].hangover_s == 1.0


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = "source: {uri: no, ring_s: 1}\nmodel: {path: 3}\nmodel: {}\nxyzzy: &a 1\n"
    assert problems_of(tmp_path, text, "training.seed=-1") == [
        "c.yaml:1:15: no without quotes can be read as true or false, quote it or write true or false",
        "c.yaml:3:1: the key model is set twice, first at c.yaml:2:1",
        "c.yaml:4:8: the anchor &a is refused, write values out",
        "c.yaml:1:27: source.ring_s: got 1, wanted a number from 2 to 600 s",
        "c.yaml:2:15: model.path: got 3, wanted text, quote it",
        "c.yaml:4:1: xyzzy: unknown key, known are source, sources, model, decision, output, clips, "
        "schedule, features, training",
        "--set training.seed=-1: training.seed: got -1, wanted a whole number from 0 to 4294967295",
    ]


@pytest.mark.parametrize(
    ("text", "got"), [("", "nothing"), ("# only a comment\n", "nothing"), ("[a]", "a list"), ("text", "'text'")]
)
def test_C10_the_root_must_hold_sections(tmp_path: Path, text: str, got: str) -> None:
    assert problems_of(tmp_path, text) == [f"c.yaml:1:1: got {got}, wanted sections"]


def test_C8_C11_what_is_no_sane_file_is_a_wrong_configuration(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "#" * 300_000) == ["c.yaml: is larger than 262144 bytes"]
    with pytest.raises(ConfigError, match="/dev/zero: is not a regular file"):
        load_config("/dev/zero")


def test_options_are_stronger_than_the_file(tmp_path: Path) -> None:
    text = "decision: {hangover_s: 1, labels: {dog: {hangover_s: 2}}}\nsource:\n"
    options = ["decision.labels.dog.onset_threshold=0.7", "decision.hangover_s=4"]
    decision = load(tmp_path, text, *options, "source.uri=mic:USB Audio #2").config.decision
    assert decision.hangover_s == 4
    assert (decision.labels["dog"].hangover_s, decision.labels["dog"].onset_threshold) == (2, 0.7)


@pytest.mark.parametrize(
    ("first", "second", "key", "value"),
    [
        ("decision.hangover_s=3", "decision.hangover_s=4", "decision.hangover_s", "3"),
        ("source.uri=file:a", "source.uri=mic", "source.uri", '"file:a"'),
        ("output.windows=true", "output.windows=false", "output.windows", "true"),
        ("output.sinks=['stdout:']", "output.sinks=[]", "output.sinks", '["stdout:"]'),
        ("output.sinks=[a, b]", "output.sinks=[b, a]", "output.sinks", '["a", "b"]'),
        ("output={format: text, windows: true}", "output.format=jsonl", "output.format", '"text"'),
        ("output.format=jsonl", "output={format: text}", "output.format", '"jsonl"'),
        ("model.priors.dog=1", "model.priors={cat: 2, dog: 3}", "model.priors.dog", "1"),
        ("decision.labels={a: {hangover_s: 1}}", "decision.labels.a.hangover_s=2", "decision.labels.a.hangover_s", "1"),
        ("training.n_components=bic", "training.n_components=3", "training.n_components", '"bic"'),
    ],
)
def test_C17_two_values_for_one_setting_on_one_command_line_are_refused_with_both(
    first: str, second: str, key: str, value: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [first, second])
    assert caught.value.problems == [f"--set {second}: {key} is also given as {value}; give it once"]
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    "options",
    [
        ["decision.hangover_s=1", "decision.hangover_s=1.0"],
        ["source.uri=mic", 'source.uri="mic"'],
        ["output.sinks=['stdout:']", 'output.sinks=["stdout:"]'],
        ["output={format: text}", "output.windows=true"],
        ["output.windows=true", "output={format: text}"],
    ],
)
def test_options_that_agree_are_all_heard_in_any_order(options: list[str]) -> None:
    forwards, backwards = load_config(None, options), load_config(None, options[::-1])
    assert forwards[:3] == backwards[:3]
    assert len(forwards.explicit_keys) == len({option.partition("=")[0] for option in options})


HOME = "/somewhere/at home"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", HOME)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("model.path=~/my.sgm", f"{HOME}/my.sgm"),
        ("output.token_file=~/token", f"{HOME}/token"),
        ("source.uri=file:~/a.wav", f"file:{HOME}/a.wav"),
        ("source.uri=file://~/a.wav", f"file://{HOME}/a.wav"),
        ("output.sinks=['file://~/e.jsonl']", [f"file://{HOME}/e.jsonl"]),
        ("output.sinks=['stdout:', 'unix://~/e.sock']", ["stdout:", f"unix://{HOME}/e.sock"]),
        ("output.sinks=['unix:///tmp/~/e.sock']", ["unix:///tmp/~/e.sock"]),
        ("source.uri=file:./~/a.wav", "file:./~/a.wav"),
        ("source.uri=mic:~1", "mic:~1"),
        ("training.credit=~/not a path", "~/not a path"),
    ],
)
@pytest.mark.parametrize("is_in_file", [True, False])
def test_C16_a_home_directory_is_put_in_wherever_a_setting_holds_a_path(
    tmp_path: Path, option: str, expected: object, is_in_file: bool
) -> None:
    key, _, value = option.partition("=")
    section, _, name = key.partition(".")
    text, options = (f"{section}:\n  {name}: {value}\n", []) if is_in_file else ("source:\n", [option])
    assert getattr(getattr(load(tmp_path, text, *options).config, section), name) == expected


@pytest.mark.parametrize("value", ["~nobody9/x", "file:~nobody9", "file://~nobody9/x", "unix://~nobody9/x.sock"])
def test_an_unknown_user_is_a_problem_with_its_place(tmp_path: Path, value: str) -> None:
    (problem,) = problems_of(tmp_path, f"output:\n  sinks: ['stdout:', '{value}']\n")
    assert problem.startswith(f"c.yaml:2:22: output.sinks[1]: {value}: there is no user nobody9")


@pytest.mark.usefixtures("home")
def test_the_file_of_settings_may_lie_in_a_home_directory() -> None:
    with pytest.raises(InputMissingError, match=f"{HOME}/no.yaml: no such file"):
        load_config("~/no.yaml")


def test_an_option_can_give_a_whole_mapping() -> None:
    loaded = load_config(
        None, ["decision.labels={cat.v2: {hangover_s: 1}}", 'model.path=""', "output.sinks=['stdout:']"]
    )
    assert loaded.config.decision.labels["cat.v2"].hangover_s == 1


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("decision", "wanted section.key=value"),
        ("=1", "wanted section.key=value"),
        ("a..b=1", "wanted section.key=value"),
        ("decision=1", "decision: got 1, wanted a mapping"),
        ("decision.onset_treshold=1", "decision.onset_treshold: unknown key, did you mean onset_threshold?"),
        ("source.uri=[", "while parsing a flow node, expected the node content, but found '<stream end>'"),
        ("source.uri=\udcff", "byte 0xff is not UTF-8, save the text as UTF-8"),
        ("source.uri=", "source.uri: got nothing, wanted text"),
        ("source.uri.x=1", "source.uri: got a mapping, wanted text"),
    ],
)
def test_mistakes_in_options_name_the_option(option: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [option])
    shown = option.replace("\udcff", "\\udcff")
    assert caught.value.problems == [f"--set {shown}: {problem}"]


def test_an_option_does_not_hide_a_mistake_in_the_file(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "decision: 3", "decision.hangover_s=1") == [
        "c.yaml:1:11: decision: got 3, wanted a mapping"
    ]


def test_a_hostile_key_cannot_flood_or_steer_a_terminal(tmp_path: Path) -> None:
    text = f'decision: {{labels: {{"\\e[2J{"x" * 900}": {{hangover_s: -1, onset_threshold: 0.1}}}}}}'
    (problem,) = problems_of(tmp_path, text)
    assert problem.isprintable()
    assert len(problem) < 300
    assert problem.endswith("got -1, wanted a number from 0 to 3600 s, or null")


KEYS = st.sampled_from(
    ["source", "decision", "labels", "dog", "uri", "ring_s", "hangover_s", "sinks", "output", "x", "no"]
)
SCALARS = st.sampled_from(["1", "-1e3", "true", "no", "text", ".nan", "~", "''", "[]", "{}", "0.5", "012", "9" * 70])
FLOW = st.recursive(
    SCALARS,
    lambda inner: st.lists(st.tuples(KEYS, inner), max_size=4).map(
        lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
    ),
)


@given(
    text=FLOW | st.text(), option=st.tuples(KEYS, KEYS, FLOW).map(lambda parts: "{}.{}={}".format(*parts)) | st.text()
)
@example(text="{source: {uri: mic}}", option="source.ring_s=5")
def test_any_text_and_any_option_give_a_config_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, option: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(load_config(path, [option]).config, Config)
    except ConfigError as error:
        problems = error.problems
        assert problems and all(line.isprintable() for line in problems)  # noqa: PT018 (both ends are fine)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("kitchen: mic:USB", {"uri": "mic:USB", "channel": 1, "onset": 0.9}),
        ("kitchen: {uri: mic:2, channel: mean}", {"uri": "mic:2", "channel": "mean", "onset": 0.9}),
        ("kitchen: {decision: {onset_threshold: 0.8}}", {"uri": "mic", "channel": 1, "onset": 0.8}),
    ],
)
def test_a_source_shares_what_it_leaves_out(tmp_path: Path, text: str, wanted: dict[str, object]) -> None:
    shared = "source: {uri: file:x, channel: 1}\ndecision: {onset_threshold: 0.9, hangover_s: 3}\n"
    (tmp_path / "c.yaml").write_text(f"{shared}sources: {{{text}}}\n")
    config = load_config(tmp_path / "c.yaml").config
    (name, own), *_ = settings_by_source(config).items()
    assert name == "kitchen"
    found = {"uri": own.source.uri, "channel": own.source.channel, "onset": own.decision.onset_threshold}
    assert found == wanted
    assert own.decision.hangover_s == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{a b: mic}", "1:11: sources.a b: wanted 1 to 64 letters, digits and _ . - as a name"),
        ("{a: {uri: mic, chanel: 1}}", "1:25: sources.a.chanel: unknown key, did you mean channel?"),
        ("{a: {uri: mic, decision: 5}}", "1:35: sources.a.decision: got 5, wanted a mapping"),
        ("[mic]", "1:10: sources: got a list, wanted a mapping"),
    ],
)
def test_a_bad_source_is_refused_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    assert problems_of(tmp_path, f"sources: {text}") == [f"c.yaml:{problem}"]


def test_what_all_sources_share_is_wrong_once(tmp_path: Path) -> None:
    text = "source: {channel: -1}\nsources: {a: mic, b: mic:2}\ndecision: {hangover_s: x}\n"
    assert len(problems_of(tmp_path, text)) == 2
