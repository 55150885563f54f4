from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import sklearn.cluster  # noqa: F401, has libraries with threads of their own
from threadpoolctl import threadpool_info

from streamgmm.errors import SystemResourceError
from streamgmm.training.workers import ThreadExecutor, can_start_processes, map_in_order, untracked
from tests.narrowing import present
from tests.required import mount_namespace
from tests.training.worker_tasks import die, first_then_forever, n_threads, square

# Two processes that print their id and then work forever.
ENDLESS = """
import os, signal, sys
sys.path.insert(0, {root!r})
from streamgmm.training.workers import map_in_order
from tests.training.worker_tasks import work_forever

if __name__ == "__main__":
    try:
        list(map_in_order(work_forever, [1, 2], 2))
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGKILL)
"""

# No condition keeps processes from running this, which would start processes without end.
PLAIN_SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from streamgmm.training.workers import map_in_order
from tests.training.worker_tasks import square

print(list(map_in_order(square, [1, 2, 3], 2)), __file__, __spec__)
"""

# Prints results that processes would share, if they could be started.
TWO_ROUNDS = """
import sys
sys.path.insert(0, {root!r})
from streamgmm.training.workers import map_in_order
from tests.training.worker_tasks import square

print([list(map_in_order(square, [n, 2, 3], 2)) for n in (0, 1)])
"""

NO_SEMAPHORES = {
    "read_only": "mount -t tmpfs -o ro none /dev/shm",
    "no_inodes": "mount -t tmpfs -o nr_inodes=1 none /dev/shm",
    "another_kind": "mount --bind /proc /dev/shm",
    "missing": "mount -t tmpfs none /mnt && touch /mnt/null /mnt/urandom && mount --bind /dev/null /mnt/null"
    " && mount --bind /dev/urandom /mnt/urandom && mount --rbind /mnt /dev",
    "read_only_bind": "mount --bind /etc /dev/shm && mount -o remount,ro,bind /dev/shm",
}
"""Commands that take from a process what semaphores live in."""

linux_only = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes of others by pidfd")


@pytest.mark.parametrize("n_jobs", [0, 1, 3])
def test_results_come_in_the_order_of_the_items(n_jobs):
    assert list(map_in_order(square, range(12), n_jobs)) == [n * n for n in range(12)]


def test_a_script_runs_once_however_many_processes_work_for_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PLAIN_SCRIPT.format(root=str(Path(__file__).parents[2])))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (f"[1, 4, 9] {script} None\n", "")


def test_no_items_are_no_work():
    assert list(map_in_order(square, [], 0)) == []
    assert list(ThreadExecutor().map(square, [])) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_in_a_process_reaches_the_caller(n_jobs):
    with pytest.raises(ValueError, match="thirteen"):
        list(map_in_order(square, [1, 13, 2], n_jobs))


def test_threads_keep_the_order_and_pass_errors_on():
    assert list(ThreadExecutor().map(square, range(12))) == [n * n for n in range(12)]
    with pytest.raises(ValueError, match="thirteen"):
        list(ThreadExecutor().map(square, [1, 13, 2]))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_work_in_processes_has_one_thread_each(n_jobs):
    assert list(map_in_order(n_threads, [0, 1], n_jobs)) == [{1}, {1}]


def test_work_in_threads_has_one_thread_each():
    assert list(ThreadExecutor().map(n_threads, range(4))) == [{1}] * 4


def test_the_caller_has_its_threads_back_afterwards():
    before = threadpool_info()
    list(ThreadExecutor().map(square, range(4)))
    list(map_in_order(square, range(4), 1))
    assert threadpool_info() == before


def test_untracked_passes_the_items_on():
    items = iter([1, 2])
    assert untracked(items, "work", 2) is items


def test_a_killed_process_is_reported_as_a_lack_of_resources():
    with pytest.raises(SystemResourceError, match="a worker process was killed"):
        list(map_in_order(die, [1, 2, 3], 2))


def test_processes_end_when_the_results_are_not_wanted_any_more():
    results = map_in_order(first_then_forever, [0, 1, 2], 2)
    assert next(results) == 0
    assert isinstance(results, Generator)
    results.close()  # would wait forever


@linux_only
@pytest.mark.parametrize("is_interrupted", [True, False], ids=["ctrl_c", "kill"])
def test_B25_no_process_outlives_a_training_that_is_killed_and_none_prints_a_traceback(tmp_path, is_interrupted):
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS.format(root=str(Path(__file__).parents[2])))
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    stdout, stderr = present(process.stdout), present(process.stderr)
    workers = [os.pidfd_open(int(stdout.readline())) for _ in range(2)]
    try:
        if is_interrupted:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        else:
            process.kill()
        process.wait(30)
        for worker in workers:
            assert select.select([worker], [], [], 30)[0], "a process waits for a parent that is gone"
    finally:
        for worker in workers:
            os.close(worker)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert "Traceback" not in stderr.read()
    stdout.close()
    stderr.close()


@linux_only
@pytest.mark.parametrize("mount", NO_SEMAPHORES.values(), ids=NO_SEMAPHORES)
def test_F27_without_semaphores_one_process_does_the_work_and_reports_it_once(mount):
    script = TWO_ROUNDS.format(root=str(Path(__file__).parents[2]))
    command = mount_namespace(mount, sys.executable, "-c", script)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "[[0, 4, 9], [1, 4, 9]]\n"), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("works in one process")


@pytest.fixture
def uncached():
    can_start_processes.cache_clear()
    yield
    can_start_processes.cache_clear()


def test_a_python_without_semaphores_works_in_one_process(monkeypatch, caplog, uncached):
    monkeypatch.setitem(sys.modules, "multiprocessing.synchronize", None)
    assert list(map_in_order(square, range(3), 2)) == [0, 1, 4]
    assert "works in one process" in caplog.text


@linux_only
def test_F27_without_semaphores_a_model_has_the_same_bytes_and_no_library_complains(demo_model, tmp_path):
    data = demo_model.parent / "recordings"
    options = ("--quick", "--no-memory", "--set", "training.world=false", "--name", "a")
    command = [sys.executable, "-m", "streamgmm", "train", str(data), *options, "-o"]
    crippled = mount_namespace(NO_SEMAPHORES["read_only"], *command, str(tmp_path / "a.sgm"))
    done = subprocess.run(crippled, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "works in one process" in done.stderr
    assert "Warning" not in done.stderr
    subprocess.run([*command, str(tmp_path / "b.sgm")], capture_output=True, timeout=120, check=True)
    assert (tmp_path / "a.sgm").read_bytes() == (tmp_path / "b.sgm").read_bytes()
