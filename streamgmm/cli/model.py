"""`streamgmm model`: the contents of a model file, and a check that it is intact."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamgmm.cli.room_table import room_lines
from streamgmm.errors import DataError, UsageError
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.file import load_model
from streamgmm.model.model import Model
from streamgmm.model.shipped import load_shipped_model
from streamgmm.training.enrolment.cache_file import CARD_KEY, cache_path, has_cache
from streamgmm.training.enrolment.comparison import scores_in_card

SHOWN_ANOMALIES_PER_HOUR = (0.1, 1.0, 5.0)


def show_model(args: argparse.Namespace) -> int:
    """Print the labels, features and card of a model."""
    if args.file is None:
        model, memory = load_shipped_model(), "none"
    else:
        model = load_model(args.file)
        memory = memory_state(model, Path(args.file))
    summary = {**summarise_model(model), "memory": memory}
    if args.json:
        print(msgspec.json.encode(summary).decode())
    else:
        _print_model(summary)
    return 0


def verify_model(args: argparse.Namespace) -> int:
    """Load a model as `run` would, and compare its hash."""
    wanted = args.sha256
    if wanted is not None and not re.fullmatch("[0-9a-fA-F]{64}", wanted):
        raise UsageError("--sha256 needs 64 hexadecimal digits")
    model = load_model(args.file)
    if wanted is not None and wanted.lower() != model.sha256:
        raise DataError(f"has the content hash {model.sha256}, not the one given", where=args.file)
    print(f"{args.file}: ok, sha256 {model.sha256}")
    return 0


def summarise_model(model: Model) -> dict[str, Any]:
    """Return the properties of a model as JSON-able values."""
    classifier = model.classifier
    details = zip(classifier.labels, classifier.mixtures, classifier.priors, classifier.floors, strict=True)
    return {
        "name": model.name,
        "sha256": model.sha256,
        "tool_version": model.tool_version,
        "spec": msgspec.to_builtins(model.spec),
        "n_features": classifier.projection.n_features,
        "n_dimensions": classifier.projection.n_dimensions,
        "n_bottleneck_units": classifier.projection.n_units,
        "likelihood_scale": classifier.likelihood_scale,
        "labels": {
            label: {
                "n_components": mixture.n_components,
                "covariance": mixture.covariance_type,
                "prior": float(prior),
                "floor_nats": float(floor),
                "decision": _set_only(model.decision.get(label)),
            }
            for label, mixture, prior, floor in details
        },
        "background": {"n_components": classifier.background.n_components},
        "anomaly": _anomaly_summary(model),
        # The key is part of the JSON output; it stands for cepstral frames.
        "frames": _cepstra_summary(classifier.cepstra),
        "card": model.card,
    }


def memory_state(model: Model, path: Path) -> str:
    """Return the name of the memory file beside the model at `path`, `missing`, or `none` if it was trained without."""
    if CARD_KEY not in model.card:
        return "none"
    return cache_path(path).name if has_cache(model, path) else "missing"


def _anomaly_summary(model: Model) -> dict[str, Any]:
    """Return how strange a sound has to be to count as an anomaly, for some budgets of false ones."""
    if model.density is None:
        return {"is_available": False}
    levels = {f"{rate:g}": round(model.density.tail.strangeness_at(rate), 4) for rate in SHOWN_ANOMALIES_PER_HOUR}
    return {"is_available": True, "n_axes": model.density.n_axes, "threshold_at_false_anomalies_per_hour": levels}


def _cepstra_summary(frames: CepstralMixtures | None) -> dict[str, float]:
    """Return the properties of the cepstral mixtures; empty if the model has none."""
    if frames is None:
        return {}
    n_components = sum(mixture.n_components for mixture in frames.mixtures)
    return {"weight": frames.weight, "n_features": frames.projection.n_features, "n_components": n_components}


def _set_only(section: Any) -> dict[str, float]:
    # None means that the common setting applies.
    settings = {} if section is None else msgspec.structs.asdict(section)
    return {name: value for name, value in settings.items() if value is not None}


def _print_model(summary: Mapping[str, Any]) -> None:
    general = {key: value for key, value in summary.items() if key not in ("labels", "card")}
    _print_rows(general)
    print()
    _print_labels(summary["labels"])
    if summary["card"]:
        print("\ncard of the training")
        # Scores with their intervals replace the bare numbers of the card.
        rest = {key: value for key, value in summary["card"].items() if key != "room"}
        _print_rows({**rest, **_shares(summary["card"]), **dict(room_lines(summary["card"]))}, indent="  ")


def _shares(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of a card with their intervals, if the card has the necessary counts."""
    scores = scores_in_card(card)
    if scores.share_of_all == "-":
        return {}
    recalls = {label: f"{recall:g}, {scores.share_of(label)}" for label, recall in scores.held_out_recalls.items()}
    accuracy = f"{scores.held_out_accuracy:g}, {scores.share_of_all}"
    return {"held_out_accuracy": accuracy, "held_out_recalls": recalls}


def _print_labels(labels: Mapping[str, Mapping[str, Any]]) -> None:
    width = max(len("label"), *map(len, labels))
    print(f"{'label':{width}}  components  covariance   prior  floor (nat)  decides by")
    for label, row in labels.items():
        decision = ", ".join(f"{name} {value:g}" for name, value in row["decision"].items())
        numbers = f"{row['n_components']:10}  {row['covariance']:10}  {row['prior']:6g}  {row['floor_nats']:11.1f}"
        print(f"{label:{width}}  {numbers}  {decision}".rstrip())


def _print_rows(tree: Mapping[str, Any], indent: str = "") -> None:
    rows = dict(_flattened(tree))
    width = max(map(len, rows), default=0)
    for key, value in rows.items():
        print(f"{indent}{key:{width}}  {value}")


def _flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys with their values as text."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", f"{value:g}" if isinstance(value, float) else str(value)
