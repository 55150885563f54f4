import subprocess
import sys

import pytest

from streamgmm.audio.choosing import plan_source
from streamgmm.audio.file import RecordingFile
from streamgmm.audio.microphone import microphone
from streamgmm.audio.microphone.interface import shared_interface
from streamgmm.audio.streams import pcm
from streamgmm.audio.streams.ffmpeg import FfmpegSource
from streamgmm.audio.streams.pcm_socket import PcmSocket
from streamgmm.errors import ConfigError, UsageError
from streamgmm.settings.source import SourceSection
from tests.narrowing import of_type


@pytest.mark.parametrize(
    ("uri", "device"),
    [("mic", None), ("mic:3", 3), ("mic:USB Audio", "USB Audio"), ("mic:hw:1,0", "hw:1,0"), ("mic:²", "²")],
)
def test_microphone(monkeypatch, uri, device):
    made = []
    monkeypatch.setattr(microphone, "InterfaceChannel", lambda *args: made.append(args))
    planned = plan_source(SourceSection(uri=uri, channel=1))
    for _ in range(2):
        planned.make()
    # The same interface: what is known of the device stays when it is opened again.
    assert made == 2 * [(shared_interface(device), 1)]


@pytest.mark.parametrize(("uri", "name"), [("file:/a/door.wav", "file:/a/door.wav"), ("file:a:b.wav", "file:a:b.wav")])
@pytest.mark.parametrize("pace", [0.0, 2.0])
def test_file(uri, name, pace):
    planned = plan_source(SourceSection(uri=uri, pace=pace))
    source = planned.make()
    assert isinstance(source, RecordingFile)
    assert (source.name, source.is_live) == (planned.name, planned.is_live) == (name, pace > 0)


def test_pcm_follows_its_settings(monkeypatch):
    made = []
    monkeypatch.setattr(pcm, "PcmPipe", lambda **options: made.append(options))
    plan_source(SourceSection(uri="pcm:-", pcm_format="s32le", pcm_rate_hz=8000, pcm_n_channels=3, channel=2)).make()
    assert made == [{"pcm_format": "s32le", "rate_hz": 8000, "n_channels": 3, "channel": 2}]


def test_a_pipe_needs_no_sound_library():
    code = (
        "import sys\nfrom streamgmm.audio.choosing import plan_source\n"
        "from streamgmm.settings.source import SourceSection\n"
        "plan_source(SourceSection(uri='pcm:-')).make()\nprint({'soundfile', 'sounddevice'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    "uri", ["", "mic:", "file:", "pcm:", "pcm:0", "Mic", "door.wav", "file", "ffmpeg:", "pcm+tcp:"]
)
def test_unknown_source_names_the_known_ones(uri):
    known = "mic, mic:NAME, mic:INDEX, file:PATH, pcm:-, ffmpeg:URL, pcm+tcp://127.0.0.1:PORT or pcm+unix://PATH"
    with pytest.raises(UsageError) as raised:
        plan_source(SourceSection(uri=uri))
    assert f"use {known}" in raised.value.hint


@pytest.mark.parametrize(
    ("uri", "suggested"),
    [
        ("rtsp://camera/door", "ffmpeg:rtsp://camera/door"),
        ("http://radio:8000/a?token=SECRET", "ffmpeg:http://radio:8000/a?token=…"),
        ("https://user:SECRET@radio/a", "ffmpeg:https://radio/a"),
        ("http:radio", "ffmpeg:URL"),
        ("tcp://127.0.0.1:7000", "pcm+tcp://127.0.0.1:PORT"),
        ("unix:///run/pcm.sock", "pcm+unix://PATH"),
        ("fmpeg:a.mkv", "ffmpeg"),
    ],
)
def test_a_source_that_is_like_a_known_one_is_suggested_without_its_secrets(uri, suggested):
    with pytest.raises(UsageError, match="is not a source") as raised:
        plan_source(SourceSection(uri=uri))
    assert raised.value.hint.startswith(f"did you mean {suggested}?")
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize(
    ("uri", "name", "is_live"),
    [
        ("ffmpeg:rtsp://camera:554/a?pin=1&x", "ffmpeg:rtsp://camera:554/a?pin=…&…", True),
        ("ffmpeg:film.mkv", "ffmpeg:film.mkv", False),
        ("ffmpeg:file:///a/film.mkv", "ffmpeg:/a/film.mkv", False),
    ],
)
def test_ffmpeg(uri, name, is_live):
    planned = plan_source(SourceSection(uri=uri, channel=1))
    source = planned.make()
    assert isinstance(source, FfmpegSource)
    assert (source.name, source.is_live) == (planned.name, planned.is_live) == (name, is_live)
    planned.close()


@pytest.mark.parametrize(
    "uri",
    ["ffmpeg:rtsp://user:SECRET@camera/a", "ffmpeg:http://SECRET@radio/", "ffmpeg:rtsp://user:SE/SECRET@camera/a"],
)
def test_A37_a_password_in_the_url_is_refused_and_not_shown(uri):
    with pytest.raises(UsageError, match=r"source\.secret_file") as raised:
        plan_source(SourceSection(uri=uri))
    assert "SE" not in str(raised.value)


def test_A37_a_secret_file_that_is_open_to_others_is_refused_at_the_start(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("user:SECRET")
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match=r"source\.secret_file: any user of this machine can access it") as raised:
        plan_source(SourceSection(uri="ffmpeg:rtsp://camera/a", secret_file=str(secret)))
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("uri", ["ffmpeg:http://a/\n", "ffmpeg:" + 5000 * "a"])
def test_a_url_that_cannot_be_passed_on(uri):
    with pytest.raises(UsageError, match="not printable"):
        plan_source(SourceSection(uri=uri))


def test_writers_share_a_listening_socket_that_the_plan_closes(tmp_path):
    path = tmp_path / "pcm.sock"
    planned = plan_source(SourceSection(uri=f"pcm+unix://{path}", stall_timeout_s=1.0))
    assert (planned.name, planned.is_live, planned.is_device) == (f"pcm+unix://{path}", True, True)
    first, second = of_type(planned.make(), PcmSocket), of_type(planned.make(), PcmSocket)
    assert first._server is second._server
    assert not path.exists()
    first._server.listen()
    first.close()
    second.close()
    assert path.exists()
    planned.close()
    assert not path.exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1.2.3"])
def test_a_writer_connects_from_this_machine(host):
    assert plan_source(SourceSection(uri=f"pcm+tcp://{host}:7000")).name == f"pcm+tcp://{host}:7000"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.168.1.2", "example.org", ""])
def test_a_writer_cannot_connect_from_elsewhere(host):
    with pytest.raises(UsageError, match="for programs on this machine only"):
        plan_source(SourceSection(uri=f"pcm+tcp://{host}:7000"))


@pytest.mark.parametrize(
    "uri",
    ["pcm+tcp://127.0.0.1", "pcm+tcp://127.0.0.1:x", "pcm+tcp://127.0.0.1:70000", "pcm+unix://", "pcm+unix:///a/"],
)
def test_a_socket_without_a_place(uri):
    with pytest.raises(UsageError, match="is not a source"):
        plan_source(SourceSection(uri=uri))


def test_the_path_of_a_socket_has_a_limit():
    with pytest.raises(UsageError, match="at most 107 bytes"):
        plan_source(SourceSection(uri="pcm+unix:///" + 107 * "a"))


def test_a_name_of_its_own_is_what_records_call_it():
    assert plan_source(SourceSection(uri="mic:USB"), "kitchen").name == "kitchen"
