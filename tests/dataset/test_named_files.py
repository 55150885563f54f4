"""Manifests from other systems: their separators, their spellings of paths, and files elsewhere."""

import unicodedata

import pytest

from streamgmm.dataset.dataset import read_dataset
from tests.dataset.dataset_rig import write_recording

ROWS = [("audio/Tür 0.wav", "dog"), ("audio/Tür 1.wav", "dog"), ("audio/Tür 2.wav", "cat"), ("audio/Tür 3.wav", "cat")]


@pytest.fixture
def root(tmp_path):
    for i, (name, _) in enumerate(ROWS):
        write_recording(tmp_path / unicodedata.normalize("NFC", name), i)
    return tmp_path


def write(root, text, encoding="utf-8", name="manifest.csv"):
    (root / name).write_bytes(text.encode(encoding))
    return root / name


def table(separator=",", respell=lambda path: path, header="path{}label"):
    lines = [header.replace("{}", separator), *(separator.join((respell(path), label)) for path, label in ROWS)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
def test_B41_separators_and_encodings_of_spreadsheets(root, separator, encoding):
    text = table(separator)
    if encoding == "utf-16-le-bom":
        encoding, text = "utf-16-le", "\ufeff" + text
    dataset = read_dataset(write(root, text, encoding))
    assert (len(dataset.clips), dataset.labels, dataset.notes) == (4, ["cat", "dog"], [])


@pytest.mark.parametrize(
    "header", ["path{}label", " Path {}LABEL ", '"path"{}"label"', "\n\npath{}label", "sep={}\npath{}label"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_headers_of_spreadsheets(root, header, separator):
    assert len(read_dataset(write(root, table(separator, header=header))).clips) == 4


def test_empty_fields_at_the_end_of_lines_are_no_columns(root):
    assert len(read_dataset(write(root, table().replace("dog\n", "dog,,\n"))).clips) == 4


@pytest.mark.parametrize(
    "respell",
    [
        lambda path: path.replace("/", "\\"),
        lambda path: ".\\" + path.replace("/", "\\"),
        lambda path: path.upper(),
        lambda path: path.replace("wav", "WAV"),
        lambda path: unicodedata.normalize("NFD", path),
        lambda path: unicodedata.normalize("NFD", path).replace("/", "\\").upper(),
        lambda path: "audio\\..\\" + path.replace("/", "\\"),
    ],
    ids=["backslash", "dot", "upper", "suffix", "nfd", "all", "dots"],
)
def test_B41_paths_of_other_systems_are_found_and_noted(root, respell):
    dataset = read_dataset(write(root, table(respell=respell)))
    assert [clip.path.name for clip in dataset.clips] == [f"Tür {i}.wav" for i in range(4)]
    assert "line 2" in dataset.notes[0]
    assert "and 3 more lines" in dataset.notes[0]
    assert dataset.skipped == []


def test_a_file_is_taken_as_it_is_spelt_if_it_is_there(root):
    write_recording(root / "audio" / "TÜR 0.WAV", 50)
    dataset = read_dataset(write(root, table()))
    assert [clip.path.name for clip in dataset.clips] == [f"Tür {i}.wav" for i in range(4)]
    assert dataset.notes == []


def test_of_two_spellings_none_is_taken(root):
    write_recording(root / "audio" / "TÜR 0.WAV", 50)
    dataset = read_dataset(write(root, table(respell=lambda path: path.replace("Tür", "tür"))), min_clips=1)
    assert [path.name for path, _ in dataset.skipped] == ["tür 0.wav"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("C:\\audio\\Tür 0.wav", "a Windows path"),
        ("\\\\nas\\share\\Tür 0.wav", "a Windows path"),
        ("D:/audio/Tür 0.wav", "a Windows path"),
        ("audio/9.wav", "no such file"),
        ("/no/such/9.wav", "no such file"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_its_line(root, path, message):
    dataset = read_dataset(write(root, table() + f"{path},dog\n"))
    (warning,) = dataset.warnings
    assert warning.startswith(f"{root / 'manifest.csv'}: line 6: ")
    assert message in warning
    assert [reason for _, reason in dataset.skipped] == ["vanished"]


@pytest.mark.parametrize("outer", ["{tmp}/elsewhere/0.wav", "../elsewhere/0.wav", "link/0.wav"])
def test_B42_a_manifest_may_name_files_outside_its_folder_which_is_noted(tmp_path, outer):
    home = tmp_path / "home"
    write_recording(tmp_path / "elsewhere" / "0.wav", 50)
    for i in range(3):
        write_recording(home / f"{i}.wav", i)
    (home / "link").symlink_to(tmp_path / "elsewhere")
    path = outer.format(tmp=tmp_path)
    manifest = write(home, f"path,label\n{path},dog\n0.wav,dog\n1.wav,cat\n./2.wav,cat\n")
    dataset = read_dataset(manifest)
    assert len(dataset.clips) == 4
    assert dataset.notes == [f"{manifest}: recordings outside its folder are used: line 2: '{path}'"]


def test_B12_a_link_that_a_manifest_names_is_not_followed(tmp_path):
    for i in range(4):
        write_recording(tmp_path / f"{i}.wav", i)
    (tmp_path / "link.wav").symlink_to(tmp_path / "0.wav")
    rows = "path,label\n0.wav,dog\n1.wav,dog\n2.wav,cat\n3.wav,cat\nlink.wav,cat\n"
    assert [reason for _, reason in read_dataset(write(tmp_path, rows)).skipped] == ["symlink"]


@pytest.mark.parametrize("name", ["Manifest.csv", "MANIFEST.CSV"])
def test_the_manifest_of_a_folder_is_found_in_upper_case(root, name):
    write(root, table(), name=name)
    assert read_dataset(root).kind == "manifest"
