"""Bodies from templates: always what the template promises, whatever a record holds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgmm.errors import ConfigError
from streamgmm.sinks.body_template import BodyTemplate

TEMPLATE = (
    '{"text": "\\"$label\\" $score $health", "score": $score, "label": $label, "health": ${health}, "none": "$clip",'
    ' "cost": "$$5"}'
)


@given(label=st.text(), score=st.one_of(st.none(), st.floats(0.0, 1.0)))
def test_a_template_of_json_stays_json(label: str, score: float | None) -> None:
    record = {"type": "start", "label": label, "score": score, "health": {"rtf": 0.1}}
    body = json.loads(BodyTemplate(TEMPLATE).fill(json.dumps(record).encode()))
    shown = "" if score is None else json.dumps(score)
    assert body == {
        "text": f'"{label}" {shown} {{"rtf": 0.1}}',
        "score": score,
        "label": label,
        "health": {"rtf": 0.1},
        "none": "",
        "cost": "$5",
    }


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("$label ($score) at ${t}s", "siren (0.5) at 2.0s"),
        ("$label until $end_t.", "siren until ."),
        ("plain", "plain"),
        ('"$label', '"siren'),
    ],
)
def test_a_template_of_text_is_text(text: str, body: str) -> None:
    template = BodyTemplate(text)
    assert template.content_type.startswith("text/plain")
    assert template.fill(b'{"label": "siren", "score": 0.5, "t": 2.0}').decode() == body


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("$", "a $ stands before no name"),
        ("${label", "a $ stands before no name"),
        ("$lable", "no record has a field 'lable', did you mean label?"),
        ("$zzzzzz", "no record has a field 'zzzzzz'"),
        ("x" * 20_000, "has 20000 characters"),
    ],
)
def test_E38_a_template_that_cannot_be_filled_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=r"output\.sinks: body: ") as caught:
        BodyTemplate(text)
    assert says in str(caught.value)
