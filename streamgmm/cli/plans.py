"""Plan the sources of a run, each with its model, from the command line and the settings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from streamgmm.audio.choosing import plan_source
from streamgmm.audio.streams.url import without_secrets
from streamgmm.cli.models import load_chosen_or_shipped_model, load_model_quietly
from streamgmm.cli.options import as_overrides
from streamgmm.errors import ConfigError, InputMissingError, StreamgmmError, UsageError
from streamgmm.files import expand_home
from streamgmm.model.model import Model
from streamgmm.service.context import ChannelPlan
from streamgmm.service.reload import Loaded
from streamgmm.service.session import Setup
from streamgmm.settings.config import Config, settings_by_source
from streamgmm.settings.loading import LoadedConfig, load_config
from streamgmm.settings.output import sections_of_sinks
from streamgmm.settings.source import SourceSection
from streamgmm.sinks.hub import make_sinks


def load_settings(args: argparse.Namespace, path: Path | None = None) -> LoadedConfig:
    """Read the settings file named on the command line, else the file `path`, else the first default that exists."""
    return load_config(args.config or path, [*_shorthands(args), *args.overrides])


def refuse_idle_options(args: argparse.Namespace, config: Config) -> None:
    """Reject options that apply to none of the chosen sources.

    Raises:
        UsageError: `--pace` without a source file:PATH, or `--require-device` with only file: and pcm: sources.
    """
    uris = [own.source.uri for own in settings_by_source(config).values()]
    kinds = {uri.partition(":")[0] for uri in uris}
    # Addresses in messages go through `without_secrets`, as a URL may hold a key.
    if args.pace is not None and "file" not in kinds:
        raise UsageError("--pace is for file:PATH", where=without_secrets(uris[0]))
    if args.require_device and kinds <= {"file", "pcm"}:
        raise UsageError("--require-device is for a microphone", where=without_secrets(uris[0]))


def plan_channels(settings: LoadedConfig, *, says_which: bool) -> Loaded:
    """Plan the sources that the settings name, each with its model; a model is read once, however many sources use it.

    Args:
        settings: settings as read.
        says_which: whether to log which model is used if the settings name none.

    Raises:
        StreamgmmError: a source or a model is not usable as named.
    """
    _refuse_shared_places(settings.config)
    models: dict[str, Model] = {}
    plans = []
    for name, config in settings_by_source(settings.config).items():
        source = plan_source(config.source, name)
        # A source without a name is the only one, and reports a missing file when it is opened.
        if name:
            _refuse_missing(config.source.uri)
        if config.model.path not in models:
            own = settings._replace(config=config)
            models[config.model.path] = load_chosen_or_shipped_model(own) if says_which else load_model_quietly(own)
        own_section = settings.config.sources.get(name)
        is_required = own_section is None or own_section.is_required
        plans.append(ChannelPlan(source, Setup(models[config.model.path], config), is_required))
    return Loaded(settings.config, tuple(plans))


def check_addresses(settings: LoadedConfig) -> None:
    """Check the addresses of sources and sinks as a run does, without opening any.

    Raises:
        ConfigError: lists each that is wrong, with its place.
    """
    problems: list[str] = []

    def check(key: str, plan: Callable[[], object]) -> None:
        place = next((settings.places[one] for one in (f"{key}.uri", key) if one in settings.places), settings.path)
        try:
            plan()
        except ConfigError as error:
            problems.extend(f"{place}: {problem}" for problem in error.problems)
        except StreamgmmError as error:
            problems.append(f"{place}: {key}: {error}")

    for name, own in settings_by_source(settings.config).items():
        check(f"sources.{name}" if name else "source", partial(plan_source, own.source, name))
    output = settings.config.output
    for i, sink in enumerate(output.sinks):
        check(f"output.sinks[{i}]", partial(make_sinks, msgspec.structs.replace(output, sinks=[sink])))
    if not problems:
        # What each of them allows may still contradict the others.
        check("output.sinks", partial(make_sinks, output))
        check("sources", partial(_refuse_shared_places, settings.config))
    if problems:
        raise ConfigError(problems)


def _shorthands(args: argparse.Namespace) -> list[str]:
    """Return `SECTION.KEY=VALUE` overrides for the options that are shorthands of settings.

    Raises:
        UsageError: several sources, of which some have no name or the same name.
    """
    settings: dict[str, str | bool | list[str] | dict[str, str] | None] = {
        **_sources(args.source or []),
        "model.path": args.model,
        "output.sinks": args.sink,
        "output.format": args.format,
        "output.windows": args.windows or None,
    }
    # Passed as typed, so that the number is checked like any other setting.
    pace = [] if args.pace is None else [f"source.pace={args.pace}"]
    return [*as_overrides(settings), *pace]


def _sources(given: list[str]) -> dict[str, str | dict[str, str]]:
    """Parse one `URI`, or several `NAME=URI`, into settings that replace all sources of the settings file."""
    named: dict[str, str] = {}
    for text in given:
        name, uri = _split_name(text)
        if not name and len(given) > 1:
            raise UsageError(
                "several sources need a name each", where=text, hint=f"e.g. --source kitchen={_without_name(text)}"
            )
        if name in named:
            raise UsageError("two sources have this name", where=name, hint="give each a name of its own")
        named[name] = uri
    if "" in named:
        # The empty mapping discards the sources of the settings file.
        return {"source.uri": named[""], "sources": {}}
    return {"sources": named} if named else {}


def _without_name(text: str) -> str:
    """Return the URI in a text such as `../x=file:A`, of which the name before `=` is none."""
    before, equals, uri = text.partition("=")
    return uri if equals and ":" not in before and ":" in uri else text


def _refuse_shared_places(config: Config) -> None:
    """Reject a place that is used by two sources, or by a source and a sink.

    Raises:
        ConfigError: lists each such place.
    """
    problems = []
    names_of_places: dict[tuple[str, int | str | None], str] = {}
    sinks = {_in_one_spelling(section.uri) for section in sections_of_sinks(config.output)}
    for name, own in config.sources.items():
        first = names_of_places.setdefault(_place_of(own), name)
        if first != name:
            advice = " (one microphone twice; give each a channel)" if _is_microphone(own.uri) else ""
            problems.append(f"sources.{name}: {without_secrets(own.uri)} is already the source {first!r}{advice}")
    uris = [settings.source.uri for settings in settings_by_source(config).values()]
    shared = [(uri, _as_sink(uri)) for uri in uris if _in_one_spelling(_as_sink(uri)) in sinks]
    problems += [f"{without_secrets(uri)} is a source, and {sink} a sink at the same place" for uri, sink in shared]
    if problems:
        raise ConfigError(problems)


def _place_of(own: SourceSection) -> tuple[str, int | str | None]:
    """Return what only one source can read: a channel of a microphone or recording, or a whole pipe or socket."""
    if _is_microphone(own.uri):
        return own.uri.casefold(), own.channel  # a part of a name matches in any case
    return _in_one_spelling(own.uri), None if own.uri.startswith("pcm") else own.channel


def _in_one_spelling(uri: str) -> str:
    """Return a URI that is equal for all ways to write one path; a link is a place of its own, on purpose."""
    scheme, colon, rest = uri.partition(":")
    slashes = "//" if rest.startswith("//") and scheme in ("file", "unix", "pcm+unix") else ""
    if scheme not in ("file", "pcm", "unix", "pcm+unix") or rest in ("", "-"):
        return uri
    # A home that nobody has is reported when the path is opened.
    with suppress(StreamgmmError):
        # `Path.resolve` would follow links.
        path = os.path.abspath(expand_home(rest.removeprefix(slashes)))  # noqa: PTH100
        return f"{scheme}{colon}{slashes}{path}"
    return uri


def _is_microphone(uri: str) -> bool:
    return uri.partition(":")[0] == "mic"


def _as_sink(uri: str) -> str:
    """Return the URI that a sink at the place of the source `uri` would have."""
    scheme, _, rest = uri.partition(":")
    return f"file://{rest}" if scheme == "file" else uri.removeprefix("pcm+")


def _refuse_missing(uri: str) -> None:
    """Reject a recording that does not exist, before any other source starts.

    Raises:
        InputMissingError: there is no such file.
    """
    scheme, _, path = uri.partition(":")
    if scheme == "file" and not os.path.lexists(path):
        raise InputMissingError("there is no such file", where=path)


def _split_name(text: str) -> tuple[str, str]:
    """Split `NAME=URI` into name and URI, with an empty name for a URI alone, which may contain `=` after its colon."""
    name, equals, uri = text.partition("=")
    return (name, uri) if equals and ":" not in name and "/" not in name else ("", text)
