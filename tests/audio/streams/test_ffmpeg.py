"""Streams and recordings through the real FFmpeg, from servers that come, go and misbehave."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamgmm.audio import child as child_module
from streamgmm.audio.file import RecordingFile
from streamgmm.audio.streams.ffmpeg import FfmpegError, FfmpegSource
from streamgmm.audio.streams.pace import BURST_S
from streamgmm.audio.streams.url import parse_place
from streamgmm.errors import DataError, InputMissingError
from tests.audio.making import sweep
from tests.audio.stream_servers import NOISE, camera, serving
from tests.ports import free_port
from tests.required import ffmpeg

PASSWORD = "p%ss w'r:d@/é"


@pytest.fixture(autouse=True)
def _needs_ffmpeg():
    ffmpeg()


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "a 'quoted' name: é.wav"
    soundfile.write(path, sweep(2.0), 16000, subtype="PCM_16")
    return path


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"user:{PASSWORD}\n")
    path.chmod(0o600)
    return str(path)


def source(place, **options):
    return FfmpegSource(parse_place(str(place)), **{"timeout_s": 5.0, **options})


@contextmanager
def opened(place, rate_hz=16000, **options):
    with closing(source(place, **options)) as made:
        made.open(rate_hz)
        yield made


def read_all(made):
    """All samples up to the end, or to the loss, which is returned too."""
    blocks = []
    try:
        while (block := made.read()) is not None:
            blocks.append(block.samples)
    except FfmpegError as error:
        return np.concatenate([np.zeros(0, np.float32), *blocks]), error
    return np.concatenate([np.zeros(0, np.float32), *blocks]), None


def command_line_of(pid):
    """What any user can read of a process; empty only for a moment, while it starts."""
    deadline_s = time.monotonic() + 5.0
    while not (line := Path(f"/proc/{pid}/cmdline").read_bytes()) and time.monotonic() < deadline_s:
        time.sleep(0.001)
    return line


def failure(place, **options):
    with opened(place, **options) as made:
        return read_all(made)[1]


def of_file(path, rate_hz=16000, channel="mean"):
    with closing(RecordingFile(path, channel=channel)) as made:
        made.open(rate_hz)
        return np.concatenate([block.samples for block in iter(made.read, None)])


def test_a_recording_gives_the_same_samples_as_file(recording):
    with opened(recording) as made:
        assert not made.is_live
        samples, error = read_all(made)
    assert error is None
    assert samples.tobytes() == of_file(recording).tobytes()


@pytest.mark.parametrize("channel", ["mean", 0, 1])
@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_rates_and_channels_are_converted_as_those_of_file(tmp_path, rate_hz, channel):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, sweep(1.0, rate_hz=44100, n_channels=2), 44100, subtype="PCM_24")
    with opened(path, rate_hz, channel=channel) as made:
        assert read_all(made)[0].tobytes() == of_file(path, rate_hz, channel).tobytes()
        assert made.vitals().description == f"ffmpeg:{path} (44100 Hz, 2 channels, f32le)"


@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n_samples=st.integers(1, 5000))
def test_no_sample_is_lost_at_the_end(tmp_path, n_samples):
    path = tmp_path / "short.wav"
    soundfile.write(path, sweep(1.0)[:n_samples], 16000, subtype="PCM_16")
    with opened(path) as made:
        assert read_all(made)[0].size == n_samples


def test_a_stream_gives_the_same_samples_and_its_end_is_a_loss(recording):
    with serving(recording.read_bytes()) as server, opened(f"{server.url}/whole") as made:
        samples, error = read_all(made)
    assert samples.tobytes() == of_file(recording).tobytes()
    assert (error.reason, error.may_heal, error.is_stall, error.is_hopeless) == ("ended", True, False, False)
    assert made.is_live


def test_a_file_that_is_missing_or_no_sound(tmp_path):
    with pytest.raises(InputMissingError, match="no such file"), opened(tmp_path / "missing.wav"):
        pass
    (tmp_path / "text.wav").write_text("no sound")
    with opened(tmp_path / "text.wav") as made, pytest.raises(DataError, match="ffmpeg reports: Invalid data found"):
        made.read()


def test_a_recording_without_such_a_channel(recording):
    error = failure(recording, channel=1)
    assert "there is no channel 1 among 1" in str(error)
    assert error.is_hopeless


def test_A33_a_server_that_refuses_is_waited_for_and_says_why(secret_file):
    with serving() as server:
        for place, reason in [
            (f"{server.url}/none", "Server returned 404 Not Found"),
            (f"{server.url}/secret", "Server returned 401 Unauthorized"),
            (f"http://127.0.0.1:{free_port()}/a", "Connection refused"),
            (f"rtsp://127.0.0.1:{free_port()}/a", "Connection refused"),
        ]:
            error = failure(place, secret_file=secret_file)
            assert reason in str(error)
            assert (error.reason, error.may_heal, error.is_stall, error.is_hopeless) == ("failed", True, False, False)


def test_A33_a_protocol_that_does_not_exist_is_not_waited_for():
    error = failure("htp://127.0.0.1/a")
    assert "Protocol not found" in str(error)
    assert error.is_hopeless


@pytest.mark.parametrize("path", ["hang", "stop"])
def test_A34_a_server_that_hangs_is_a_stall(path):
    with serving() as server, opened(f"{server.url}/{path}", timeout_s=1.5) as made:
        start_s = time.monotonic()
        samples, error = read_all(made)
        assert 1.4 < time.monotonic() - start_s < 5.0
    assert (error.reason, error.may_heal, error.is_stall) == ("stalled", True, True)
    assert str(error) == f"ffmpeg:{server.url}/{path}: no sound for 1.5 s"
    # The last of it may still wait within FFmpeg.
    assert samples.size >= (5 * 16000 if path == "stop" else 0)


def test_A43_sound_that_comes_too_slowly_is_a_stall(monkeypatch):
    now = [100.0]
    made = source("http://127.0.0.1/a", timeout_s=2.0)
    monkeypatch.setattr("streamgmm.audio.streams.ffmpeg.time.monotonic", lambda: now[0])

    def take_half_of_it():
        for _ in range(100):
            made._keep_pace(0.25)
            now[0] += 0.5

    with pytest.raises(FfmpegError, match="s of sound have not come") as raised:
        take_half_of_it()
    assert raised.value.is_stall
    assert made.vitals().heard_until_s < now[0] - 2.0


def test_A35_a_server_that_comes_back_is_heard_again(recording):
    port = free_port()
    place = f"http://127.0.0.1:{port}/live"
    assert failure(place).reason == "failed"
    for _ in range(2):
        with serving(port=port) as server, opened(place) as made:
            assert made.read().samples.size
            server.is_over.set()
            assert read_all(made)[1].may_heal
        assert failure(place).reason == "failed"


def test_A25_ffmpeg_is_killed():
    with serving() as server, opened(f"{server.url}/live") as made:
        assert made.read().samples.size
        os.kill(made._child.pid, signal.SIGKILL)
        assert "killed by SIGKILL" in str(read_all(made)[1])


def test_A36_ffmpeg_is_not_installed(recording):
    with pytest.raises(FfmpegError, match=r"ffmpeg is not installed \(apt install ffmpeg") as raised:
        source(recording, program="no-such-ffmpeg").open(16000)
    assert raised.value.is_hopeless
    assert raised.value.exit_code == 69


def test_A36_ffmpeg_is_too_old_for_rtsp():
    error = source("rtsp://camera/a")._explain("unknown keyword 'option'")
    assert error.is_hopeless
    assert "5.0 or later" in str(error)


def test_A37_the_password_logs_in_and_no_process_list_or_message_shows_it(recording, secret_file, caplog):
    caplog.set_level(logging.DEBUG)
    with serving(recording.read_bytes(), password=f"user:{PASSWORD}") as server:
        place = f"{server.url}/secret?token=SECRET"
        with opened(place, secret_file=secret_file) as made:
            command_line = command_line_of(made._child.pid)
            samples, error = read_all(made)
        assert samples.tobytes() == of_file(recording).tobytes()
        assert b"pipe:0" in command_line
        server.password = "changed"
        refused = failure(place, secret_file=secret_file)
    assert "401" in str(refused)
    for shown in [command_line.decode(), made.name, *map(str, made.vitals()), str(error), str(refused), caplog.text]:
        assert "SECRET" not in shown
        assert "user:" not in shown
        assert "p%ss" not in shown
        assert "p%25ss" not in shown
    assert made.name == f"ffmpeg:{server.url}/secret?token=…"


def test_A37_a_camera_with_a_password_is_heard_over_its_own_connection(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("user:pass/w@rd")
    secret.chmod(0o600)
    with camera() as server:
        place = f"rtsp://127.0.0.1:{server.server_address[1]}/door"
        assert "401" in str(failure(place))
        with opened(place, secret_file=str(secret)) as made:
            samples, _ = read_all(made)
        transports = [line for request in server.requests for line in request if line.startswith("Transport")]
    assert samples.tobytes() == (np.frombuffer(NOISE, "<i2") / np.float32(32768)).tobytes()
    assert transports
    assert all("TCP" in line for line in transports)


def test_A37_a_secret_file_that_opens_to_others_while_it_runs_may_heal(secret_file):
    Path(secret_file).chmod(0o604)
    with pytest.raises(FfmpegError, match="chmod 640") as raised:
        source("http://127.0.0.1/a", secret_file=secret_file).open(16000)
    assert raised.value.may_heal
    assert "p%ss" not in str(raised.value)


def test_A37_secrets_in_words_of_ffmpeg_are_hidden(secret_file):
    made = source("rtsp://camera:554/a?pin=1234", secret_file=secret_file)
    _, redact = made._prepare()
    line = f"pipe:0: rtsp://user:p%25ss@other/b?pin=99 and {PASSWORD} of user:{PASSWORD}"
    assert redact(line) == "rtsp://other/b?pin=… and … of …"
    assert redact("[x] Impossible to open 'rtsp://camera:554/a?pin=1234'") == (
        "[x] Impossible to open 'rtsp://camera:554/a?pin=…'"
    )


def test_A37_a_line_that_is_cut_is_not_shown(monkeypatch):
    monkeypatch.setattr(child_module, "STDERR_TAIL_BYTES", 100)
    script = "import os; os.write(2, b'http://user:secret@' + b'h' * 95)"
    with closing(child_module.Child(["python3", "-S", "-c", script])) as child:
        with pytest.raises(EOFError):
            child.read_some(1, 5)
        assert child.describe_end() == "exit status 0"


def test_A42_a_server_that_floods_is_held_back():
    with serving() as server, opened(f"{server.url}/flood") as made:
        start_s = time.monotonic()
        start_cpu_s = time.process_time()
        n_samples = 0
        while time.monotonic() - start_s < 1.5:
            n_samples += made.read().samples.size
        assert n_samples / 16000 < BURST_S + 2 * 1.5
        # What waits is in pipes and sockets, and no more is sent.
        n_sent = server.n_sent_bytes
        made.read()
        assert server.n_sent_bytes - n_sent < 2**20
        assert time.process_time() - start_cpu_s < 3.0


@pytest.mark.timeout(20)
@pytest.mark.parametrize("path", ["hang", "live"])
def test_close_wakes_a_read_that_waits(path):
    with serving() as server, opened(f"{server.url}/{path}", timeout_s=10) as made:
        got = []
        reader = threading.Thread(target=lambda: got.append(list(iter(made.read, None))[:0]))
        reader.start()
        time.sleep(0.3)
        start_s = time.monotonic()
        made.close()
        reader.join(5)
        assert time.monotonic() - start_s < 1.0
        assert got == [[]]
        assert made.read() is None


def test_close_before_open_and_twice(recording):
    made = source(recording)
    made.close()
    made.open(16000)
    assert made.read() is None
    made.close()
