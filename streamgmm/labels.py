"""The rules for labels, which apply to data sets and to models alike.

Labels reach terminals, logs, file names and message topics of other programs. So a label is plain text in one normal
form (NFC), and no two labels of a model look alike.
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
"""Labels with a special meaning: they may be trained, but never start an event."""

ANOMALY = "anomaly"
"""Label of events of sounds that fit neither a class nor the background; see `decision.anomaly`."""

LABEL_ALIASES = {"_background_noise_": BACKGROUND, "_silence_": SILENCE, "_unknown_": UNKNOWN}
"""Names of the reserved labels in Speech Commands and in data sets modelled on it."""

# Folded, with spaces in place of `_` and `-`, as `sounds_like_background` compares them.
_LIKE_BACKGROUND = frozenset(
    {
        *("ambience", "ambient", "ambient noise", "background noise", "background sound", "background sounds"),
        *("backgroundnoise", "backgrounds", "bg", "bg noise", "empty", "garbage", "negative", "negatives", "no event"),
        *("no sound", "noise", "noises", "none", "nothing", "other", "others", "quiet", "room", "silent"),
    }
)

PUNCTUATION = frozenset(" ._-")

# Letters or marks by their Unicode category, but invisible: labels that differ only by these look the same.
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0").union(
    map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0))
)


def is_reserved(label: str) -> bool:
    """Return whether `label` is reserved, and so never starts an event."""
    return label in RESERVED


def canonical_label(label: str) -> str:
    """Return the reserved label that `label` is an alias of, else `label` itself."""
    return LABEL_ALIASES.get(label, label)


def sounds_like_background(label: str) -> bool:
    """Return whether `label` is a common name of classes of background sounds, such as `noise` or `other`."""
    return _folded(label).strip(" ._-").replace("_", " ").replace("-", " ") in _LIKE_BACKGROUND


def can_be_label(text: str) -> bool:
    """Return whether `check_label` would accept `text`."""
    return not _problem(unicodedata.normalize("NFC", text))


def check_label(text: str) -> str:
    """Check a label, and return it in normal form NFC.

    A label has 1 to 64 characters: letters and digits of any script, spaces and `. _ -`. A label does not start with a
    hyphen, which command lines would parse as an option, and does not start or end with a space.

    Raises:
        DataError: `text` is not a valid label; the message shows the text escaped.
    """
    label = unicodedata.normalize("NFC", text)
    problem = _problem(label)
    if problem:
        shown = escaped(text[:MAX_LABEL_CHARACTERS])
        raise DataError(f"label '{shown}' {problem}", hint="use letters, digits, spaces and . _ -")
    return label


def nearest_label(text: str, *, otherwise: str) -> str:
    """Return `text` as a label: other characters become `_`, excess ones are cut; `otherwise` if none is left."""
    normal = unicodedata.normalize("NFC", text)
    allowed = "".join(c if _is_allowed(c) else "_" for c in normal)
    # Spaces at the end are removed last, because the cut may leave one there.
    label = allowed.lstrip(" -")[:MAX_LABEL_CHARACTERS].rstrip(" ")
    return otherwise if _problem(label) else label


def check_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Check the labels of a model, and return them in normal form, in the same order.

    Raises:
        DataError: a label is not valid, or two labels differ only by case or Unicode form.
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
    """Return why `label` is not valid, as the end of a sentence; empty if it is valid."""
    if not label:
        return "is empty"
    if len(label) > MAX_LABEL_CHARACTERS:
        return f"has {len(label)} characters, at most {MAX_LABEL_CHARACTERS} are allowed"
    # Python decodes a byte of a file name that is not UTF-8 to one of these lone surrogates (PEP 383).
    if any("\udc80" <= character <= "\udcff" for character in label):
        return "is not UTF-8; rename it, for example with `convmv -f latin1 -t utf8 --notest`"
    # All of them, so that a label is renamed once.
    if refused := [character for character in dict.fromkeys(label) if not _is_allowed(character)]:
        return f"holds {', '.join(map(_named, refused))}"
    if label[0] in " -" or label[-1] == " ":
        return "starts with a space or hyphen, or ends with a space"
    if unicodedata.category(label[0])[0] == "M":
        return "starts with a mark that belongs to a letter"
    folded = _folded(label)
    if folded in RESERVED and label != folded:
        return f"differs from the reserved '{folded}' only by case or Unicode form"
    return ""


def _named(character: str) -> str:
    return f"{unicodedata.name(character, 'a character')} (U+{ord(character):04X})"


def _is_allowed(character: str) -> bool:
    # Marks (M) are the vowels of many scripts, e.g. Devanagari; each follows its letter.
    return character in PUNCTUATION or (unicodedata.category(character)[0] in "LMN" and character not in INVISIBLE)


def _folded(label: str) -> str:
    """Return a form that is equal for labels that differ only by case or Unicode form."""
    # Normalised twice, because case folding can leave text that is not in normal form.
    # NFKC, not NFC: it also unites compatibility forms that look alike, such as full-width letters and ligatures.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
