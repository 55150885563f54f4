"""`streamgmm run`: the daemon."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from streamgmm.cli.options import add_config_options, as_overrides
from streamgmm.errors import OutputError
from streamgmm.signals import ignore_unused_signals

if TYPE_CHECKING:
    from streamgmm.config import Config
    from streamgmm.config_loading import LoadedConfig
    from streamgmm.model.model import Model
    from streamgmm.service.daemon import Daemon
    from streamgmm.service.reload import Loaded

logger = logging.getLogger("streamgmm.run")

_DESCRIPTION = """\
Listen until stopped, and tell what is heard. SIGHUP reads the settings again.
sources  mic, mic:NAME, mic:INDEX, file:PATH, pcm:- (stdin: raw PCM or WAV)
sinks    stdout:, file://PATH, unix://PATH, tcp://HOST:PORT, exec:COMMAND; several at once
"""

REPEAT_S = 0.5
"""A signal so soon after another (s) is the same one: `timeout` sends each to the process and to its group."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `run`."""
    parser = subparsers.add_parser(
        "run", help="listen day and night, and tell other programs", description=_DESCRIPTION
    )
    parser.add_argument("-m", "--model", metavar="MODEL", help="made by `train` (default: shipped, of ten sounds)")
    parser.add_argument(
        "-s",
        "--source",
        metavar="[NAME=]SOURCE",
        action="append",
        help="where to listen (default: mic)",
    )
    parser.add_argument("-k", "--sink", metavar="SINK", action="append", help="whom to tell (default: stdout:)")
    parser.add_argument(
        "-f", "--format", choices=["jsonl", "text", "label", "dcase", "audacity"], help="what stdout: prints"
    )
    parser.add_argument("--pace", metavar="X", help="play file:PATH at X times real time; 0: as fast as possible")
    parser.add_argument("--windows", action="store_true", help="a record for every hop, not only for events")
    parser.add_argument("--require-device", action="store_true", help="end if there is no microphone at the start")
    add_config_options(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    # Small matrix products gain nothing from threads, and a second one costs memory; before numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    ignore_unused_signals()
    from streamgmm.cli.supervised import supervised
    from streamgmm.cli.terminal import Terminal
    from streamgmm.service.log_limit import LogLimit
    from streamgmm.service.log_writer import detached_log
    from streamgmm.service.notify import Notifier
    from streamgmm.service.supervision import Supervision
    from streamgmm.sinks.sink import PipeClosedError

    def load_again() -> Loaded:
        # The very file of the start: one that can no longer be seen must not give way to the defaults.
        return _plan(_load_settings(args, settings.path), says_which=False)

    terminal = Terminal()
    supervision = Supervision(Notifier.from_environment())
    settings = _load_settings(args)
    _refuse_idle_options(args, settings.config)
    loaded = _plan(settings, says_which=True)
    daemon = _make_daemon(loaded, args.require_device, supervision.on_status)
    _end_on_bugs(daemon)
    received = _stop_on_signals(daemon)
    _log_status_on_signal(daemon)
    try:
        with detached_log(LogLimit()), supervised(daemon, supervision, load_again, loaded, terminal):
            _warn_of_root()
            daemon.run()
    except PipeClosedError:
        # A reader that was told to stop together with this program is no failure.
        if not received:
            raise BrokenPipeError from None
    except OutputError:
        # Nor is a terminal that was closed, and to which this program wrote.
        if not terminal.is_closed():
            raise
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    return 0


def _load_settings(args: argparse.Namespace, path: Path | None = None) -> LoadedConfig:
    """Read the settings that were named or, without any, those in `path`; None looks for them."""
    from streamgmm.config_loading import load_config

    return load_config(args.config or path, [*_shorthands(args), *args.overrides])


def _refuse_idle_options(args: argparse.Namespace, config: Config) -> None:
    """Refuse options that say nothing about any source that was chosen."""
    from streamgmm.config import settings_by_source
    from streamgmm.errors import UsageError

    uris = [own.source.uri for own in settings_by_source(config).values()]
    kinds = {uri.partition(":")[0] for uri in uris}
    if args.pace is not None and "file" not in kinds:
        raise UsageError("--pace is for file:PATH", where=uris[0])
    if args.require_device and kinds <= {"file", "pcm"}:
        raise UsageError("--require-device is for a microphone", where=uris[0])


def _shorthands(args: argparse.Namespace) -> list[str]:
    """The options that stand for settings, as the settings they stand for.

    Raises:
        UsageError: several sources without a name each, or of one name.
    """
    settings: dict[str, str | bool | list[str] | dict[str, str] | None] = {
        **_sources(args.source or []),
        "model.path": args.model,
        "output.sinks": args.sink,
        "output.format": args.format,
        "output.windows": args.windows or None,
    }
    # A number is read as it was typed, by the rules of the settings.
    pace = [] if args.pace is None else [f"source.pace={args.pace}"]
    return [*as_overrides(settings), *pace]


def _sources(given: list[str]) -> dict[str, str | dict[str, str]]:
    """One `URI`, or `NAME=URI` for each of several, in place of all sources of the settings."""
    from streamgmm.errors import UsageError

    named: dict[str, str] = {}
    for text in given:
        name, uri = _split_name(text)
        if not name and len(given) > 1:
            raise UsageError("several sources need a name each", where=text, hint=f"e.g. --source kitchen={text}")
        if name in named:
            raise UsageError("two sources have this name", where=name, hint="give each a name of its own")
        named[name] = uri
    if "" in named:
        return {"source.uri": named[""], "sources": {}}
    return {"sources": named} if named else {}


def _split_name(text: str) -> tuple[str, str]:
    """Split `NAME=URI`; a URI may hold `=` too, but only after its colon."""
    name, equals, uri = text.partition("=")
    return (name, uri) if equals and ":" not in name and "/" not in name else ("", text)


def _make_daemon(loaded: Loaded, is_device_required: bool, on_status: Callable[[str, str], None]) -> Daemon:
    import secrets

    from streamgmm.listening.recordings import file_run_id
    from streamgmm.service.daemon import Daemon
    from streamgmm.sinks.activation import take_inherited
    from streamgmm.sinks.hub import Hub, make_sinks
    from streamgmm.sinks.selection import warn_of_unknown_labels

    labels = {label for plan in loaded.plans for label in plan.setup.model.labels}
    warn_of_unknown_labels(loaded.config.output, labels)
    is_live = any(plan.source.is_live for plan in loaded.plans)
    # A recording is the same recording tomorrow; a microphone never hears the same twice.
    names = " ".join(plan.source.name for plan in loaded.plans)
    run_id = secrets.token_hex(6) if is_live else file_run_id(loaded.plans[0].setup.model, names)
    return Daemon(
        loaded.plans,
        Hub(make_sinks(loaded.config.output, is_live=is_live, inherited=take_inherited())),
        run_id=run_id,
        is_device_required=is_device_required,
        on_status=on_status,
    )


def _plan(settings: LoadedConfig, *, says_which: bool) -> Loaded:
    """Plan the sources that the settings name, each with its model; a model is read once, however many use it.

    Args:
        settings: as read.
        says_which: whether to report that no model is named, and which one is taken.

    Raises:
        StreamgmmError: a source or a model cannot be had as named.
    """
    from streamgmm.audio.choosing import plan_source
    from streamgmm.config import settings_by_source
    from streamgmm.service.channel import ChannelPlan
    from streamgmm.service.reload import Loaded
    from streamgmm.service.session import Setup

    models: dict[str, Model] = {}
    plans = []
    for name, config in settings_by_source(settings.config).items():
        source = plan_source(config.source, name)
        if config.model.path not in models:
            own = settings._replace(config=config)
            models[config.model.path] = load_chosen_or_shipped_model(own) if says_which else _load_model(own)
        plans.append(ChannelPlan(source, Setup(models[config.model.path], config)))
    return Loaded(settings.config, tuple(plans))


def load_chosen_model(loaded: LoadedConfig) -> Model:
    """The model that the settings name, if they agree with it.

    Raises:
        UsageError: none is named.
        ConfigError: settings of the features were given that are not those of the model.
        StreamgmmError: it cannot be read.
    """
    from streamgmm.errors import UsageError
    from streamgmm.model.file import load_model

    path = loaded.config.model.path
    if not path:
        raise UsageError("no model is given", hint="make one with `streamgmm train`, then use --model FILE")
    model = load_model(path)
    _refuse_other_features(loaded, model)
    return model


def load_chosen_or_shipped_model(loaded: LoadedConfig) -> Model:
    """The model that the settings name, or the one in the box, which a line on stderr then tells of.

    Raises:
        ConfigError: settings of the features were given that are not those of the model.
        StreamgmmError: it cannot be read.
    """
    model = _load_model(loaded)
    if not loaded.config.model.path:
        logger.info(
            "no model is given: taking %s, in the box, which knows %s and nothing else; "
            "`streamgmm train FOLDER -o my.sgm` makes your own, for --model my.sgm",
            model.name,
            ", ".join(model.labels),
        )
    return model


def _load_model(loaded: LoadedConfig) -> Model:
    from streamgmm.model.shipped import load_shipped_model

    if loaded.config.model.path:
        return load_chosen_model(loaded)
    model = load_shipped_model()
    _refuse_other_features(loaded, model)
    return model


def _refuse_other_features(loaded: LoadedConfig, model: Model) -> None:
    """A model hears as it was trained to; a setting that says otherwise would be ignored in silence."""
    from streamgmm.errors import ConfigError

    problems = []
    for key in sorted(loaded.explicit_keys):
        section, _, name = key.partition(".")
        if section != "features":
            continue
        wanted, has = getattr(loaded.config.features, name), getattr(model.spec, name)
        if wanted not in (has, 0):
            problems.append(f"{key} is {wanted}, but the model was trained with {has}; drop the setting, or train anew")
    if problems:
        raise ConfigError(problems)


def _warn_of_root() -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        logger.warning("process.root: runs as root, which it never needs; `streamgmm service install` avoids it")


def _end_on_bugs(daemon: Daemon) -> None:
    """A thread that dies of a bug, whichever it is, ends the run with that bug."""

    def end(unhandled: threading.ExceptHookArgs) -> None:
        name = unhandled.thread.name if unhandled.thread else "?"
        daemon.fail(unhandled.exc_value or unhandled.exc_type(f"in thread {name}"))

    threading.excepthook = end


def _stop_on_signals(daemon: Daemon) -> list[int]:
    """Stop gracefully on the first SIGTERM or SIGINT, at once on the second; returns what will hold the first."""
    received: list[int] = []
    first_s = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first_s
        if not received:
            first_s = time.monotonic()
            received.append(number)
            daemon.stop(signal.Signals(number).name)
        elif time.monotonic() - first_s > REPEAT_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return received


def _log_status_on_signal(daemon: Daemon) -> None:
    # The second has no meaning of its own, and ending the process would be the worst one.
    for name in ("SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: daemon.log_status())
