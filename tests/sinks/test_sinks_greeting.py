from __future__ import annotations

import pytest
from msgspec import structs

from streamgmm.records import Gap, ModelChanged, Record, decode_json
from streamgmm.sinks.greeting import Greeting
from tests.sinks.sink_rig import HELLO, end, message, start, status

MODEL = ModelChanged(seq=4, t=1.0, model=HELLO.model, labels=["door"], window_s=1.0, hop_s=0.1)


@pytest.mark.parametrize(
    ("published", "seqs"),
    [
        ([], []),
        ([HELLO], [0]),
        ([HELLO, start(1), start(2, "e2")], [0, 1, 2]),
        ([HELLO, start(1), start(2, "e2"), end(3)], [0, 2]),
        ([HELLO, start(1), end(2), end(3)], [0]),
        ([HELLO, status(1), start(2), status(3)], [0, 2, 3]),
        ([HELLO, MODEL, structs.replace(MODEL, seq=5)], [0, 5]),
        ([HELLO, Gap(seq=1, t=0.0, lost_samples=1, reason="suspend")], [0]),
        ([HELLO, start(1), structs.replace(HELLO, seq=2)], [2]),
    ],
)
def test_what_a_latecomer_is_told(published: list[Record], seqs: list[int]) -> None:
    greeting = Greeting()
    for record in published:
        greeting.update(message(record))
    assert [decode_json(line).seq for line in greeting.to_bytes().splitlines()] == seqs
