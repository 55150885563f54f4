import subprocess
import sys

import pytest

from streamgmm.audio import microphone, pcm
from streamgmm.audio.choosing import make_source
from streamgmm.audio.file import RecordingFile
from streamgmm.audio.known_device import KnownDevice
from streamgmm.config import SourceSection
from streamgmm.errors import UsageError


@pytest.mark.parametrize(
    ("uri", "device"),
    [("mic", None), ("mic:3", 3), ("mic:USB Audio", "USB Audio"), ("mic:hw:1,0", "hw:1,0"), ("mic:²", "²")],
)
def test_microphone(monkeypatch, uri, device):
    made = []
    monkeypatch.setattr(microphone, "Microphone", lambda *args, **options: made.append((args, options)))
    known = KnownDevice()
    make_source(SourceSection(uri=uri, channel=1), known)
    assert made == [((device,), {"channel": 1, "known": known})]


@pytest.mark.parametrize(("uri", "name"), [("file:/a/door.wav", "file:/a/door.wav"), ("file:a:b.wav", "file:a:b.wav")])
@pytest.mark.parametrize("pace", [0.0, 2.0])
def test_file(uri, name, pace):
    source = make_source(SourceSection(uri=uri, pace=pace))
    assert isinstance(source, RecordingFile)
    assert (source.name, source.is_live) == (name, pace > 0)


def test_pcm_follows_its_settings(monkeypatch):
    made = []
    monkeypatch.setattr(pcm, "PcmPipe", lambda **options: made.append(options))
    make_source(SourceSection(uri="pcm:-", pcm_format="s32le", pcm_rate_hz=8000, pcm_n_channels=3, channel=2))
    assert made == [{"pcm_format": "s32le", "rate_hz": 8000, "n_channels": 3, "channel": 2}]


def test_a_pipe_needs_no_sound_library():
    code = (
        "import sys; from streamgmm.audio.choosing import make_source; from streamgmm.config import SourceSection;"
        "make_source(SourceSection(uri='pcm:-')); print({'soundfile', 'sounddevice', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("uri", ["", "mic:", "file:", "pcm:", "pcm:0", "Mic", "rtsp://camera", "door.wav", "file"])
def test_unknown_source_names_the_known_ones(uri):
    with pytest.raises(UsageError, match="mic, mic:NAME, mic:INDEX, file:PATH or pcm:-"):
        make_source(SourceSection(uri=uri))
