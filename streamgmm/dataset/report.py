"""Report a data set to the user: its classes, the files left out, warnings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import Dataset
from streamgmm.dataset.listing import Skipped
from streamgmm.dataset.reasons import explanation
from streamgmm.wording import escaped

N_EXAMPLES = 3
"""Files listed per reason; the others are counted."""


def dataset_report(dataset: Dataset) -> RenderableType:
    """Return the complete report on `dataset`."""
    parts: list[RenderableType] = [classes_table(dataset.clips)]
    parts.extend(_message("note", note) for note in dataset.notes)
    parts.extend(_message("warning", warning) for warning in dataset.warnings)
    if dataset.skipped:
        parts.append(skipped_table(dataset.skipped))
    return Group(*parts)


def classes_table(clips: Iterable[Clip]) -> Table:
    """Return a table with a row per label: its clips, their total duration and their sources."""
    clips_by_label: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        clips_by_label[clip.label].append(clip)
    table = Table("label", title="Classes")
    for name in ("clips", "seconds", "sources"):
        table.add_column(name, justify="right")
    for label, members in sorted(clips_by_label.items()):
        seconds = sum(clip.duration_s for clip in members)
        n_sources = len({clip.source_id for clip in members})
        table.add_row(Text(escaped(label)), str(len(members)), f"{seconds:.1f}", str(n_sources))
    return table


def skipped_table(skipped: Iterable[Skipped]) -> Table:
    """Return a table with a row per reason, the most frequent first: the number of files, and the first ones."""
    paths_by_reason: dict[str, list[Path]] = defaultdict(list)
    for path, reason in sorted(skipped):
        paths_by_reason[reason].append(path)
    table = Table("reason", title="Left out")
    table.add_column("files", justify="right")
    # Folded and not cut off: a path is of use only as a whole.
    table.add_column("such as", overflow="fold")
    for reason, paths in sorted(paths_by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        shown = Text("\n".join(_examples(paths)))
        table.add_row(Text(explanation(reason, paths[0])), str(len(paths)), shown)
    return table


def _examples(paths: list[Path]) -> Iterator[str]:
    yield from (escaped(str(path)) for path in paths[:N_EXAMPLES])
    if len(paths) > N_EXAMPLES:
        yield f"and {len(paths) - N_EXAMPLES} more"


def _message(kind: str, text: str) -> Text:
    # As a Text, so that rich does not interpret brackets in file names as markup.
    return Text.assemble((f"{kind}: ", "yellow" if kind == "warning" else "bold"), escaped(text))
