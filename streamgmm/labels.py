"""Which texts may be labels: the same rules where a folder is trained and where a model is read.

A label reaches terminals, logs, file names and topics of other programs, so it is plain text in
one normal form (NFC), and no two labels of a model look alike.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from streamgmm.errors import DataError
from streamgmm.wording import escaped

MAX_LABEL_CHARACTERS = 64

BACKGROUND = "background"
UNKNOWN = "unknown"
SILENCE = "silence"
RESERVED = frozenset({BACKGROUND, UNKNOWN, SILENCE})
"""Labels with a meaning of their own: they may be trained, but never open an event."""

LABEL_ALIASES = {"_background_noise_": BACKGROUND, "_silence_": SILENCE, "_unknown_": UNKNOWN}
"""Names of Speech Commands, and of what was made after it, for the reserved labels."""

_LIKE_BACKGROUND = frozenset(
    {
        *("ambience", "ambient", "ambient noise", "background noise", "background sound", "background sounds"),
        *("backgroundnoise", "backgrounds", "bg", "bg noise", "empty", "garbage", "negative", "negatives", "no event"),
        *("no sound", "noise", "noises", "none", "nothing", "other", "others", "quiet", "room", "silent"),
    }
)

PUNCTUATION = frozenset(" ._-")

# Unicode calls these letters or marks, yet they draw nothing: two labels could look the same.
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0").union(
    map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0))
)


def is_reserved(label: str) -> bool:
    """Whether `label` never opens an event."""
    return label in RESERVED


def canonical_label(label: str) -> str:
    """The reserved label that `label` is another name of, or `label` itself."""
    return LABEL_ALIASES.get(label, label)


def sounds_like_background(label: str) -> bool:
    """Whether people who call a class `label` may mean what is to be ignored."""
    return _folded(label).strip(" ._-").replace("_", " ").replace("-", " ") in _LIKE_BACKGROUND


def can_be_label(text: str) -> bool:
    """Whether `check_label` would accept `text`."""
    return not _problem(unicodedata.normalize("NFC", text))


def check_label(text: str) -> str:
    """The label that `text` stands for, in normal form NFC.

    Allowed are 1 to 64 letters and digits of any script, spaces and `. _ -`; no hyphen at the start
    (command lines would take it for an option), no space at either end.

    Raises:
        DataError: `text` cannot be a label; the message shows it escaped.
    """
    label = unicodedata.normalize("NFC", text)
    problem = _problem(label)
    if problem:
        shown = escaped(text[:MAX_LABEL_CHARACTERS])
        raise DataError(f"label '{shown}' {problem}", hint="use letters, digits, spaces and . _ -")
    return label


def nearest_label(text: str, *, otherwise: str) -> str:
    """`text` with `_` for every character that no label may hold, cut to length; `otherwise` if that is none."""
    normal = unicodedata.normalize("NFC", text)
    allowed = "".join(c if _is_allowed(c) else "_" for c in normal)
    label = allowed.lstrip(" -")[:MAX_LABEL_CHARACTERS].rstrip(" ")
    return otherwise if _problem(label) else label


def check_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """All labels of one model in normal form, in the order given.

    Raises:
        DataError: one of them cannot be a label, or two differ only by case or Unicode form.
    """
    seen: dict[str, str] = {}
    for text in labels:
        label = check_label(text)
        folded = _folded(label)
        if folded in seen:
            what = f"labels '{seen[folded]}' and '{label}' differ only by case or Unicode form"
            raise DataError(what, hint="merge them or rename one")
        seen[folded] = label
    return tuple(seen.values())


def _problem(label: str) -> str:
    """What keeps `label` from being one, as the rest of a sentence; empty if nothing does."""
    if not label:
        return "is empty"
    if len(label) > MAX_LABEL_CHARACTERS:
        return f"has {len(label)} characters, at most {MAX_LABEL_CHARACTERS} are allowed"
    for character in label:
        if "\udc80" <= character <= "\udcff":
            return "is not UTF-8; rename it, for example with `convmv -f latin1 -t utf8 --notest`"
        if not _is_allowed(character):
            return f"holds {unicodedata.name(character, 'a character')} (U+{ord(character):04X})"
    if label[0] in " -" or label[-1] == " ":
        return "starts with a space or hyphen, or ends with a space"
    if unicodedata.category(label[0])[0] == "M":
        return "starts with a mark that belongs to a letter"
    folded = _folded(label)
    if folded in RESERVED and label != folded:
        return f"differs from the reserved '{folded}' only by case or Unicode form"
    return ""


def _is_allowed(character: str) -> bool:
    # Marks (M) are the vowels of many scripts, e.g. Devanagari; they follow the letter they belong to.
    return character in PUNCTUATION or (unicodedata.category(character)[0] in "LMN" and character not in INVISIBLE)


def _folded(label: str) -> str:
    """What labels that look alike have in common."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
