from __future__ import annotations

import pytest

from streamgmm.model.model_error import ModelError
from streamgmm.model.strict_json import strict_json


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b"[" * 9 + b"]" * 9,
        b'{"a":' * 30_000,
        b"[" * 60_000,
        b"",
        b"{",
        b'{"a":1} x',
    ],
)
def test_D4_json_that_is_not_strict_is_refused(text: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        strict_json(text, 8)
    assert caught.value.reason == "header"
    assert caught.value.offset == 8
