from __future__ import annotations

import pytest

from streamgmm.records import Status
from streamgmm.service.status import RealTimeFactor, status_line
from tests.test_records import HEALTH


def test_F4_the_line_tells_all_and_leaves_out_what_is_not_known() -> None:
    assert status_line(Status(t=1.0, state="ok", detail="audio flows", health=HEALTH)) == (
        'state=ok detail="audio flows" level_dbfs=-30 uptime_s=5 captured_samples=9 analysed_samples=5 '
        "in_flight_samples=3 n_clipped_samples=0 n_reopened=1 n_failures=0 n_clients=2 rtf=0.01 model=m "
        "lost_overload=1 lost_suspend=7"
    )


def test_the_real_time_factor_follows_the_load() -> None:
    rtf = RealTimeFactor()
    assert rtf.value is None
    for _ in range(500):
        rtf.update(0.03, 0.12)
    assert rtf.value == pytest.approx(0.25)
    for _ in range(500):
        rtf.update(0.24, 0.12)
    assert rtf.value == pytest.approx(2.0, rel=0.01)
