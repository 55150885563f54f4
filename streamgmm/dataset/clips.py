"""Clips: the labelled pieces of sound that a data set is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm import units
from streamgmm.audio.channels import Channel, LossKind, MixLoss
from streamgmm.audio.reading import RecordingError, checked_blocks, open_whole_recording
from streamgmm.dataset.listing import MIN_STRETCH_S, Entry, Findings, Stretch
from streamgmm.dataset.strong_labels import gaps_between
from streamgmm.labels import BACKGROUND
from streamgmm.wording import escaped

MIN_BACKGROUND_S = 1.0
"""Shortest gap between events that becomes a background clip: one window at the default settings."""

BORDER_S = 0.2
"""Distance of background clips from events, as people mark the ends of events no better than this."""

Progress = Callable[[int], None]
"""Is told how many recordings were examined so far."""


class Content(NamedTuple):
    """What is known of a recording once it was read.

    Attributes:
        sample_rate_hz: its rate (Hz).
        duration_s: its length (s).
        sha256: hash of its samples, 64 hexadecimal digits.
        is_constant: True if all samples are equal: a dead microphone, from which nothing can be learnt.
        warnings: what was wrong with it, though it could be read.
        mix_loss: what its channels lose where they are mixed to one, None for nothing.
    """

    sample_rate_hz: int
    duration_s: float
    sha256: str
    is_constant: bool
    warnings: Sequence[str]
    mix_loss: MixLoss | None = None


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """A recording, or a stretch of one, of which the label is known.

    Attributes:
        path: the recording.
        label: what is heard.
        source_id: what clips have in common that must not be divided between training and test; without
            a better one, the recording: all its clips, and those of its copies, share one.
        fold: the published fold, None if there is none.
        onset_s: where it begins in the recording (s), None for the whole of it.
        offset_s: where it ends (s), None for the whole of it.
        duration_s: its length (s).
        sample_rate_hz: rate of the recording (Hz).
        content_sha256: hash of the samples of the recording, 64 hexadecimal digits.
        is_gap: True if nobody gave it its label: it lies outside all labelled stretches.
    """

    path: Path
    label: str
    source_id: str
    fold: str | None = None
    onset_s: float | None = None
    offset_s: float | None = None
    duration_s: float
    sample_rate_hz: int
    content_sha256: str
    is_gap: bool = False


def clip_of(entry: Entry, content: Content, stretch: Stretch, source_id: str) -> Clip:
    """The clip that `stretch` of `entry` is."""
    return Clip(
        path=entry.path,
        label=stretch.label,
        source_id=source_id,
        fold=entry.fold,
        onset_s=None if stretch.is_whole else units.round_s(stretch.onset_s),
        offset_s=None if stretch.is_whole else units.round_s(stretch.offset_s),
        duration_s=units.round_s(min(stretch.duration_s, content.duration_s)),
        sample_rate_hz=content.sample_rate_hz,
        content_sha256=content.sha256,
        is_gap=stretch.is_gap,
    )


def rng_of(clip: Clip, seed: int) -> np.random.Generator:
    """Random numbers for `clip`: the same for the same sound and seed, whatever its file is called."""
    return np.random.default_rng([seed, int(clip.content_sha256[:16], 16), round((clip.onset_s or 0) * 1e6)])


def data_sha256(clips: Iterable[Clip]) -> str:
    """Hash of what `clips` hold and are called, whatever their order and the names of their files."""
    hashes = sorted(f"{clip.content_sha256} {clip.onset_s} {clip.offset_s} {clip.label}" for clip in clips)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def examine(path: Path, channel: Channel = "mean") -> Content:
    """Read the recording at `path` to see that it is usable, and what it holds.

    The samples are hashed, not the bytes of the file: a copy in another lossless format or with another
    title is the same sound.

    Raises:
        RecordingError: it cannot be read as a recording.
    """
    sha256 = hashlib.sha256()
    n_samples, low, high = 0, np.inf, -np.inf
    with open_whole_recording(path, channel=channel) as reader:
        # Block by block: hours of silence in a small file must not cost memory before they are left out.
        for block in checked_blocks(reader):
            sha256.update(np.ascontiguousarray(block, dtype="<f4").data)
            n_samples += block.size
            low, high = min(low, block.min()), max(high, block.max())
        return Content(
            sample_rate_hz=reader.sample_rate_hz,
            duration_s=units.samples_to_seconds(n_samples, reader.sample_rate_hz),
            sha256=sha256.hexdigest(),
            is_constant=bool(low == high),
            warnings=tuple(reader.warnings),
            mix_loss=reader.mix_loss,
        )


class Examiner:
    """Turns what a data set lists into clips, and tells what it finds on the way.

    Args:
        findings: is told of unusable recordings, which are left out, and of damaged ones.
        channel: which channel of a recording counts.
        use_gaps: whether the gaps of a recording with labelled stretches become `background`.
        is_strict: whether damaged recordings are left out too.
    """

    def __init__(self, findings: Findings, *, channel: Channel, use_gaps: bool, is_strict: bool) -> None:
        self._findings = findings
        self._channel: Channel = channel
        self._use_gaps = use_gaps
        self._is_strict = is_strict
        self._name_by_content: dict[str, str] = {}
        self._losses: dict[LossKind, list[tuple[Path, MixLoss]]] = {}

    def clips(self, entries: Iterable[Entry], on_progress: Progress) -> Iterator[Clip]:
        """The clips of `entries`; their recordings are read one after the other."""
        for n_seen, entry in enumerate(entries, 1):
            try:
                content = examine(entry.path, self._channel)
            except RecordingError as error:
                self._findings.skip(entry.path, error.reason)
            else:
                yield from self._clips_of(entry, content)
            on_progress(n_seen)
        self._report_losses()

    def _report_losses(self) -> None:
        """Report what mixing to mono loses, once for each kind of loss."""
        for kind, losses in self._losses.items():
            path, loss = losses[0]
            where = f"{path} and {len(losses) - 1} more" if len(losses) > 1 else str(path)
            report = self._findings.note if kind == "dead" else self._findings.warn
            report(f"{where}: {loss.text}")

    def _clips_of(self, entry: Entry, content: Content) -> Iterator[Clip]:
        for warning in content.warnings:
            self._findings.warn(f"{entry.path}: {warning}")
        if content.mix_loss:
            self._losses.setdefault(content.mix_loss.kind, []).append((entry.path, content.mix_loss))
        if reason := self._reason_to_skip(content):
            self._findings.skip(entry.path, reason)
            return
        # Copies of a recording count as one source, so that none is in training and test at once.
        source_id = entry.source_id or escaped(self._name_by_content.setdefault(content.sha256, entry.name))
        for stretch in self._stretches(entry, content.duration_s):
            yield clip_of(entry, content, stretch, source_id)

    def _reason_to_skip(self, content: Content) -> str:
        """Why a recording is left out that could be read; empty if it is not."""
        if content.mix_loss and content.mix_loss.is_total:
            return "cancelled"
        if content.is_constant:
            return "constant"
        return "damaged" if self._is_strict and content.warnings else ""

    def _stretches(self, entry: Entry, duration_s: float) -> Iterator[Stretch]:
        """The stretches of `entry` that lie within its recording, and its gaps if they are wanted."""
        for stretch in entry.stretches:
            if stretch.is_whole:
                yield stretch
            elif stretch.onset_s + MIN_STRETCH_S > duration_s:
                self._findings.warn(f"{entry.path}: {stretch.label!r} at {stretch.onset_s} s lies beyond its end")
            elif not stretch.is_point:
                # Labels often end a little after the recording, as programs round differently.
                yield stretch._replace(offset_s=min(stretch.offset_s, duration_s))
        if entry.has_gaps and self._use_gaps:
            for onset_s, offset_s in gaps_between([*entry.stretches, *entry.unnamed], duration_s, border_s=BORDER_S):
                if offset_s - onset_s >= MIN_BACKGROUND_S:
                    yield Stretch(BACKGROUND, onset_s, offset_s, is_gap=True)
