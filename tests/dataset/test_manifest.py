import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import DatasetError, Findings
from streamgmm.dataset.manifest import read_manifest
from streamgmm.errors import DataError, PermissionDeniedError
from tests.dataset.dataset_rig import write_recording


@pytest.fixture
def root(tmp_path):
    for i in range(4):
        write_recording(tmp_path / "audio" / f"{i}.wav", i)
    return tmp_path


def write_manifest(root, text, encoding="utf-8", name="manifest.csv"):
    path = root / name
    path.write_bytes(text.encode(encoding))
    return path


PLAIN = "path,label\naudio/0.wav,dog\naudio/1.wav,dog\naudio/2.wav,cat\naudio/3.wav,cat\n"


def problems_of(root, text):
    with pytest.raises(DatasetError) as caught:
        read_manifest(write_manifest(root, text), Findings())
    return caught.value.problems


def rows(dataset):
    return [(clip.path.name, clip.label, clip.source_id, clip.fold) for clip in dataset.clips]


def test_two_columns_are_enough(root):
    dataset = read_dataset(write_manifest(root, PLAIN))
    assert (dataset.kind, dataset.labels) == ("manifest", ["cat", "dog"])
    assert rows(dataset) == [
        ("0.wav", "dog", "audio/0.wav", None),
        ("1.wav", "dog", "audio/1.wav", None),
        ("2.wav", "cat", "audio/2.wav", None),
        ("3.wav", "cat", "audio/3.wav", None),
    ]


def test_a_folder_stands_for_the_manifest_in_it(root):
    path = write_manifest(root, PLAIN)
    assert read_dataset(root).clips == read_dataset(path).clips


def test_columns_in_any_order_and_others_ignored(root):
    text = (
        "Source_ID,licence,LABEL , fold,path\n"
        "ann,CC0,dog,1,audio/0.wav\nbob,,dog,2,audio/1.wav\nann,x,cat,1,audio/2.wav\nbob,y,cat,2,audio/3.wav\n"
    )
    assert rows(read_dataset(write_manifest(root, text))) == [
        ("0.wav", "dog", "ann", "1"),
        ("1.wav", "dog", "bob", "2"),
        ("2.wav", "cat", "ann", "1"),
        ("3.wav", "cat", "bob", "2"),
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_mark_and_line_ends(root, encoding, line_end):
    text = PLAIN.replace("\n", line_end) + line_end
    assert len(read_dataset(write_manifest(root, text, encoding)).clips) == 4


def test_absolute_and_outer_paths(root):
    (root / "lists").mkdir()
    text = PLAIN.replace("audio/0.wav", str(root / "audio" / "0.wav")).replace("audio/1", "../audio/1")
    path = root / "lists" / "all.csv"
    path.write_text(text.replace("\naudio/", "\n../audio/"))
    assert [clip.path.resolve().name for clip in read_dataset(path).clips] == ["0.wav", "1.wav", "2.wav", "3.wav"]


def test_every_wrong_line_is_named(root):
    text = 'path,label,fold\naudio/0.wav,dog,1\naudio/1.wav\n,dog,1\naudio/2.wav,a/b,1\n\n"a\x07.wav",cat,\n'
    assert [problem.split(":")[0] for problem in problems_of(root, text)] == [
        "line 3",
        "line 4",
        "line 5",
        "line 7",
        "line 7",
    ]


def test_of_many_problems_twenty_are_named(root):
    problems = problems_of(root, "path,label\n" + "x\n" * 500)
    assert len(problems) == 21
    assert problems[-1] == "and 480 more like these"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: no column path and label"),
        ("file;label\n", "line 1: no column path and label"),
        ("path,tag\n", "line 1: no column label"),
        ("path,label,label\n", "line 1: the column label appears twice"),
        ('path,label\n"unfinished,dog\n', "line 2: not CSV"),
        ("path,label\n" + "x" * 200_000 + ",dog\n", "line 2: not CSV: field larger"),
        ("path,label\na\0.wav,dog\n", "line 2: "),
        ("path,label,fold\na.wav,dog,1\nb.wav,dog,\n", "line 3: fold is empty, but other lines have one"),
    ],
)
def test_what_is_wrong_is_said(root, text, problem):
    assert problems_of(root, text)[0].startswith(problem)


def test_the_message_has_a_line_per_problem(root):
    with pytest.raises(DatasetError) as caught:
        read_manifest(write_manifest(root, "path,label\nx\ny\n"), Findings())
    where = root / "manifest.csv"
    assert str(caught.value) == (f"{where}: line 2: 1 fields, but 2 columns\n{where}: line 3: 1 fields, but 2 columns")


def test_other_encodings_are_refused_with_their_line(root):
    with pytest.raises(DataError, match="line 3: not UTF-8"):
        read_manifest(write_manifest(root, "path,label\na.wav,dog\nb.wav,chatêau\n", "latin-1"), Findings())


def test_B13_recordings_that_are_missing_are_skipped(root):
    text = PLAIN + "audio/9.wav,cat\n"
    dataset = read_dataset(write_manifest(root, text))
    assert [(path.name, reason) for path, reason in dataset.skipped] == [("9.wav", "vanished")]


def test_B13_a_manifest_that_may_not_be_read(root, monkeypatch):
    write_manifest(root, PLAIN)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("streamgmm.files.os.open", refuse)
    with pytest.raises(PermissionDeniedError):
        read_dataset(root)


def test_B20_one_recording_in_two_folds(root):
    (root / "audio" / "4.wav").write_bytes((root / "audio" / "0.wav").read_bytes())
    text = "path,label,fold\n" + "".join(
        f"audio/{i}.wav,{label},{fold}\n"
        for i, label, fold in [(0, "dog", 1), (1, "dog", 2), (2, "cat", 1), (3, "cat", 2)]
    )
    assert read_dataset(write_manifest(root, text)).warnings == []
    warnings = read_dataset(write_manifest(root, text + "audio/4.wav,dog,2\n")).warnings
    assert any("contain the same sound, in folds 1 and 2" in warning for warning in warnings)


def test_B20_one_source_in_two_folds(root):
    text = "path,label,fold,source_id\n" + "".join(
        f"audio/{i}.wav,{label},{i % 2},{source}\n"
        for i, (label, source) in enumerate(zip("ddcc", "abaa", strict=True))
    )
    path = write_manifest(root, text)
    (warning,) = read_dataset(path).warnings
    assert "audio/3.wav are of one source but in folds 0 and 1" in warning
    with pytest.raises(DatasetError, match="of one source"):
        read_dataset(path, is_strict=True)


def test_B21_spellings_of_one_label_are_refused(root):
    with pytest.raises(DataError, match="differ only by"):
        read_manifest(write_manifest(root, "path,label\na.wav,Dog\nb.wav,dog\n"), Findings())


def outcome(path):
    """The listing or, in words, why the data is refused; any other exception fails the test."""
    try:
        return read_manifest(path, Findings()), ""
    except DataError as error:
        return None, str(error)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(table=st.lists(st.lists(TEXTS, min_size=2, max_size=3), max_size=6), has_fold=st.booleans())
def test_B22_any_table_is_read_or_refused(tmp_path_factory, table, has_fold):
    out = io.StringIO()
    csv.writer(out).writerows([["path", "label", "fold"] if has_fold else ["path", "label"], *table])
    path = write_manifest(tmp_path_factory.getbasetemp(), out.getvalue(), name="table.csv")
    listing, refusal = outcome(path)
    if listing:
        assert set(listing.labels) == {segment.label for entry in listing.entries for segment in entry.segments}
        assert all(label.isprintable() for label in listing.labels)
    assert all(line.isprintable() for line in refusal.split("\n"))


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.csv"
    path.write_bytes(b"path,label\n" + content)
    listing, refusal = outcome(path)
    assert bool(listing) != bool(refusal)
