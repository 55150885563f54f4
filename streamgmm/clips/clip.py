"""A clip on its way from the worker to the disk: shared pieces of audio, and what is known of the sound."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm import units
from streamgmm.arrays import Samples
from streamgmm.audio.encoding import encode_16_bit
from streamgmm.clips.info import ClipInfo
from streamgmm.clips.naming import ClipKind, folder_of, stem_of
from streamgmm.records import End, ModelInfo


class Piece(NamedTuple):
    """Samples, float32, shape (n,), and the stream position of the first."""

    start_sample: int
    samples: Samples

    @property
    def end_sample(self) -> int:
        """Stream position just after the last sample."""
        return self.start_sample + len(self.samples)


class Clip(NamedTuple):
    """One clip to be written.

    Attributes:
        kind: reason of the clip.
        record: what is known of the sound, with time and source.
        pieces: its audio, shared with other clips, in ascending order; lost audio between them becomes silence.
        begin_sample: stream position of its first sample.
        end_sample: stream position after its last sample.
        sample_rate_hz: rate of the samples.
        model: the model that decided.
    """

    kind: ClipKind
    record: End
    pieces: tuple[Piece, ...]
    begin_sample: int
    end_sample: int
    sample_rate_hz: int
    model: ModelInfo

    @property
    def folder(self) -> str:
        """Folder, relative to the directory of all clips."""
        return folder_of(self.kind, self.record.label)

    @property
    def stem(self) -> str:
        """Name without suffix."""
        return stem_of(self.record)

    def samples(self) -> Samples:
        """Return the audio, float32, shape (end_sample - begin_sample,)."""
        audio = np.zeros(self.end_sample - self.begin_sample, np.float32)
        for start_sample, samples in self.pieces:
            begin = max(start_sample, self.begin_sample)
            end = min(start_sample + len(samples), self.end_sample)
            if begin < end:
                audio[begin - self.begin_sample : end - self.begin_sample] = samples[
                    begin - start_sample : end - start_sample
                ]
        return audio

    def encode(self) -> bytes:
        """Return the audio as FLAC of 16 bits."""
        return encode_16_bit(self.samples(), self.sample_rate_hz, "flac")

    def describe(self) -> bytes:
        """Return the JSON file beside the clip."""
        record, begin_s = self.record, self.begin_sample / self.sample_rate_hz
        info = ClipInfo(
            kind=self.kind,
            label=record.label,
            sample_rate_hz=self.sample_rate_hz,
            onset_s=units.round_s(record.start_t - begin_s),
            offset_s=units.round_s(record.end_t - begin_s),
            duration_s=units.samples_to_seconds(self.end_sample - self.begin_sample, self.sample_rate_hz),
            model=self.model,
            record=record,
        )
        return msgspec.json.encode(info) + b"\n"


class RecentAudio:
    """The latest audio of a stream, as the pieces in which it came; nothing is copied.

    Attributes:
        capacity_samples: audio to keep, at least; older pieces are dropped.
    """

    def __init__(self) -> None:
        self.capacity_samples = 0
        self._pieces: deque[Piece] = deque()

    def append(self, piece: Piece) -> None:
        """Add the piece that follows."""
        self._pieces.append(piece)
        oldest_sample = piece.end_sample - self.capacity_samples
        while self._pieces[0].end_sample <= oldest_sample:
            self._pieces.popleft()

    def clear(self) -> None:
        """Drop everything, as after a loss: a clip does not begin before one."""
        self._pieces.clear()

    def since(self, begin_sample: int) -> list[Piece]:
        """Return the pieces that end after `begin_sample`, oldest first."""
        return [piece for piece in self._pieces if piece.end_sample > begin_sample]


class Draft:
    """A clip whose sound is still going on.

    Args:
        begin_sample: wanted stream position of the first sample; later if no earlier audio is there.
        max_samples: longest clip.
        pieces: audio so far.
    """

    def __init__(self, begin_sample: int, max_samples: int, pieces: Iterable[Piece]) -> None:
        self._pieces = list(pieces)
        first_sample = self._pieces[0].start_sample if self._pieces else begin_sample
        self.begin_sample = max(begin_sample, first_sample)
        self._limit_sample = self.begin_sample + max_samples

    def add(self, piece: Piece) -> None:
        """Add the piece that follows, unless the clip is as long as it may be."""
        if piece.start_sample < self._limit_sample:
            self._pieces.append(piece)

    def finish(
        self, kind: ClipKind, record: End, end_sample: int, sample_rate_hz: int, model: ModelInfo
    ) -> Clip | None:
        """Return the clip up to `end_sample` or what came before; None if there is no audio."""
        available_sample = self._pieces[-1].end_sample if self._pieces else 0
        end_sample = min(end_sample, available_sample, self._limit_sample)
        if end_sample <= self.begin_sample:
            return None
        return Clip(kind, record, tuple(self._pieces), self.begin_sample, end_sample, sample_rate_hz, model)
