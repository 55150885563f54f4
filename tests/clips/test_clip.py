"""Audio of a clip: shared pieces become one file of the same samples."""

from __future__ import annotations

import io

import msgspec
import numpy as np
import soundfile

from streamgmm.clips.clip import Clip, Draft, Piece, RecentAudio
from streamgmm.clips.info import ClipInfo
from tests.clips.clip_rig import MODEL, RATE_HZ, make_clip
from tests.narrowing import present
from tests.sinks.sink_rig import end


def ramp(begin: int, stop: int) -> Piece:
    """Samples that count the positions of the stream, in steps of 16 bits."""
    return Piece(begin, (np.arange(begin, stop) / 32768).astype(np.float32))


def read(clip: Clip) -> np.ndarray:
    pcm, rate_hz = soundfile.read(io.BytesIO(clip.encode()), dtype="int16")
    assert rate_hz == RATE_HZ
    return np.asarray(pcm)


def finish(draft: Draft, end_sample: int) -> Clip | None:
    return draft.finish("event", end(0), end_sample, RATE_HZ, MODEL)


def test_pieces_are_joined_to_the_sample() -> None:
    recent = RecentAudio()
    recent.capacity_samples = 100
    for begin in range(0, 300, 30):
        recent.append(ramp(begin, begin + 30))
    draft = Draft(220, 1000, recent.since(220))
    draft.add(ramp(300, 330))
    draft.add(ramp(330, 360))
    np.testing.assert_array_equal(read(present(finish(draft, 341))), np.arange(220, 341))


def test_recent_audio_is_bounded_and_whole_pieces_are_dropped() -> None:
    recent = RecentAudio()
    recent.capacity_samples = 100
    for begin in range(0, 3000, 30):
        recent.append(ramp(begin, begin + 30))
    assert [piece.start_sample for piece in recent.since(0)] == [2880, 2910, 2940, 2970]
    recent.clear()
    assert recent.since(0) == []


def test_lost_audio_within_a_clip_is_silence_of_its_length() -> None:
    draft = Draft(0, 1000, [ramp(0, 10)])
    draft.add(ramp(15, 20))
    expected = np.r_[np.arange(10), np.zeros(5), np.arange(15, 20)]
    np.testing.assert_array_equal(read(present(finish(draft, 20))), expected)


def test_a_clip_begins_with_the_audio_that_is_there_and_ends_with_it() -> None:
    draft = Draft(5, 1000, [ramp(12, 30)])
    clip = present(finish(draft, 900))
    assert (clip.begin_sample, clip.end_sample) == (12, 30)


def test_a_long_clip_is_cut_and_needs_no_more_memory() -> None:
    draft = Draft(0, 50, [ramp(0, 30)])
    for begin in range(30, 3000, 30):
        draft.add(ramp(begin, begin + 30))
    clip = present(finish(draft, 3000))
    assert (clip.begin_sample, clip.end_sample) == (0, 50)
    assert len(clip.pieces) == 2


def test_without_audio_there_is_no_clip() -> None:
    assert finish(Draft(100, 50, []), 200) is None
    assert finish(Draft(100, 50, [ramp(0, 100)]), 90) is None


def test_samples_that_are_no_numbers_or_too_loud_give_a_file_all_the_same() -> None:
    samples = np.array([0.5, np.nan, np.inf, -np.inf, 3.0, -3.0], np.float32)
    pcm = read(Clip("event", end(0), (Piece(0, samples),), 0, 6, RATE_HZ, MODEL))
    np.testing.assert_array_equal(pcm, [16384, 0, 32767, -32768, 32767, -32768])


def test_the_record_beside_it_says_where_the_sound_is() -> None:
    clip = make_clip(2, duration_s=0.5)._replace(begin_sample=round(2.75 * RATE_HZ), end_sample=round(3.25 * RATE_HZ))
    info = msgspec.json.decode(clip.describe(), type=ClipInfo)
    assert (info.onset_s, info.offset_s, info.duration_s) == (0.25, 1.25, 0.5)
    assert (info.label, info.kind, info.model.name) == ("dog", "event", "home")
    assert info.record == clip.record
