"""Strict JSON of model files: texts that all readers understand alike, within limits that make parsing cheap."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from streamgmm.model.model_error import ModelError
from streamgmm.wording import escaped

MAX_JSON_DEPTH = 8
MAX_INTEGER_DIGITS = 18
"""Longer integers do not fit 64 bits, and take quadratic time to parse."""


def strict_json(data: bytes, offset: int) -> Any:
    """Parse a JSON text that lies at `offset` in the file.

    Raises:
        ModelError: the text is not UTF-8 or JSON, has a duplicate key, a number that is not finite or has too many
            digits, a lone surrogate, or is nested too deep.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_short_int,
        )
        _check_value(value, MAX_JSON_DEPTH)
    # `json` recurses too: extreme nesting fails there, before the depth is checked.
    except (ValueError, RecursionError) as error:
        problem = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ModelError("header", f"not the JSON of a model: {escaped(problem)}", offset=offset) from None
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # `json` keeps the last of equal keys, other readers the first: such a file has no single meaning.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key occurs twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite_float(digits: str) -> float:
    # `float` turns 1e999 into infinity without an error.
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _short_int(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise ValueError("an integer has too many digits")
    return int(digits)


def _check_value(value: Any, n_levels: int) -> None:
    """Raise ValueError for a value nested deeper than `n_levels`, or for text with lone surrogates."""
    if isinstance(value, str):
        # JSON escapes can make lone surrogates, which cannot be printed or written to a file.
        value.encode("utf-8")
    if isinstance(value, dict | list):
        if n_levels == 0:
            raise ValueError(f"nested deeper than {MAX_JSON_DEPTH} levels")
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            _check_value(item, n_levels - 1)
