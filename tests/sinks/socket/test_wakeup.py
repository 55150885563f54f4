from __future__ import annotations

import select

from streamgmm.sinks.socket.wakeup import WakeUp


def is_ringing(wake_up: WakeUp) -> bool:
    return bool(select.select([wake_up], [], [], 0.0)[0])


def test_rings_until_cleared() -> None:
    wake_up = WakeUp()
    assert not is_ringing(wake_up)
    wake_up.ring()
    wake_up.ring()
    assert is_ringing(wake_up)
    wake_up.clear()
    assert not is_ringing(wake_up)
    wake_up.clear()
    wake_up.close()


def test_ringing_without_end_blocks_nobody() -> None:
    wake_up = WakeUp()
    for _ in range(10_000):
        wake_up.ring()
    assert is_ringing(wake_up)
    wake_up.close()


def test_ring_after_close_has_no_effect() -> None:
    wake_up = WakeUp()
    wake_up.close()
    wake_up.ring()
