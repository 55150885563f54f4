"""What users teach: a few classes with a few clips each, and the sounds that must not occur among foreign ones."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tests.benchmarks.room.sounds import Sound, corpus_of

N_TARGETS = 48
SNRS_DB = (0.0, 6.0, 12.0, 20.0)

GENRES = frozenset({"classical", "electronic", "pop", "rock"})
SAME_SOUNDS = {
    "blender": {"juicer"},
    "chopping": {"peel"},
    "flute": {"classical"},
    "violin_or_fiddle": {"classical", "rock"},
    "clarinet": {"classical"},
    "saxophone": GENRES,
    "double_bass": GENRES,
    "hi_hat": GENRES - {"classical"},
    "snare_drum": GENRES - {"classical"},
    # Digits are among the other words of Speech Commands.
    **{str(digit): {"unknown"} for digit in range(10)},
}
"""Labels of other sounds in which one who knows a label might recognise it."""


class User(NamedTuple):
    """What one user teaches.

    Attributes:
        name: of the model.
        n_clips: of each class.
        classes: (corpus, label) each; tested on other sources.
        own: (corpus, label, source) each; tested on other takes of the very same source.
        deal: another number deals other clips to training and test.
    """

    name: str
    n_clips: int
    classes: Sequence[tuple[str, str]] = ()
    own: Sequence[tuple[str, str, str]] = ()
    deal: int = 0

    @property
    def seed(self) -> str:
        """What the clips and the stream of targets depend on."""
        return f"{self.name}{self.deal or ''}"

    @property
    def kind(self) -> str:
        return "own" if self.own else "kinds"

    @property
    def labels(self) -> list[str]:
        return [one[1] for one in (*self.classes, *self.own)]


USERS = (
    User("farm", 8, [("esc10", "dog_bark"), ("esc10", "rooster")]),
    User("family", 8, [("esc10", label) for label in ("baby_cry", "person_sneeze", "dog_bark", "clock_tick")]),
    User("appliances", 5, [("kitchen", label) for label in ("blender", "dishwasher", "microwave")]),
    User("yard", 16, [("esc10", label) for label in ("chainsaw", "helicopter", "rooster", "dog_bark")]),
    User("melody", 8, [("instruments", label) for label in ("flute", "violin_or_fiddle", "saxophone")]),
    User("words", 8, own=[("fsdd", "0", "george"), ("fsdd", "3", "jackson"), ("fsdd", "7", "lucas")]),
    User(
        "band",
        5,
        own=[
            ("instruments", "hi_hat", "fs_pack_038"),
            ("instruments", "double_bass", "fs_pack_083"),
            ("instruments", "saxophone", "fs_pack_032"),
            ("instruments", "clarinet", "fs_pack_075"),
            ("instruments", "snare_drum", "fs_pack_003"),
        ],
    ),
    User(
        "things",
        5,
        own=[
            ("kitchen", "chopping", "by_laspaziale"),
            ("speech_commands", "stop", "893705bb"),
            ("instruments", "hi_hat", "fs_pack_041"),
        ],
    ),
)


class Lesson(NamedTuple):
    """The clips of a user.

    Attributes:
        trained: clips of all classes.
        tested: clips of each label that were not trained on, at random order.
    """

    user: User
    trained: list[Sound]
    tested: dict[str, list[Sound]]

    def is_foreign(self, sound: Sound) -> bool:
        """Whether the user would call a report of this sound a false alarm: neither its label nor its source is taught.

        That a label is never foreign although it is another one's dog: who teaches a dog gets what is like a dog.
        """
        return sound.label not in self.own_labels and sound.source not in {clip.source for clip in self.trained}

    @property
    def own_labels(self) -> set[str]:
        labels = set(self.user.labels)
        return labels.union(*(SAME_SOUNDS.get(label, set()) for label in labels))

    def targets(self, n_targets: int) -> list[tuple[Sound, float]]:
        """Test clips with their SNR (dB), as many of each class, in random order; no clip twice with one SNR."""
        chosen = []
        for i_class, clips in enumerate(self.tested.values()):
            n_own = min(n_targets // len(self.tested), len(clips) * len(SNRS_DB))
            rounds = [divmod(i, len(clips)) for i in range(n_own)]
            # Each time that a clip occurs again, it has the next SNR.
            chosen += [
                (clips[i_clip], SNRS_DB[(i_class + i_clip + i_round) % len(SNRS_DB)]) for i_round, i_clip in rounds
            ]
        order = seeded(self.user.seed, "targets").permutation(len(chosen))
        return [chosen[i] for i in order]


def seeded(*words: str) -> np.random.Generator:
    """A generator of random numbers that depend on `words` alone."""
    return np.random.default_rng([zlib.crc32(word.encode()) for word in words])


def make_lesson(user: User, sounds: Sequence[Sound]) -> Lesson:
    """Deal the sounds of a user's classes out to training and test, by the user's seed."""
    rng = seeded(user.seed, "clips")
    trained: list[Sound] = []
    candidates: dict[str, list[Sound]] = {}
    for corpus, label, *source in (*user.classes, *user.own):
        sources = {f"{corpus}/{name}" for name in source}
        found = [s for s in sounds if corpus_of(s) == corpus and s.label == label]
        found = [s for s in found if not sources or s.source in sources]
        found = [found[i] for i in rng.permutation(len(found))]
        trained += found[: user.n_clips] if sources else _of_many_sources(found, user.n_clips)
        candidates[label] = found
    used = set(trained) if user.own else {clip.source for clip in trained}
    return Lesson(
        user,
        trained,
        {label: [s for s in found if (s if user.own else s.source) not in used] for label, found in candidates.items()},
    )


def _of_many_sources(sounds: Sequence[Sound], n_clips: int) -> list[Sound]:
    """As many sounds of different sources, two of each where sources are few: the rest is for the test."""
    by_source: dict[str, list[Sound]] = defaultdict(list)
    for sound in sounds:
        by_source[sound.source].append(sound)
    n_each = 1 if len(by_source) >= 2 * n_clips else 2
    return [sound for own in by_source.values() for sound in own[:n_each]][:n_clips]
