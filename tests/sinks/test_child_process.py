"""What every child process of a sink does."""

from __future__ import annotations

import subprocess
import sys

REPORT_FROM_TWO_THREADS = """
import os, threading
from streamgmm.sinks.child.process import report

is_claimed, is_reported = threading.Event(), threading.Event()
claim = os.dup2

def slow_claim(*fds):
    claim(*fds)
    is_claimed.set()
    is_reported.wait(0.2)  # or the other thread waits for this one

def report_second():
    is_claimed.wait()
    report("second")
    is_reported.set()

os.dup2 = slow_claim
threads = [threading.Thread(target=report, args=["first"]), threading.Thread(target=report_second)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("of a library")
"""


def test_reports_reach_the_daemon_from_whichever_thread_and_nothing_else_does() -> None:
    child = subprocess.run(
        [sys.executable, "-c", REPORT_FROM_TWO_THREADS], capture_output=True, text=True, check=True, timeout=60
    )
    assert sorted(child.stdout.split()) == ["first", "second"]
    assert child.stderr == "of a library\n"
