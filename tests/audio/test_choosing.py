import subprocess
import sys

import pytest

from streamgmm.audio import microphone, pcm
from streamgmm.audio.choosing import plan_source
from streamgmm.audio.file import RecordingFile
from streamgmm.config import SourceSection
from streamgmm.errors import UsageError


@pytest.mark.parametrize(
    ("uri", "device"),
    [("mic", None), ("mic:3", 3), ("mic:USB Audio", "USB Audio"), ("mic:hw:1,0", "hw:1,0"), ("mic:²", "²")],
)
def test_microphone(monkeypatch, uri, device):
    made = []
    monkeypatch.setattr(microphone, "Microphone", lambda *args, **options: made.append((args, options)))
    planned = plan_source(SourceSection(uri=uri, channel=1))
    for _ in range(2):
        planned.make()
    assert [(args, options["channel"]) for args, options in made] == 2 * [((device,), 1)]
    # What is known of the device stays when it is opened again.
    assert made[0][1]["known"] is made[1][1]["known"]


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
        "import sys\nfrom streamgmm.audio.choosing import plan_source\nfrom streamgmm.config import SourceSection\n"
        "plan_source(SourceSection(uri='pcm:-')).make()\nprint({'soundfile', 'sounddevice'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("uri", ["", "mic:", "file:", "pcm:", "pcm:0", "Mic", "rtsp://camera", "door.wav", "file"])
def test_unknown_source_names_the_known_ones(uri):
    with pytest.raises(UsageError, match="mic, mic:NAME, mic:INDEX, file:PATH or pcm:-"):
        plan_source(SourceSection(uri=uri))


def test_a_name_of_its_own_is_what_records_call_it():
    assert plan_source(SourceSection(uri="mic:USB"), "kitchen").name == "kitchen"
