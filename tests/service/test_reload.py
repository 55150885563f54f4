from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from streamgmm import units
from streamgmm.errors import ConfigError, DataError, StreamgmmError
from streamgmm.features.spec import FeatureSpec
from streamgmm.model.file import load_model, save_model
from streamgmm.model.model import Model
from streamgmm.pipeline import Pipeline
from streamgmm.records import Bye, End, Gap, Hello, ModelChanged, Record, Start, Window
from streamgmm.service import reload
from streamgmm.service.context import ChannelPlan
from streamgmm.service.daemon import Daemon
from streamgmm.service.reload import MAX_READINGS, Loaded, Reloader, ReloadListener, list_changes
from streamgmm.settings.config import Config, ModelSection, NamedSourceSection
from streamgmm.settings.decision import DecisionSection, LabelSection
from streamgmm.settings.loading import load_config
from streamgmm.settings.output import OutputSection
from streamgmm.settings.source import SourceSection
from streamgmm.sinks.hub import Hub
from tests.model.model_rig import SPEC, make_classifier, make_model
from tests.narrowing import one, present
from tests.service.daemon_rig import planned
from tests.service.service_rig import RATE_HZ, TIMEOUT_S, FakeSource, KeepingSink, check_conservation

# Every window is an event, so that some are always open.
EAGER = DecisionSection(min_llr=-1e6, onset_threshold=0.01, offset_threshold=0.0, min_duration_s=0.0)
CONFIG = Config(source=SourceSection(ring_s=2.0), decision=EAGER, output=OutputSection(windows=True))
MODEL = make_model()
OTHER = make_model(labels=("kettle", "phone", "rain"), seed=1)
BAD = ConfigError(["streamgmm.yaml:3:1: unknown key"])
N_RELOADS = 1000


def make_daemon(source: FakeSource, sink: KeepingSink, config: Config = CONFIG, model: Model = MODEL) -> Daemon:
    return Daemon([planned(model, config, source)], Hub([sink]), run_id="r")


def adopt(daemon: Daemon, model: Model, config: Config) -> None:
    """Reload `daemon`, whose source stays."""
    daemon.adopt([planned(model, config, FakeSource())])


def loaded(config: Config, model: Model) -> Loaded:
    """One reading, which names one source."""
    return Loaded(config, (planned(model, config, FakeSource()),))


def with_decision(**settings: object) -> Config:
    return msgspec.structs.replace(CONFIG, decision=msgspec.structs.replace(EAGER, **settings))


# The daemon


@pytest.mark.parametrize("n_before", [8000, 8123, 0])
def test_D13_new_labels_are_announced_before_the_first_of_them(n_before: int) -> None:
    sink = KeepingSink()
    daemon: Daemon
    microphone = FakeSource(n_before, lambda: adopt(daemon, OTHER, CONFIG), 8000, is_live=False)
    daemon = make_daemon(microphone, sink)
    daemon.run()
    kinds = [type(record) for record in sink.records]
    i_model = kinds.index(ModelChanged)
    before, model, after = sink.records[:i_model], sink.records[i_model], sink.records[i_model + 1 :]
    assert isinstance(model, ModelChanged)
    hello = one(before, Hello)
    assert model.labels == ["kettle", "phone", "rain"]
    assert (model.window_s, model.hop_s) == (hello.window_s, hello.hop_s)
    assert {label for record in before if isinstance(record, Window) for label in record.scores} <= {"dog", "glass"}
    assert {label for record in after if isinstance(record, Window) for label in record.scores} == set(model.labels)
    # No event of the old labels outlives the record, and no id comes twice.
    assert [r.id for r in before if isinstance(r, Start)] == [r.id for r in before if isinstance(r, End)]
    ids = [record.id for record in sink.of(Start)]
    assert len(ids) == len(set(ids)) > 0
    check_stream_is_whole(sink, n_before + 8000)


def check_stream_is_whole(sink: KeepingSink, n_samples: int) -> None:
    """Every sample went through one model or the other, hop by hop, without a gap between them."""
    bye = check_conservation(sink.records[-1], n_samples)
    assert bye.lost_samples == 0
    assert bye.t == n_samples / RATE_HZ
    assert not sink.of(Gap)
    assert [record.seq for record in sink.records] == list(range(len(sink.records)))
    times_s = [window.t for window in sink.of(Window)]
    hop_s = units.samples_to_seconds(SPEC.hop_samples, RATE_HZ)
    assert times_s[:-1] == pytest.approx([hop_s * (i + 1) for i in range(len(times_s) - 1)])


def test_F3_other_thresholds_are_no_other_model() -> None:
    sink = KeepingSink()
    deaf = with_decision(onset_threshold=1.0, min_llr=1e6)
    daemon: Daemon
    microphone = FakeSource(8000, lambda: adopt(daemon, MODEL, deaf), 8000, is_live=False)
    daemon = make_daemon(microphone, sink)
    daemon.run()
    assert not sink.of(ModelChanged)
    check_stream_is_whole(sink, 16000)
    # The worker has heard half of it at most when it is told.
    assert {window.reject for window in sink.of(Window)[-8:]} == {"background"}


def test_F3_a_daemon_that_hears_nothing_reloads_at_once() -> None:
    sink = KeepingSink()
    microphone = FakeSource("hang")
    daemon = make_daemon(microphone, sink)
    running = threading.Thread(target=daemon.run)
    running.start()
    assert microphone.hanging.wait(TIMEOUT_S)
    adopt(daemon, OTHER, CONFIG)
    assert sink.of(ModelChanged)
    daemon.stop("SIGTERM")
    running.join(TIMEOUT_S)
    check_conservation(sink.records[-1], 0)


def test_F3_another_hop_is_taken_up_in_the_middle() -> None:
    spec = FeatureSpec(sample_rate_hz=8000, window_s=0.5, hop_s=0.064, n_bands=8)
    assert spec.hop_samples != SPEC.hop_samples
    other = replace(OTHER, spec=spec, classifier=make_classifier(OTHER.labels))
    sink = KeepingSink()
    daemon: Daemon
    microphone = FakeSource(8100, lambda: adopt(daemon, other, CONFIG), 8000, is_live=False)
    daemon = make_daemon(microphone, sink)
    daemon.run()
    check_conservation(sink.records[-1], 16100)
    assert sink.of(ModelChanged)[0].hop_s == units.samples_to_seconds(spec.hop_samples, RATE_HZ)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (FeatureSpec(sample_rate_hz=16000, window_s=0.5, n_bands=8), "works at 16000 Hz, not 8000 Hz: needs restart"),
        (FeatureSpec(sample_rate_hz=8000, window_s=2.0, hop_s=2.0, n_bands=8), "too long for the ring"),
    ],
)
def test_C14_a_model_that_the_ring_cannot_feed_needs_a_restart(spec: FeatureSpec, said: str) -> None:
    sink = KeepingSink()
    daemon = make_daemon(FakeSource(8000, is_live=False), sink)
    with pytest.raises(ConfigError, match=said):
        adopt(daemon, replace(OTHER, spec=spec), CONFIG)
    daemon.run()
    assert not sink.of(ModelChanged)


def test_D12_settings_for_labels_that_the_model_lacks_change_nothing() -> None:
    sink = KeepingSink()
    daemon = make_daemon(FakeSource(8000, is_live=False), sink)
    with pytest.raises(ConfigError, match="dog"):
        adopt(daemon, OTHER, msgspec.structs.replace(CONFIG, model=ModelSection(priors={"dog": 2.0})))
    daemon.run()
    assert not sink.of(ModelChanged)
    assert set(sink.of(Window)[0].scores) == {"dog", "glass"}


# The reloader


class Readings:
    """What is read each time, the last one again and again; and what the daemon then went on with."""

    def __init__(self, *readings: Loaded | Exception, refusal: Exception | None = None) -> None:
        self._readings = list(readings)
        self._refusal = refusal
        self.n_read = 0
        self.n_announced = 0
        self.adopted: list[tuple[Model, Config]] = []
        self.outcomes: list[str] = []
        self.on_read: Callable[[], None] = lambda: None
        self.reloader = Reloader(
            self._load,
            self._adopt,
            loaded(CONFIG, MODEL),
            ReloadListener(announce=self._announce, on_outcome=self.outcomes.append),
            settle_s=0.0,
        )

    def _load(self) -> Loaded:
        self.on_read()
        self.n_read += 1
        reading = self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]
        if isinstance(reading, Exception):
            raise reading
        return reading

    def _adopt(self, plans: Sequence[ChannelPlan]) -> None:
        if self._refusal is not None:
            raise self._refusal
        self.adopted += [(plan.setup.model, plan.setup.config) for plan in plans]

    @contextmanager
    def _announce(self) -> Iterator[None]:
        self.n_announced += 1
        yield

    def serve(self, n_requests: int = 1) -> Readings:
        """Ask so often at once, and wait until all is answered."""
        for _ in range(n_requests):
            self.reloader.request()
        thread = threading.Thread(target=self.reloader.run, daemon=True)
        thread.start()
        wait_for(lambda: self.reloader.n_reloaded + self.reloader.n_refused)
        self.reloader.end()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
        return self

    @property
    def counts(self) -> tuple[int, int]:
        return self.reloader.n_reloaded, self.reloader.n_refused


def wait_for(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("nothing came of it")


CALM = with_decision(onset_threshold=0.9)


def test_F3_what_is_read_is_what_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    readings = Readings(loaded(CALM, OTHER)).serve()
    assert readings.adopted == [(OTHER, CALM)]
    assert readings.counts == (1, 0)
    assert readings.outcomes == [""]
    (line,) = caplog.messages
    assert line == "config.reload_ok model=yard changed=decision.onset_threshold"


def test_F3_nothing_new_changes_nothing_but_is_passed_on_for_sources_that_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    readings = Readings(loaded(CONFIG, MODEL)).serve()
    assert len(readings.adopted) == 1
    assert caplog.records[-1].getMessage().endswith("changed=nothing")
    assert readings.counts == (1, 0)


@pytest.mark.parametrize(
    "error", [BAD, ConfigError(["one", "two"]), DataError("is damaged", where="m.sgm")], ids=["C12", "C12_two", "D12"]
)
def test_C12_D12_what_is_bad_is_refused_in_one_line(error: StreamgmmError, caplog: pytest.LogCaptureFixture) -> None:
    readings = Readings(error).serve()
    assert (readings.adopted, readings.counts) == ([], (0, 1))
    (record,) = caplog.records
    reason = "; ".join(str(error).splitlines())
    assert (record.levelname, record.getMessage()) == ("ERROR", f"config.reload_failed reason={reason}")
    assert readings.outcomes == [f"reload refused, the old settings go on: {reason}"]


def test_D12_what_the_daemon_refuses_is_not_taken_for_current() -> None:
    readings = Readings(loaded(CALM, OTHER), refusal=DataError("no")).serve()
    assert readings.counts == (0, 1)
    readings._refusal = None
    readings.reloader._ended.clear()
    readings.reloader._reload()
    assert readings.adopted == [(OTHER, CALM)]


UNEXPECTED = [
    *(OSError(number, os.strerror(number)) for number in (errno.EIO, errno.ESTALE, errno.EACCES, errno.ENAMETOOLONG)),
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    RuntimeError("can't start new thread"),
    ValueError("embedded null byte"),
    AssertionError(),
]


@pytest.mark.parametrize("error", UNEXPECTED, ids=repr)
@pytest.mark.parametrize("is_read", [True, False], ids=["while it reads", "while it adopts"])
def test_C18_whatever_a_reload_fails_of_it_is_refused_and_the_next_one_is_served(
    error: Exception, is_read: bool, caplog: pytest.LogCaptureFixture
) -> None:
    readings = Readings(error) if is_read else Readings(loaded(CALM, OTHER), refusal=error)
    readings.serve()
    assert (readings.adopted, readings.counts) == ([], (0, 1))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "config.reload_failed unexpectedly")
    assert present(record.exc_info)[1] is error
    assert readings.outcomes == [f"reload refused, the old settings go on: {type(error).__name__}: {error}"]
    readings._readings, readings._refusal = [loaded(CALM, OTHER)], None
    readings.reloader._ended.clear()
    readings.reloader._reload()
    assert readings.adopted == [(OTHER, CALM)]


def test_a_model_that_fails_on_the_samples_at_hand_is_not_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Pipeline, other: Pipeline) -> list[Record]:
        raise MemoryError

    monkeypatch.setattr(Pipeline, "continue_from", fail)
    sink = KeepingSink()
    failures: list[BaseException] = []

    def try_it() -> None:
        try:
            adopt(daemon, OTHER, CONFIG)
        except MemoryError as error:
            failures.append(error)

    daemon = make_daemon(FakeSource(8000, try_it, 8000, is_live=False), sink)
    daemon.run()
    assert len(failures) == 1
    assert not sink.of(ModelChanged)
    check_stream_is_whole(sink, 16000)


def test_C13_a_file_that_is_being_written_is_read_until_it_is_at_rest() -> None:
    readings = Readings(BAD, loaded(CONFIG, MODEL), loaded(CALM, MODEL)).serve()
    assert readings.adopted == [(MODEL, CALM)]
    assert readings.n_read == 4


def test_C13_a_file_that_is_never_at_rest_is_refused() -> None:
    restless = [loaded(with_decision(hangover_s=float(i)), MODEL) for i in range(MAX_READINGS + 2)]
    readings = Readings(*restless).serve()
    assert (readings.adopted, readings.counts) == ([], (0, 1))
    assert "rename" in readings.outcomes[0]


def test_F1_a_reload_that_is_overtaken_by_the_end_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    readings = Readings(loaded(CALM, OTHER))
    readings.on_read = readings.reloader.end
    readings.reloader.request()
    readings.reloader.run()
    assert (readings.n_read, readings.adopted, readings.counts, readings.outcomes) == (1, [], (0, 0), [])
    assert caplog.messages == []


def test_C13_a_hundred_requests_at_once_are_one_reload() -> None:
    readings = Readings(loaded(CALM, MODEL)).serve(100)
    assert (readings.n_announced, readings.counts) == (1, (1, 0))


def test_C13_a_request_that_comes_while_the_last_reading_goes_on_is_answered_by_another() -> None:
    readings = Readings(loaded(CALM, MODEL), loaded(CALM, MODEL), loaded(CONFIG, MODEL))
    readings.on_read = lambda: readings.reloader.request() if readings.n_read == 1 else None
    readings.reloader.request()
    thread = threading.Thread(target=readings.reloader.run, daemon=True)
    thread.start()
    wait_for(lambda: readings.reloader.n_reloaded == 2)
    readings.reloader.end()
    thread.join(TIMEOUT_S)
    assert readings.adopted == [(MODEL, CALM), (MODEL, CONFIG)]


NOT_DEFAULT = {
    "source.uri": "mic:other",
    "source.ring_s": 20.0,
    "source.secret_file": "yard.pw",
    "sources": {"a": NamedSourceSection(uri="mic:1")},
    "model.path": "a.sgm",
    "decision.labels": {"dog": LabelSection(hangover_s=1.0)},
    "output.sinks": ["tcp://127.0.0.1:1"],
    "output.format": "text",
    "output.windows": True,
    "output.updates": True,
    "output.heartbeat_s": 5.0,
    "output.queue_records": 99,
    "output.n_clients": 2,
    "output.allow_remote": True,
    "output.token_file": "token",
    "features.window_s": 2.0,
    "training.seed": 5,
}
RELOADABLE = {
    *("sources", "model.path", "decision.labels", "features.window_s", "training.seed"),
    *("output.windows", "output.updates", "output.heartbeat_s"),
}


@pytest.mark.parametrize("key", NOT_DEFAULT)
def test_C14_a_setting_needs_a_restart_unless_its_declaration_says_otherwise(key: str) -> None:
    section, _, name = key.partition(".")
    value = NOT_DEFAULT[key]
    if name:
        value = msgspec.structs.replace(getattr(Config(), section), **{name: value})
    changes = list(list_changes(Config(), msgspec.structs.replace(Config(), **{section: value})))
    assert changes == [(key, key in RELOADABLE)]
    if key not in RELOADABLE:
        with pytest.raises(ConfigError, match=f"{key}: needs restart"):
            reload.refuse_fixed(changes)


def test_C14_all_or_nothing() -> None:
    source = msgspec.structs.replace(CALM, source=SourceSection(uri="mic:other", ring_s=2.0))
    changed = msgspec.structs.replace(source, output=OutputSection(windows=True, sinks=["tcp://127.0.0.1:1"]))
    readings = Readings(loaded(changed, OTHER)).serve()
    assert (readings.adopted, readings.counts) == ([], (0, 1))
    assert readings.outcomes[0].endswith("source.uri: needs restart; output.sinks: needs restart")


def test_changes_are_named_by_their_keys() -> None:
    assert list(list_changes(CONFIG, CONFIG)) == []
    assert list(list_changes(CONFIG, CALM)) == [("decision.onset_threshold", True)]


# Both, and real files


def test_C12_D12_D13_a_thousand_reloads_good_and_bad_lose_nothing(tmp_path: Path) -> None:
    config_path, model_path = tmp_path / "config.yaml", tmp_path / "model.sgm"
    models = [save_model(make_model(labels=labels), tmp_path / f"{labels[0]}.sgm") for labels in (("a", "b"), ("c",))]
    contents = [(tmp_path / f"{label}.sgm").read_bytes() for label in ("a", "c")]
    good = "source: {{ring_s: 2.0}}\noutput: {{windows: true}}\nmodel: {{path: {}}}\ndecision: {{hangover_s: {}}}\n"

    def load() -> Loaded:
        config = load_config(config_path).config
        return loaded(config, load_model(config.model.path))

    def write(i: int) -> None:
        """Of four, the second has bad settings and the last a bad model; the labels change with every good one."""
        model = contents[i // 2 % 2] if i % 4 != 3 else contents[0][:-1]
        model_path.write_bytes(model)
        config_path.write_text("decision: {hangover: 1}\n" if i % 4 == 1 else good.format(model_path, i % 4))

    write(0)
    sink = KeepingSink()
    current = load()
    counts: list[tuple[int, int]] = []

    def reload_once() -> None:
        i = len(counts) + 1
        write(i)
        reloader.request()
        wait_for(lambda: reloader.n_reloaded + reloader.n_refused == i)
        counts.append((reloader.n_reloaded, reloader.n_refused))

    steps = [step for _ in range(N_RELOADS) for step in (397, reload_once)]
    microphone = FakeSource(*steps)
    daemon = make_daemon(microphone, sink, current.config, current.models["mic"])
    reloader = Reloader(load, daemon.adopt, current, ReloadListener(), settle_s=0.0)
    threading.Thread(target=reloader.run, daemon=True).start()
    daemon.run()
    reloader.end()
    assert counts[-1] == (N_RELOADS // 2, N_RELOADS // 2)
    check_stream_is_whole(sink, 397 * N_RELOADS)
    announced = [record.model.sha256 for record in sink.of(ModelChanged)]
    assert announced == [models[(i + 1) % 2].sha256 for i in range(N_RELOADS // 2)]
    assert_labels_follow(sink.records)


def assert_labels_follow(records: list[Record]) -> None:
    """Every window knows the labels that were announced last, and no others."""
    labels: list[str] = []
    for record in records:
        if isinstance(record, Hello | ModelChanged):
            labels = record.labels
        elif isinstance(record, Window):
            assert list(record.scores) == labels
    assert isinstance(records[-1], Bye)
