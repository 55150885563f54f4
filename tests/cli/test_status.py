"""`streamgmm status`, asked of sockets that greet as a daemon does, or as something else does."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from streamgmm.cli import status as command
from streamgmm.records import Error, Health, Record, Start, Status, encode_json
from streamgmm.service.place import SYSTEM
from streamgmm.sinks.socket.listeners import TcpListener
from streamgmm.sinks.socket.sockets import SocketSink
from streamgmm.sinks.socket.token import Token
from streamgmm.sinks.socket.unix import UnixListener
from tests.cli.cli_rig import run_cli, spawn_main
from tests.other_user import as_ordinary_user, shared_folder
from tests.sinks.sink_rig import HELLO, Client, message, start
from tests.test_records import HEALTH

Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Sends some bytes to whoever connects, in parts, and then hangs or hangs up."""
    server = socket.create_server(str(tmp_path / "s"), family=socket.AF_UNIX)
    is_over = threading.Event()

    def begin(*parts: bytes, hangs_up: bool = False) -> str:
        def run() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(BrokenPipeError):
                for part in parts:
                    connection.sendall(part)
                if not hangs_up:
                    is_over.wait(10)

        threading.Thread(target=run, daemon=True).start()
        return f"unix://{tmp_path}/s"

    yield begin
    is_over.set()
    server.close()


def greeting(state: str = "ok", *others: Record) -> bytes:
    status = Status(t=9.0, source="mic", state=state, detail="audio flows from mic", health=HEALTH)
    return b"".join(map(encode_json, (HELLO, *others, status)))


def test_what_the_daemon_says_is_a_table(capsys: pytest.CaptureFixture[str], serve: Serve) -> None:
    outcome = run_cli(capsys, "status", "--sink", serve(greeting("ok", start(5))))
    assert outcome.code == 0
    rows = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert rows["state"].strip() == "ok"
    assert rows["level"].strip() == "-30.0 dBFS"
    assert rows["subscribers"].strip() == "2"
    assert rows["model"].strip() == "m (000000000000)"
    assert "suspend" in outcome.out
    assert "overload" in outcome.out


def test_one_source_is_shown_without_the_library_of_tables(serve: Serve) -> None:
    process = spawn_main("sys.modules['rich'] = None", "status", "--sink", serve(greeting()))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    state, detail, *_ = out.splitlines()
    assert state.split() == ["state", "ok"]
    assert state.index("ok") == detail.index("audio flows")


def test_json_is_the_record_itself(capsys: pytest.CaptureFixture[str], serve: Serve) -> None:
    sent = greeting()
    outcome = run_cli(capsys, "status", "--json", "--sink", serve(sent[:100], sent[100:]))
    assert outcome.code == 0
    assert json.loads(outcome.out) == json.loads(sent.splitlines()[-1])


@pytest.mark.parametrize("state", ["ok", "quiet", "clipping", "overloaded"])
def test_audio_flows(capsys: pytest.CaptureFixture[str], serve: Serve, state: str) -> None:
    assert run_cli(capsys, "status", "--sink", serve(greeting(state))).code == 0


@pytest.mark.parametrize("state", ["starting", "degraded", "lost", "stalled", "recovering", "silent", "flat"])
def test_no_audio_flows_is_75_and_one_line_says_why(
    capsys: pytest.CaptureFixture[str], serve: Serve, state: str
) -> None:
    outcome = run_cli(capsys, "status", "--sink", serve(greeting(state)))
    assert outcome.code == 75
    assert outcome.err == f"streamgmm: error: mic: no audio is flowing: {state}: audio flows from mic\n"
    assert outcome.out.startswith("state")


def test_nobody_listens_is_69(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome = run_cli(capsys, "status", "--sink", f"unix://{tmp_path}/none")
    assert outcome.code == 69
    assert outcome.err.count("\n") == 1
    assert "no daemon answers: No such file" in outcome.err


@pytest.mark.parametrize(
    ("parts", "hangs_up", "code"),
    [
        ((), True, 69),
        ((), False, 69),
        ((encode_json(HELLO),), False, 69),
        ((b"220 mail.example.org ESMTP\n",), False, 69),
        ((b"\xff" * 2_000_000,), True, 69),
        ((encode_json(Error(t=0.0, message="too many subscribers; try again later")),), True, 75),
    ],
    ids=["hangs up", "says nothing", "half a greeting", "mail", "endless line", "full"],
)
def test_what_answers_otherwise_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    serve: Serve,
    parts: tuple[bytes, ...],
    hangs_up: bool,
    code: int,
) -> None:
    monkeypatch.setattr("streamgmm.cli.status.ANSWER_TIMEOUT_S", 0.5)
    outcome = run_cli(capsys, "status", "--sink", serve(*parts, hangs_up=hangs_up))
    assert outcome.code == code
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


@pytest.mark.parametrize("sink", ["stdout:", "unix://", "tcp://host", "tcp://:1", "http://127.0.0.1:1", "tcp://h:x"])
def test_what_is_no_socket_is_64(capsys: pytest.CaptureFixture[str], sink: str) -> None:
    assert run_cli(capsys, "status", "--sink", sink).code == 64


def test_the_socket_of_the_settings_is_asked(capsys: pytest.CaptureFixture[str], serve: Serve) -> None:
    sinks = json.dumps(["stdout:", serve(greeting())])
    assert run_cli(capsys, "status", "--set", f"output.sinks={sinks}").code == 0
    outcome = run_cli(capsys, "status")
    assert outcome.code == 64
    assert "no socket" in outcome.err


def test_a_start_before_the_status_does_not_hide_it(capsys: pytest.CaptureFixture[str], serve: Serve) -> None:
    assert isinstance(start(1), Start)
    assert run_cli(capsys, "status", "--sink", serve(greeting("ok", start(1), start(2, "e2")))).code == 0


@pytest.mark.parametrize(("said", "code"), [("0123456789abcdef" * 4, 0), ("fedcba9876543210" * 4, 75), ("", 69)])
def test_E17_a_daemon_that_wants_a_token_is_told_that_of_the_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, code: int
) -> None:
    monkeypatch.setattr("streamgmm.cli.status.ANSWER_TIMEOUT_S", 1.0)
    sink = SocketSink(TcpListener("tcp://127.0.0.1:0"), token=Token(b"0123456789abcdef" * 4))
    sink.open(lambda error: None)
    for record in (HELLO, Status(t=9.0, source="mic", state="ok", detail="audio flows", health=HEALTH)):
        sink.publish(message(record))
    settings = []
    if said:
        (tmp_path / "token").write_text(said)
        (tmp_path / "token").chmod(0o600)
        settings = ["--set", f"output.token_file={tmp_path}/token"]
    try:
        assert run_cli(capsys, "status", "--sink", sink.address, *settings).code == code
    finally:
        sink.close(0.0)


def test_without_an_address_the_service_of_the_user_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "streamgmm").mkdir()
    with socket.create_server(str(tmp_path / "streamgmm" / "events.sock"), family=socket.AF_UNIX) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].sendall(greeting()), daemon=True)
        thread.start()
        outcome = run_cli(capsys, "status", "--json")
        thread.join(10)
    assert (outcome.code, json.loads(outcome.out)["state"]) == (0, "ok")


# Who asks, and what stands in the way


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SocketSink]:
    """The socket of a daemon that hears, with two places, for everybody's eyes."""
    with shared_folder() as folder:
        made = SocketSink(UnixListener(f"unix://{folder}/run/s"), max_clients=2)
        made.open(lambda error: None)
        for record in (HELLO, Status(t=9.0, source="mic", state="ok", detail="audio flows", health=HEALTH)):
            made.publish(message(record))
        yield made
        made.close(0.0)


def folder_of(sink: SocketSink) -> Path:
    return Path(sink.address.removeprefix("unix://")).parent


def test_E30_all_places_taken_are_no_reason_not_to_answer(capsys: pytest.CaptureFixture[str], sink: SocketSink) -> None:
    with Client(sink.address) as first, Client(sink.address) as second:
        first.read(1)
        second.read(1)
        assert [run_cli(capsys, "status", "--sink", sink.address).code for _ in range(20)] == [0] * 20
        assert sink.n_clients == 2


@pytest.mark.parametrize("n_clients", [0, 1])
def test_the_place_of_tcp_clients_that_need_a_token_is_spared_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, n_clients: int
) -> None:
    secret = b"0123456789abcdef" * 4
    sink = SocketSink(TcpListener("tcp://127.0.0.1:0"), token=Token(secret), max_clients=1)
    sink.open(lambda error: None)
    with contextlib.ExitStack() as stack:
        stack.callback(sink.close, 0.0)
        for record in (HELLO, Status(t=9.0, source="mic", state="ok", detail="audio flows", health=HEALTH)):
            sink.publish(message(record))
        for _ in range(n_clients):
            client = stack.enter_context(Client(sink.address))
            client.connection.sendall(secret + b"\n")
            client.read(1)
        (tmp_path / "token").write_bytes(secret)
        (tmp_path / "token").chmod(0o600)
        settings = ["--set", f"output.token_file={tmp_path}/token"]
        assert run_cli(capsys, "status", "--sink", sink.address, *settings).code == 0


def close_folder(sink: SocketSink) -> None:
    folder_of(sink).chmod(0o700)


def close_socket(sink: SocketSink) -> None:
    folder_of(sink).chmod(0o755)
    Path(sink.address.removeprefix("unix://")).chmod(0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("close", [close_folder, close_socket])
@pytest.mark.parametrize("is_named", [True, False])
def test_E31_a_user_who_may_not_open_the_socket_is_told_so(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    sink: SocketSink,
    close: Callable[[SocketSink], None],
    is_named: bool,
) -> None:
    close(sink)
    run_cli(capsys, "status", "--sink", sink.address)  # all that it imports may lie out of the user's reach
    arguments = ["--sink", sink.address] if is_named else []
    if not is_named:
        monkeypatch.setenv("HOME", "/nonexistent")
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")
        system = SYSTEM._replace(runtime_directory=folder_of(sink))
        monkeypatch.setattr("streamgmm.service.place.SYSTEM", system)
        Path(sink.address.removeprefix("unix://")).rename(system.socket)
    with as_ordinary_user():
        outcome = run_cli(capsys, "status", *arguments)
    assert outcome.code == 77
    assert "this user may not open the socket (use sudo, or become a member of its group)" in outcome.err
    assert (outcome.err.count("\n"), outcome.out) == (1, "")


MISTAKES = {
    "an unknown key": "decison: {}\n",
    "a wrong value": "decision: {hangover_s: long}\n",
    "no YAML": "decision: [\n",
    "no UTF-8": b"decision: {}\xff\n",
    "nothing": "",
    "another section without sense": "features: 3\n",
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("is_named", [True, False])
def test_C19_a_mistake_in_the_settings_since_the_start_does_not_concern_the_daemon(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sink: SocketSink,
    mistake: str | bytes,
    is_named: bool,
) -> None:
    settings = tmp_path / "config.yaml"
    settings.write_bytes(mistake if isinstance(mistake, bytes) else mistake.encode())
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")
    place = SYSTEM._replace(runtime_directory=folder_of(sink))
    monkeypatch.setattr("streamgmm.service.place.SYSTEM", place)
    Path(sink.address.removeprefix("unix://")).rename(place.socket)
    arguments = ["--sink", f"unix://{place.socket}"] if is_named else []
    outcome = run_cli(capsys, "status", "--config", settings, *arguments)
    assert outcome.code == 0
    assert outcome.out.startswith("state")
    assert "the settings have mistakes, which the daemon does not use: " in caplog.text


def test_the_sinks_of_settings_that_are_wrong_elsewhere_are_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, sink: SocketSink
) -> None:
    settings = tmp_path / "config.yaml"
    settings.write_text(f"decison: {{}}\noutput:\n  sinks: [{sink.address!r}]\n  format: none\n")
    assert run_cli(capsys, "status", "--config", settings).code == 0


def test_settings_that_lead_nowhere_are_told_with_their_mistake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("streamgmm.service.place.installed_sockets", list)
    (tmp_path / "config.yaml").write_text("decison: {}\n")
    outcome = run_cli(capsys, "status", "--config", tmp_path / "config.yaml")
    assert (outcome.code, outcome.err.count("\n")) == (78, 1)


def test_a_mistake_of_whoever_asks_is_one(capsys: pytest.CaptureFixture[str], sink: SocketSink) -> None:
    assert run_cli(capsys, "status", "--sink", sink.address, "--set", "output.sink=x").code == 78


def test_a_service_that_is_installed_and_does_not_run_is_69(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / ".config" / "systemd" / "user").mkdir(parents=True)
    (tmp_path / ".config" / "systemd" / "user" / "streamgmm.service").touch()
    outcome = run_cli(capsys, "status")
    assert (outcome.code, outcome.err.count("\n")) == (69, 1)
    assert "no daemon answers" in outcome.err


@pytest.mark.parametrize(("is_terminal", "columns"), [(False, "40"), (True, "140"), (True, "70")])
def test_no_figure_of_several_sources_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_terminal: bool, columns: str
) -> None:
    health = msgspec.structs.replace(
        HEALTH,
        captured_samples=16000 * 86400 * 40,
        lost_samples={"overload": 16000 * 12345},
        n_reopened=4321,
        room_s=86400.0,
        room_weight=0.3,
    )
    answers = [
        (msgspec.structs.replace(HELLO, sample_rate_hz=16000, is_required=False), status_of(name, health))
        for name in ("kitchen", "the yard behind the house")
    ]
    monkeypatch.setattr(command, "find_daemon", lambda *_: ("unix:///s", None, None))
    monkeypatch.setattr(command, "ask_status", lambda *_: answers)
    # As on a terminal for the library of tables.
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if is_terminal else "0")
    monkeypatch.setenv("COLUMNS", columns)
    outcome = run_cli(capsys, "status")
    assert outcome.code == 0
    for figure in ("-30.0 dBFS", "40 d", "12345.", "4321", "1440 min"):
        assert outcome.out.count(figure) == 2, outcome.out
    assert "\N{HORIZONTAL ELLIPSIS}" not in outcome.out
    if not is_terminal:
        # A line for each source, for other programs.
        heading, *rows = outcome.out.splitlines()
        assert heading.split() == ["source", "state", "level", "captured", "lost", "reopened", "model", "room"]
        assert [row.startswith(name) for row, name in zip(rows, ("kitchen", "the yard behind the house"), strict=True)]


def status_of(source: str, health: Health) -> Status:
    return Status(t=9.0, source=source, state="ok", detail="audio flows from mic", health=health)
