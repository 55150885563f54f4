"""Label files as programs and people write them are read, or a line is left out and reported."""

import pytest

from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.event_lines import parse_events
from streamgmm.dataset.listing import DatasetError
from streamgmm.errors import DataError
from tests.dataset.dataset_rig import write_classes, write_recording


@pytest.fixture
def root(tmp_path):
    write_recording(tmp_path / "REC1.wav", 1, duration_s=6.0)
    return tmp_path


GOOD = "1.0\t2.0\tdog\n4.0\t5.0\tcat\n"


def spans(dataset, *, has_gaps=False):
    return [(c.label, c.onset_s, c.offset_s) for c in dataset.clips if has_gaps or not c.is_gap]


@pytest.mark.parametrize(
    "text",
    [
        "1.0\t2.0\tdog\n4.0\t5.0\tcat\n",
        "1,000000\t2,000000\tdog\n4,000000\t5,000000\tcat\n",
        "1.0 2.0 dog\n4.0 5.0 cat\n",
        "1.0    2.0    dog\n   4.0  5.0  cat",
        "1,0 2,0 dog\n4,0 5,0 cat\n",
        "1.0,2.0,dog\n4.0, 5.0, cat\n",
        '1.0,2.0,"dog"\n4.0,5.0,"cat"\n',
        "1,0;2,0;dog\n4,0;5,0;cat\n",
        "onset\toffset\tevent_label\n1.0\t2.0\tdog\n4.0\t5.0\tcat\n",
        "Start (s)\tEnd (s)\tLabel\n1.0\t2.0\tdog\n4.0\t5.0\tcat\n",
        "start,end,label\n1.0,2.0,dog\n4.0,5.0,cat\n",
        "# made by hand\n\n1.0\t2.0\tdog\r\n\\\t100\t4000\r\n\r\n4.0\t5.0\tcat\r\n",
        "1.0\t2.0\tdog\r4.0\t5.0\tcat\r",
        "1.0\t2.0\tdog\t\n4.0\t5.0\tcat\t\n",
        "1e0\t+2.\tdog\n4\t5\tcat",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_B39_what_people_write_is_read(root, text, encoding):
    (root / "REC1.txt").write_bytes(text.encode(encoding))
    dataset = read_dataset(root, min_clips=1)
    assert spans(dataset, has_gaps=True) == [("dog", 1.0, 2.0), ("cat", 4.0, 5.0), ("background", 2.2, 3.8)]
    assert dataset.warnings == []


@pytest.mark.parametrize("onset", ["-0.05", "-0,000001", "-1e-7", "-0.0", "-0.5"])
def test_an_onset_just_before_the_recording_is_its_beginning(root, onset):
    (root / "REC1.txt").write_text(f"{onset}\t0.9\tdog\n" + GOOD)
    assert spans(read_dataset(root, min_clips=1))[0] == ("dog", 0.0, 0.9)


@pytest.mark.parametrize("line", ["2.5\t3.5\t", "2.5\t3.5", "2.5\t3.5\t  ", "2,5\t3,5", "2.5 3.5", "2.5\t3.5\t\t"])
def test_B39_a_label_without_a_name_is_left_out_and_is_no_background(root, line):
    (root / "REC1.txt").write_text(GOOD + line + "\n")
    dataset = read_dataset(root, min_clips=1)
    assert dataset.labels == ["cat", "dog"]
    assert dataset.warnings == [f"{root / 'REC1.txt'}: left out: line 3: the label has no name"]


@pytest.mark.parametrize(
    "line",
    [
        "3.5\t2.5\tdog",
        "x\t2.5\tdog",
        "1:02\t1:03\tdog",
        "-7\t2.5\tdog",
        "dog",
        "2.5\tdog",
        "nan\t3\tdog",
        "2\tinf\tdog",
    ],
)
def test_a_line_without_times_is_left_out_and_nothing_there_is_background(root, line):
    (root / "REC1.txt").write_text(GOOD + line + "\n")
    dataset = read_dataset(root, min_clips=1)
    assert spans(dataset, has_gaps=True) == [("dog", 1.0, 2.0), ("cat", 4.0, 5.0)]
    assert dataset.warnings[0].startswith(f"{root / 'REC1.txt'}: left out: line 3: ")
    assert "nothing there is used as background" in dataset.warnings[1]


@pytest.mark.parametrize("text", ["what was said in it\n", "a b c\nd e f\n", "2\t1\tdog\n", "1.0\t2.0\t\n\t\t\n"])
def test_a_set_without_a_usable_line_is_refused_with_the_reason(root, text):
    (root / "REC1.txt").write_text(text)
    with pytest.raises(DataError, match=r"REC1.txt: line 1: "):
        read_dataset(root)


@pytest.mark.parametrize("content", [b"what was said\n", b"Fu\xdfg\xe4nger\n", b"1\t2\t\n"])
def test_a_text_that_is_no_label_track_costs_its_recording_alone(root, content):
    write_recording(root / "REC2.wav", 2, duration_s=6.0)
    (root / "REC1.txt").write_text(GOOD)
    (root / "REC2.txt").write_bytes(content)
    dataset = read_dataset(root, min_clips=1)
    assert [(path.name, reason) for path, reason in dataset.skipped] == [("REC2.wav", "bad_labels")]
    assert str(root / "REC2.txt") in dataset.warnings[0]


def test_a_text_beside_classes_does_not_stop_them(root):
    (root / "REC1.txt").write_text("what was said\n")
    assert read_dataset(write_classes(root, "dog", "cat")).labels == ["cat", "dog"]


@pytest.mark.parametrize("label", ["a/b", "x" * 65, "\x1b[31m"])
def test_a_name_that_cannot_be_a_label_is_refused_as_it_may_be_a_whole_class(root, label):
    (root / "REC1.txt").write_text(GOOD + f"2.5\t3.0\t{label}\n")
    with pytest.raises(DatasetError, match="line 3"):
        read_dataset(root)


@pytest.mark.parametrize(
    ("recording", "track"),
    [("REC2.WAV", "REC2.TXT"), ("REC2.wav", "REC2.Txt"), ("rec2.wav", "REC2.TXT"), ("T\u00fcr.wav", "Tu\u0308r.txt")],
)
def test_the_case_and_the_unicode_form_of_names_do_not_matter(tmp_path, recording, track):
    write_recording(tmp_path / recording, 1, duration_s=6.0)
    (tmp_path / track).write_text(GOOD)
    assert len(spans(read_dataset(tmp_path, min_clips=1))) == 2
    assert len(spans(read_dataset(tmp_path / track, min_clips=1))) == 2


@pytest.mark.parametrize(
    "text",
    [
        "REC1.wav\t1,0\t2,0\tdog\nREC1.wav\t4,0\t5,0\tcat\n",
        "filename,onset,offset,event_label\nREC1.wav,1.0,2.0,dog\nREC1.wav,4.0,5.0,cat\n",
        "REC1.wav 1.0 2.0 dog\nREC1.wav 4.0 5.0 cat\n",
        "rec1.wav\t1\t2\tdog\nrec1.wav\t4\t5\tcat\n",
        ".\\REC1.wav\t1\t2\tdog\n.\\REC1.wav\t4\t5\tcat\n",
    ],
)
def test_event_lists_are_read_as_generously(root, text):
    (root / "events.tsv").write_text(text)
    assert spans(read_dataset(root, min_clips=1)) == [("dog", 1.0, 2.0), ("cat", 4.0, 5.0)]


def test_a_recording_without_event_may_stand_alone_in_its_line(root):
    write_recording(root / "REC2.wav", 2, duration_s=6.0)
    (root / "events.tsv").write_text("REC1.wav\t1\t2\tdog\nREC1.wav\t4\t5\tcat\nREC2.wav\n")
    assert ("background", 0.0, 6.0) in spans(read_dataset(root, min_clips=1), has_gaps=True)


def test_a_line_that_names_no_recording_puts_all_gaps_in_doubt():
    events = parse_events("a.wav\t1\t2\tdog\nhello\n").events
    assert [event.is_readable for event in events] == [True, False]
