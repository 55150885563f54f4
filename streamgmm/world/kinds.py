"""Find the kinds of the world's sounds that a label of the user's names too."""

from __future__ import annotations

import re
import unicodedata

from streamgmm.world.other_languages import WORDS

NOISE = "noise"
"""Kind of what is made and not recorded (see `training.extraction.ambiences`)."""

OTHER_WORDS: dict[str, tuple[str, ...]] = {
    "alarm": ("siren", "smoke", "buzzer"),
    "aircraft": ("plane", "airplane", "helicopter", "jet", "drone"),
    "baby": ("infant", "cry", "crying"),
    "bells": ("bell", "chime", "church"),
    "birds": ("bird", "chirp", "chirping", "crow", "song"),
    "bowed strings": ("violin", "cello", "viola", "fiddle", "contrabass"),
    "brass": ("trumpet", "trombone", "tuba"),
    "camera": ("shutter",),
    "cat": ("meow", "kitten"),
    "chainsaw": ("saw",),
    "clap and snap": ("clap", "clapping", "snap", "applause"),
    "clock": ("tick", "ticking"),
    "cough": ("coughing",),
    "cymbals and small percussion": ("cymbal", "hi", "hat", "tambourine"),
    "dog": ("bark", "barking", "puppy", "hound"),
    "door": ("creak", "slam"),
    "doorbell": ("doorbell", "ding", "dong"),
    "drums": ("drum", "snare", "kick"),
    "explosion and shot": ("explosion", "shot", "gun", "gunshot", "firework", "fireworks"),
    "farm animal": ("cow", "sheep", "pig", "hen", "chicken", "goat", "horse", "rooster", "cockerel"),
    "fire": ("crackling", "fireplace"),
    "footsteps": ("footstep", "steps", "walking"),
    "glass": ("window",),
    "guitar": ("guitar",),
    "heartbeat": ("heart",),
    "horn and whistle": ("horn", "whistle", "honk"),
    "insects": ("insect", "cricket", "bee", "mosquito", "fly"),
    "keyboard typing": ("typing", "keyboard"),
    "laughter": ("laugh", "laughing", "giggle"),
    "machine hum": ("engine", "motor", "hum", "compressor", "fan"),
    NOISE: ("static", "hiss", "white", "pink"),
    "organ and accordion": ("organ", "accordion"),
    "rain": ("rain",),
    "road vehicle": ("car", "truck", "bus", "motorcycle", "traffic"),
    "rooster": ("cockerel", "crow", "crowing"),
    "running water": ("water", "tap", "faucet", "toilet", "shower"),
    "scream": ("screaming", "shout", "yell"),
    "sea": ("waves", "ocean", "surf"),
    "singing": ("song", "choir", "singer"),
    "sneeze": ("sneezing",),
    "speech": ("voice", "talk", "talking", "word", "speaker"),
    "switch and lock": ("switch", "lock", "click", "key", "keys"),
    "telephone": ("phone", "ringtone", "ring", "ringing"),
    "thunder": ("storm", "thunderstorm"),
    "tools": ("hammer", "drill", "drilling"),
    "train": ("railway", "tram", "subway"),
    "wind": ("windy",),
    "wooden knocks": ("knock", "knocking"),
    "woodwind": ("flute", "clarinet", "saxophone", "oboe", "bassoon"),
}
"""Further words for a kind, beside those of its own name."""

_STOP_WORDS = frozenset({"and", "small", "effects"})


def kinds_named_by(label: str, kinds: frozenset[str]) -> frozenset[str]:
    """Return the members of `kinds` that share a word with `label`, as `dog` and `Dog_bark` do."""
    words = _words(label)
    return frozenset(kind for kind in kinds if words & _words_of(kind))


def _words_of(kind: str) -> set[str]:
    return _words(kind) | set(OTHER_WORDS.get(kind, ())) | set(WORDS.get(kind, ()))


def _words(text: str) -> set[str]:
    # Also the singular of each word: `bells` and `bell` are one.
    # Without accents, which many leave out of the names of folders.
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    words = set(re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain).lower())) - _STOP_WORDS
    return words | {word.removesuffix("s") for word in words if len(word) > 3}
