"""Clips: the labelled recordings, and segments of recordings, of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm import units
from streamgmm.audio.channels import ChannelChoice, LossKind, MixLoss
from streamgmm.audio.reading import RecordingError, checked_blocks, open_whole_recording
from streamgmm.dataset.listing import SHORTEST_SEGMENT_S, Entry, Findings, Segment
from streamgmm.dataset.strong_labels import beyond_end, gaps_between
from streamgmm.labels import BACKGROUND
from streamgmm.wording import escaped

MIN_BACKGROUND_S = 1.0
"""Shortest gap between events that becomes a background clip: one window at the default settings."""

BORDER_S = 0.2
"""Distance of background clips from events: manual marks of the ends of events are this inaccurate."""

Progress = Callable[[int], None]
"""Receives the number of recordings examined so far."""


class Content(NamedTuple):
    """Properties of a recording that was read to its end.

    Attributes:
        sample_rate_hz: its rate (Hz).
        duration_s: its length (s).
        sha256: hash of its samples, 64 hexadecimal digits.
        is_constant: True if all samples are equal, as from a dead microphone; it is left out then.
        warnings: defects of the recording that did not prevent reading.
        mix_loss: what is lost when its channels are mixed to mono, None for nothing.
    """

    sample_rate_hz: int
    duration_s: float
    sha256: str
    is_constant: bool
    warnings: Sequence[str]
    mix_loss: MixLoss | None = None


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """A recording, or a segment of one, with its label.

    Attributes:
        path: the recording.
        label: the class of the sound.
        source_id: identifies clips that must not be divided between training and test; by default that of the
            recording, which all its clips and those of its copies share.
        fold: the published fold, None if there is none.
        onset_s: where it begins in the recording (s), None for the whole of it.
        offset_s: where it ends (s), None for the whole of it.
        duration_s: its length (s).
        sample_rate_hz: rate of the recording (Hz).
        content_sha256: hash of the samples of the recording, 64 hexadecimal digits.
        is_gap: True if it is `background` because it lies outside all labelled segments.
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


def clip_of(entry: Entry, content: Content, segment: Segment, source_id: str) -> Clip:
    """Return the clip for `segment` of `entry`."""
    return Clip(
        path=entry.path,
        label=segment.label,
        source_id=source_id,
        fold=entry.fold,
        onset_s=None if segment.is_whole else units.round_s(segment.onset_s),
        offset_s=None if segment.is_whole else units.round_s(segment.offset_s),
        duration_s=units.round_s(min(segment.duration_s, content.duration_s)),
        sample_rate_hz=content.sample_rate_hz,
        content_sha256=content.sha256,
        is_gap=segment.is_gap,
    )


def rng_of(clip: Clip, seed: int) -> np.random.Generator:
    """Return a random generator for `clip`, seeded by its sound and `seed`, independent of its file name."""
    # Seeds are whole numbers: 64 bits of the hash, and the onset in microseconds.
    return np.random.default_rng([seed, int(clip.content_sha256[:16], 16), round((clip.onset_s or 0) * 1e6)])


def data_sha256(clips: Iterable[Clip]) -> str:
    """Hash the content and labels of `clips`, independent of their order and file names."""
    hashes = sorted(f"{clip.content_sha256} {clip.onset_s} {clip.offset_s} {clip.label}" for clip in clips)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def examine(path: Path, channel: ChannelChoice = "mean") -> Content:
    """Read the recording at `path` to check and hash it.

    The samples are hashed, not the bytes of the file: a copy in another lossless format or with other metadata is the
    same sound.

    Raises:
        RecordingError: it cannot be read as a recording.
    """
    sha256 = hashlib.sha256()
    n_samples, low, high = 0, np.inf, -np.inf
    with open_whole_recording(path, channel=channel) as reader:
        # Block by block: hours of silence in a small compressed file must not fill the memory.
        for block in checked_blocks(reader):
            # In one byte order on every machine: the hash is stored in model cards and caches, and seeds random
            # choices.
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
    """Turns the entries of a data set into clips, and collects findings.

    Args:
        findings: collects unusable recordings, which are left out, and damaged ones.
        channel: channel to use, or the mean of all.
        use_gaps: whether the gaps of a recording with labelled segments become `background`.
        is_strict: whether damaged recordings are left out too.
    """

    def __init__(self, findings: Findings, *, channel: ChannelChoice, use_gaps: bool, is_strict: bool) -> None:
        self._findings = findings
        self._channel: ChannelChoice = channel
        self._use_gaps = use_gaps
        self._is_strict = is_strict
        self._name_by_content: dict[str, str] = {}
        self._losses: dict[LossKind, list[tuple[Path, MixLoss]]] = {}

    def clips(self, entries: Iterable[Entry], on_progress: Progress) -> Iterator[Clip]:
        """Yield the clips of `entries`; one recording is read after the other."""
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
        # Copies of a recording are one source, so that no sound is in training and test at once.
        source_id = entry.source_id or escaped(self._name_by_content.setdefault(content.sha256, entry.name))
        for segment in self._segments(entry, content.duration_s):
            yield clip_of(entry, content, segment, source_id)

    def _reason_to_skip(self, content: Content) -> str:
        """Return the reason to leave out a readable recording; empty for none."""
        if content.duration_s < SHORTEST_SEGMENT_S:
            return "too_short"
        # Before `constant`, which may hold too: exactly opposite channels mix to zeros, yet each one alone is usable.
        if content.mix_loss and content.mix_loss.is_total:
            return "cancelled"
        if content.is_constant:
            return "constant"
        return "damaged" if self._is_strict and content.warnings else ""

    def _segments(self, entry: Entry, duration_s: float) -> Iterator[Segment]:
        """Yield the segments of `entry` within its recording, and its gaps if `use_gaps` is set."""
        for segment in entry.segments:
            if segment.is_whole:
                yield segment
                continue
            if problem := beyond_end(segment.label, segment.onset_s, segment.offset_s, duration_s):
                self._findings.warn(f"{entry.path}: {problem}")
            if segment.onset_s + SHORTEST_SEGMENT_S <= duration_s and not segment.is_point:
                yield segment._replace(offset_s=min(segment.offset_s, duration_s))
        if entry.has_gaps and self._use_gaps:
            for onset_s, offset_s in gaps_between([*entry.segments, *entry.unnamed], duration_s, border_s=BORDER_S):
                if offset_s - onset_s >= MIN_BACKGROUND_S:
                    yield Segment(BACKGROUND, onset_s, offset_s, is_gap=True)
