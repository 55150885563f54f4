import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import DatasetError, Findings, Segment
from streamgmm.dataset.loading import load_clips
from streamgmm.dataset.strong_labels import gaps_between, read_event_list
from streamgmm.errors import DataError
from tests.dataset.dataset_rig import RATE_HZ, write_classes, write_recording

DCASE = (
    "filename\tonset\toffset\tevent_label\n"
    "a.wav\t1.0\t2.0\tspeech\n"
    "a.wav\t4.5\t5.0\tdoor\n"
    "b.wav\t0.0\t1.5\tspeech\n"
    "b.wav\t5.0\t6.0\tdoor\n"
)


@pytest.fixture
def root(tmp_path):
    write_recording(tmp_path / "a.wav", 1, duration_s=6.0)
    write_recording(tmp_path / "b.wav", 2, duration_s=6.0)
    return tmp_path


def spans(dataset, name="a.wav"):
    return [(clip.label, clip.onset_s, clip.offset_s) for clip in dataset.clips if clip.path.name == name]


def write(root, text, name="events.tsv"):
    (root / name).write_text(text)
    return root / name


def test_dcase_events_and_the_background_between_them(root):
    dataset = read_dataset(write(root, DCASE))
    assert (dataset.kind, dataset.labels) == ("strong", ["background", "door", "speech"])
    assert spans(dataset) == [("speech", 1.0, 2.0), ("door", 4.5, 5.0), ("background", 2.2, 4.3)]
    assert spans(dataset, "b.wav") == [("speech", 0.0, 1.5), ("door", 5.0, 6.0), ("background", 1.7, 4.8)]
    assert {(clip.path.name, clip.source_id) for clip in dataset.clips} == {("a.wav", "a.wav"), ("b.wav", "b.wav")}


def test_the_background_between_events_is_reported(root):
    (note,) = read_dataset(write(root, DCASE)).notes
    assert note.startswith("2 gaps outside all labels, 5 s in total, are used as 'background'")


def test_the_background_between_events_can_be_declined(root):
    dataset = read_dataset(write(root, DCASE), use_gaps=False)
    assert dataset.labels == ["door", "speech"]
    assert dataset.notes == []


def test_a_folder_stands_for_the_event_list_in_it(root):
    write(root, DCASE)
    assert len(read_dataset(root).clips) == 6


MANIFEST = "path,label,fold,source_id\na.wav,mixed,1,kitchen\nb.wav,mixed,2,hall\n"


def test_of_an_event_list_beside_a_manifest_come_the_events_and_of_the_manifest_the_folds(root):
    write(root, DCASE)
    write(root, MANIFEST, "manifest.csv")
    dataset = read_dataset(root)
    assert (dataset.kind, dataset.labels, dataset.warnings) == ("strong", ["background", "door", "speech"], [])
    assert spans(dataset) == [("speech", 1.0, 2.0), ("door", 4.5, 5.0), ("background", 2.2, 4.3)]
    origins = {(clip.path.name, clip.fold, clip.source_id) for clip in dataset.clips}
    assert origins == {("a.wav", "1", "kitchen"), ("b.wav", "2", "hall")}


def test_a_recording_of_the_manifest_without_events_keeps_its_label(root):
    write(root, "".join(line for line in DCASE.splitlines(keepends=True) if "b.wav" not in line))
    write(root, MANIFEST.replace("b.wav,mixed", "b.wav,background"), "manifest.csv")
    assert spans(read_dataset(root, min_clips=1), "b.wav") == [("background", None, None)]


def test_events_of_recordings_that_the_manifest_lacks_are_left_out_and_reported(root):
    write(root, DCASE)
    write(root, "path,label\na.wav,mixed\n", "manifest.csv")
    dataset = read_dataset(root, min_clips=1)
    assert {clip.path.name for clip in dataset.clips} == {"a.wav"}
    assert dataset.skipped == [(root / "b.wav", "not_in_manifest")]
    assert dataset.warnings == [f"{root / 'b.wav'} and 0 more are in events.tsv but not in manifest.csv"]


@pytest.mark.parametrize("line", ["a.wav\t2.5\t3.5\t\n", "a.wav\t2.5\tx\tdoor\n", "a.wav\tdoor\n", "hello\n"])
def test_B39_what_an_event_list_leaves_in_doubt_is_no_background_beside_a_manifest_either(root, line):
    write(root, DCASE + line)
    alone = read_dataset(root)
    write(root, MANIFEST, "manifest.csv")
    joined = read_dataset(root)
    assert spans(joined) == spans(alone)
    assert spans(joined, "b.wav") == spans(alone, "b.wav")
    assert ("background", 2.2, 4.3) not in spans(joined)


def test_a_fold_can_be_chosen(root):
    write(root, DCASE)
    write(root, MANIFEST, "manifest.csv")
    assert {clip.path.name for clip in read_dataset(root, folds=["2"], min_clips=1).clips} == {"b.wav"}
    assert len(read_dataset(root, folds=["1", "2"]).clips) == 6


def test_labels_of_other_folds_are_not_missed(root):
    write(root, DCASE.replace("b.wav\t0.0\t1.5\tspeech", "b.wav\t0.0\t1.5\towl"))
    write(root, MANIFEST, "manifest.csv")
    assert read_dataset(root, folds=["1"], min_clips=1).labels == ["background", "door", "speech"]


def test_a_fold_that_is_not_there_is_refused(root):
    write(root, DCASE)
    with pytest.raises(DataError, match="has no folds"):
        read_dataset(root, folds=["1"])
    write(root, MANIFEST, "manifest.csv")
    with pytest.raises(DataError, match=r"has no fold '3' \(there are 1, 2\)"):
        read_dataset(root, folds=["2", "3"])


def test_a_recording_without_events_is_background(root):
    text = "a.wav\t1.0\t2.0\tspeech\na.wav\t4.0\t5.0\tspeech\nb.wav\t\t\t\n"
    dataset = read_dataset(write(root, text))
    assert spans(dataset, "b.wav") == [("background", 0.0, 6.0)]


def test_audacity_tracks_beside_recordings(root):
    write(root, "1.000000\t2.000000\tspeech\n\\\t100.0\t4000.0\n4.5\t5.0\tdoor\n", "a.txt")
    write(root, "0\t1.5\tspeech\r\n5\t6\tdoor\r\n", "b.txt")
    dataset = read_dataset(root)
    assert dataset.kind == "strong"
    assert spans(dataset) == [("speech", 1.0, 2.0), ("door", 4.5, 5.0), ("background", 2.2, 4.3)]


def test_tracks_and_folders_of_classes_go_together(root):
    write(root, "1\t2\tdog\n", "a.txt")
    write_classes(root, "dog", "background")
    dataset = read_dataset(root)
    assert dataset.kind == "folders"
    assert spans(dataset)[0] == ("dog", 1.0, 2.0)
    assert sum(clip.label == "dog" for clip in dataset.clips) == 3
    assert [(path.name, reason) for path, reason in dataset.skipped] == [("b.wav", "outside_class")]


def test_one_track_alone(root):
    track = write(root, "1\t2\tspeech\n4\t5\tspeech\n", "a.txt")
    assert spans(read_dataset(track))[:2] == [("speech", 1.0, 2.0), ("speech", 4.0, 5.0)]


def test_a_track_without_its_recording(root):
    with pytest.raises(DataError, match="0 usable") as caught:
        read_dataset(write(root, "1\t2\tspeech\n", "lost.txt"))
    assert f"left out: {root / 'lost.wav'}: does not exist" in str(caught.value)


def test_a_track_that_names_recordings_is_refused(root):
    write(root, "a.wav\t1\t2\tspeech\n", "a.txt")
    with pytest.raises(DataError, match="onset, offset and label alone"):
        read_dataset(root)


def test_labels_without_duration_are_ignored_and_are_no_background(root):
    text = DCASE + "a.wav\t3.2\t3.2\tspeech\n"
    dataset = read_dataset(write(root, text))
    assert dataset.warnings == [f"{root / 'events.tsv'}: 1 labels shorter than 10 ms are ignored, as in line 6"]
    assert spans(dataset) == [("speech", 1.0, 2.0), ("door", 4.5, 5.0)]


def test_segments_end_with_their_recording(root):
    text = DCASE.replace("5.0\t6.0", "5.0\t99.0") + "b.wav\t7.0\t8.0\tdoor\n"
    dataset = read_dataset(write(root, text))
    assert ("door", 5.0, 6.0) in spans(dataset, "b.wav")
    of_offset, of_onset = dataset.warnings
    assert of_offset.endswith("b.wav: 'door' at 5.0 s ends at 99 s, beyond its end at 6.00 s")
    assert of_onset.endswith("b.wav: 'door' at 7.0 s lies beyond its end")


@pytest.mark.parametrize(("offset", "is_reported"), [("6.4", False), ("6.5", False), ("6.6", True), ("1e24", True)])
def test_an_end_that_is_rounded_is_no_mistake_and_one_far_beyond_the_recording_is(root, offset, is_reported):
    dataset = read_dataset(write(root, DCASE.replace("5.0\t6.0", f"5.0\t{offset}")))
    assert ("door", 5.0, 6.0) in spans(dataset, "b.wav")
    assert [f"ends at {float(offset):g} s" in warning for warning in dataset.warnings] == [True] * is_reported


def test_a_label_of_ten_milliseconds_is_a_label_wherever_it_lies(root):
    dataset = read_dataset(write(root, DCASE + "a.wav\t3.20\t3.21\tspeech\na.wav\t5.7\t5.71\tspeech\n"))
    assert dataset.warnings == []
    assert {("speech", 3.2, 3.21), ("speech", 5.7, 5.71)} <= set(spans(dataset))


def test_every_wrong_line_is_named(root):
    lines = ["a.wav 1 speech", "a.wav\tx\t2\tspeech", "a.wav\t2\t1\tspeech", "a.wav\t1\t2\ta/b", "\t1\t2\tdog"]
    lines += ["a.wav\t-1\t2\tdog", "a.wav\t1\tinf\tdog", "a.wav\tnan\t2\tdog", "a.wav\t0,5,1\t2\tdog"]
    with pytest.raises(DatasetError) as caught:
        read_dataset(write(root, "\n".join(lines)))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [f"line {n}" for n in range(1, 10)]
    assert str(caught.value).endswith("separated by tabs")


def test_lines_with_and_without_recording_do_not_mix(root):
    with pytest.raises(DatasetError, match="some lines name a recording"):
        read_dataset(write(root, "a.wav\t1\t2\tspeech\n1\t2\tspeech\n"))


def test_B20_events_at_the_same_time_are_no_repetition(root):
    text = DCASE + "a.wav\t1.0\t2.0\tdoor\n"
    assert read_dataset(write(root, text), is_strict=True).warnings == []


def gap_mask(segments, duration_s, border_s):
    """Slow oracle: which milliseconds are further than `border_s` from every segment."""
    times_s = (np.arange(round(duration_s * 1000)) + 0.5) / 1000
    is_gap = np.ones(times_s.size, dtype=bool)
    for segment in segments:
        is_gap &= (times_s < segment.onset_s - border_s) | (times_s > segment.offset_s + border_s)
    return is_gap


@given(
    ends_ms=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 6000)), max_size=6),
    duration_ms=st.integers(1, 5000),
    border_ms=st.sampled_from([0, 1, 200]),
)
def test_gaps_are_what_no_segment_touches(ends_ms, duration_ms, border_ms):
    segments = [Segment("x", min(ends) / 1000, max(ends) / 1000) for ends in ends_ms]
    gaps = gaps_between(segments, duration_ms / 1000, border_s=border_ms / 1000)
    times_s = (np.arange(duration_ms) + 0.5) / 1000
    is_gap = np.zeros(duration_ms, dtype=bool)
    for onset_s, offset_s in gaps:
        is_gap |= (times_s > onset_s) & (times_s < offset_s)
    np.testing.assert_array_equal(is_gap, gap_mask(segments, duration_ms / 1000, border_ms / 1000))
    assert gaps == sorted(gaps)


@given(text=st.text(st.characters(codec="utf-8"), max_size=60) | st.text("0123.\t\n\\ab-", max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    path.write_text(text, newline="")
    try:
        listing, refusal = read_event_list(path, Findings()), ""
    except DataError as error:
        listing, refusal = None, str(error)
    if listing:
        assert all(0 <= s.onset_s <= s.offset_s for entry in listing.entries for s in entry.segments)
    assert all(line.isprintable() for line in refusal.split("\n"))


def test_samples_of_a_clip_are_those_of_its_segment(root):
    clip = read_dataset(write(root, DCASE)).clips[0]
    samples, _ = soundfile.read(root / "a.wav", dtype="float32")
    np.testing.assert_array_equal(load_clips([clip], RATE_HZ)[0], samples[RATE_HZ : 2 * RATE_HZ])
