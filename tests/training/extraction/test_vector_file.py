"""Vectors of clips in a temporary file: the same values, no name, and no memory while they are not read."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from streamgmm.errors import SystemResourceError
from streamgmm.training.extraction import vector_file as module
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, ContextCopy, one_at_a_time
from streamgmm.training.extraction.vector_file import VectorFile, in_file
from tests.narrowing import present
from tests.training.training_rig import make_clip

N_FEATURES, N_CEPSTRA = 12, 5


def clip_of(number: int, n_windows: int = 20, n_contexts: int = 2) -> ClipVectors:
    rng = np.random.default_rng(number)
    vectors, copies = (rng.standard_normal((n, N_FEATURES), np.float32) for n in (n_windows, 3 * n_windows))
    frames = rng.standard_normal((7, N_CEPSTRA), np.float32)
    cepstra = ClipCepstra(frames, frames[:0], np.tile([0, 7], (n_windows, 1)))
    of_context = ClipCepstra(frames[:2], frames[2:], np.zeros((4, 2), np.intp))
    context = ContextCopy(copies[:4].copy(), np.ones(4), np.zeros(4), 6.0, of_context)
    return ClipVectors(make_clip("cat", number), vectors, copies, None, cepstra, (context,) * n_contexts)


def arrays_of(clip: ClipVectors) -> list[np.ndarray]:
    contexts = [(one.vectors, *present(one.cepstra)[:2]) for one in clip.contexts]
    return [clip.vectors, clip.copies, *present(clip.cepstra)[:2], *(array for own in contexts for array in own)]


def test_the_arrays_are_those_that_were_added():
    clips = [clip_of(0, 20, 2), clip_of(1, 0, 1), clip_of(2, 3, 0)]
    found = in_file(clips)
    assert [clip.clip for clip in found] == [clip.clip for clip in clips]
    for one, other in zip(clips, found, strict=True):
        for before, after in zip(arrays_of(one), arrays_of(other), strict=True):
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype
    assert found[0].vectors.ctypes.data % module.ALIGNMENT_BYTES == 0


def test_the_arrays_can_be_read_again_after_they_have_left_the_memory():
    clips = in_file([clip_of(number) for number in range(5)])
    for _ in range(2):
        for number, clip in enumerate(one_at_a_time(clips)):
            np.testing.assert_array_equal(clip.copies, clip_of(number).copies)


def test_clips_without_any_vector_need_no_file(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    empty = ClipVectors(make_clip("cat", 0), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))
    assert in_file([empty])[0].vectors.shape == (0, 3)
    assert in_file([]) == []


def test_the_file_has_no_name(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with VectorFile() as vectors:
        vectors.add(clip_of(0))
        assert list(tmp_path.iterdir()) == []
        held = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        assert any(str(tmp_path) in target for target in held)


def test_a_full_disk_is_an_error_that_names_the_folder_and_the_remedy(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "r+b", buffering=0))  # noqa: SIM115, PTH123
    with pytest.raises(SystemResourceError, match="No space left on device") as caught:
        in_file([clip_of(0)])
    assert caught.value.where == str(tmp_path)
    assert "TMPDIR" in caught.value.hint


def test_a_folder_that_does_not_exist_is_reported_too(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(module, "_folder", lambda: tmp_path / "missing")
    with pytest.raises(SystemResourceError, match="No such file"):
        in_file([clip_of(0)])


CHILD = """
    import numpy as np
    from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors
    from streamgmm.training.extraction.vector_file import in_file
    from streamgmm.training.fitting.fitting import unconverged_allowed
    from streamgmm.training.selection.validation import validate
    from tests.training.training_rig import config_with, make_clip

    def peak_mib():
        # Not ru_maxrss, which begins with the memory of the parent.
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

    def clips():
        for label in ("bird", "cat"):
            for number in range(25):
                rng = np.random.default_rng([number, len(label)])
                rows = rng.standard_normal((1000, 600), np.float32)
                rows[:, len(label)] += 4.0
                frames = rng.standard_normal((1000, 40), np.float32)
                spans = np.tile([0, 100], (100, 1))
                cepstra = ClipCepstra(frames[:100], frames[100:], spans)
                yield ClipVectors(make_clip(label, number), rows[:100], rows[100:], None, cepstra)

    with unconverged_allowed():
        before = peak_mib()
        held = in_file(clips()) if {in_file} else list(clips())
        n_bytes = sum(clip.vectors.nbytes + clip.copies.nbytes + clip.cepstra.copies.nbytes for clip in held)
        found = validate(held, ["bird", "cat"], config_with(search=False).training)
    print(found.accuracy, (peak_mib() - before) / (n_bytes / 2**20))
"""


def growth(*, is_in_file: bool) -> float:
    """Growth of the peak memory in a validation, relative to the size of the vectors."""
    code = textwrap.dedent(CHILD).replace("{in_file}", str(is_in_file))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    accuracy, ratio = run.stdout.split()
    assert float(accuracy) == 1.0
    return float(ratio)


@pytest.mark.slow
def test_a_validation_takes_a_part_of_the_memory_of_its_vectors():
    # In memory, the clips alone take their own size; both take the same for all else.
    in_memory = growth(is_in_file=False)
    assert in_memory > 1.0
    assert growth(is_in_file=True) < 0.65 * in_memory
