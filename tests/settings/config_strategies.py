"""Random settings for property tests."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from streamgmm.settings.config import Config, NamedSourceSection
from streamgmm.settings.decision import DecisionSection, LabelSection
from streamgmm.settings.features import FeaturesSection
from streamgmm.settings.schedule import DAYS, OffSection
from streamgmm.settings.schema import fields_of, is_section, unwrap
from streamgmm.settings.source import SourceSection

# YAML cannot carry half a surrogate pair, and no file name or label needs one.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.sampled_from(
    ["no", "012", "1e5", "stdout:", "a: b", "# x", "2026-01-31", "<<", "~", "true", ".nan", "- a", "\ufeff", "\x7f"]
)

NAMES = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}\Z")


def _values(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, inspect.Metadata):
        values = _values(kind.type)
        # What begins with a home directory is read as the directory's own path.
        return values.filter(lambda text: "~" not in text) if "is_place" in (kind.extra or {}) else values
    if isinstance(kind, inspect.UnionType):
        return st.one_of([_values(each) for each in kind.types])
    if isinstance(kind, inspect.LiteralType):
        return st.sampled_from(kind.values)
    if isinstance(kind, inspect.IntType):
        return st.integers(kind.ge, kind.le)
    if isinstance(kind, inspect.FloatType):
        least = kind.ge if kind.gt is None else kind.gt
        return st.floats(least, kind.le, exclude_min=kind.gt is not None)
    if isinstance(kind, inspect.ListType):
        return st.lists(_values(kind.item_type), max_size=3)
    if isinstance(kind, inspect.DictType):
        return st.dictionaries(TEXTS, _values(kind.value_type), max_size=3)
    if isinstance(kind, inspect.StrType) and kind.pattern:
        return NAMES
    if isinstance(kind, inspect.StructType):
        fields = {field.name: _values(field.type) for field in kind.fields if field.required}
        optional = {field.name: _values(field.type) for field in kind.fields if not field.required}
        return st.fixed_dictionaries(fields, optional=optional).map(lambda settings: kind.cls(**settings))
    others: dict[type, st.SearchStrategy[Any]] = {
        inspect.StrType: TEXTS,
        inspect.BoolType: st.booleans(),
        inspect.NoneType: st.none(),
    }
    return others[type(kind)]


def _sections(section: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    drawn = {name: _values(inspect.type_info(kind)) for name, kind in fields_of(section).items() if name != "labels"}
    if section is DecisionSection:
        drawn["labels"] = st.dictionaries(TEXTS, _sections(LabelSection), max_size=3)
    return st.fixed_dictionaries({}, optional=drawn).map(lambda settings: _consistent(section, settings))


def _consistent(section: type[msgspec.Struct], settings: dict[str, Any]) -> Any:
    """The section with the settings that fit together; those that contradict each other are left out."""
    try:
        return section(**settings)
    except ValueError:
        clashing = {"labels", "onset_threshold", "offset_threshold", "window_s", "hop_s"}
        assert section in (DecisionSection, FeaturesSection)
        return section(**{name: value for name, value in settings.items() if name not in clashing})


def configs() -> st.SearchStrategy[Config]:
    """Any valid `Config`."""
    sections = {name: _sections(unwrap(kind)) for name, kind in fields_of(Config).items() if is_section(kind)}
    return st.builds(
        Config,
        **sections,
        sources=st.dictionaries(NAMES, _named_sources(), max_size=2),
        schedule=st.lists(_schedule_items(), max_size=2),
    )


def _schedule_items() -> st.SearchStrategy[OffSection]:
    times = st.sampled_from(["22:00-07:00", "00:00-24:00", "12:30-13:30"])
    return st.builds(
        OffSection, time=times, days=st.lists(st.sampled_from(DAYS), max_size=3), labels=st.lists(TEXTS, max_size=3)
    )


def _named_sources() -> st.SearchStrategy[NamedSourceSection]:
    own = {name: _values(inspect.type_info(kind)) for name, kind in fields_of(SourceSection).items()}
    return st.builds(NamedSourceSection, **own, is_required=st.booleans(), decision=_sections(DecisionSection))
