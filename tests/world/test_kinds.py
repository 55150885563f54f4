from __future__ import annotations

import pytest

from streamgmm.world.kinds import NOISE, OTHER_WORDS, kinds_named_by
from streamgmm.world.other_languages import WORDS
from streamgmm.world.world import read_index

KINDS = frozenset(sound.kind for sound in read_index().sounds)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("dog", "dog"),
        ("Dog_bark", "dog"),
        ("barking dogs", "dog"),
        ("doorBell", "bells"),
        ("my-doorbell-2", "doorbell"),
        ("kettle whistle", "horn and whistle"),
        ("baby_cry", "baby"),
        ("violin_or_fiddle", "bowed strings"),
        ("ENGINE", "machine hum"),
        ("phone ring", "telephone"),
        ("Hundegebell", "dog"),
        ("T\N{LATIN SMALL LETTER U WITH DIAERESIS}rklingel", "doorbell"),
        ("Tu\N{COMBINING DIAERESIS}rklingel", "doorbell"),
        ("tuerklingel_unten", "doorbell"),
        ("pleurs de b\N{LATIN SMALL LETTER E WITH ACUTE}b\N{LATIN SMALL LETTER E WITH ACUTE}", "baby"),
        ("ladrido-perro", "dog"),
        ("campainha", "doorbell"),
        ("cane che abbaia", "dog"),
        ("haan", "rooster"),
    ],
)
def test_a_kind_that_a_label_names_is_found(label, kind):
    assert kind in kinds_named_by(label, KINDS)


@pytest.mark.parametrize("label", ["left", "7", "kitchen light on", "Müller", "bearing fault", "", "and"])
def test_other_labels_name_none(label):
    assert not kinds_named_by(label, KINDS)


@pytest.mark.parametrize("label", ["white noise", "static", "Hiss", "Rauschen", "bruit_blanc"])
def test_noise_is_a_kind_although_no_recording_holds_it(label):
    assert NOISE in kinds_named_by(label, KINDS | {NOISE})


def test_all_further_words_belong_to_kinds_of_the_world():
    assert set(OTHER_WORDS) <= KINDS | {NOISE}
    assert set(WORDS) <= KINDS | {NOISE}


def test_words_of_other_languages_are_plain_and_name_no_other_kind_in_english():
    english = {word: kind for kind in KINDS for word in kind.split()}
    english |= {word: kind for kind, words in OTHER_WORDS.items() for word in words}
    for kind, words in WORDS.items():
        assert len(set(words)) == len(words)
        for word in words:
            assert word.isascii()
            assert word == word.lower()
            assert english.get(word, kind) == kind, word
