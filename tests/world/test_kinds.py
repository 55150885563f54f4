from __future__ import annotations

import pytest

from streamgmm.world.kinds import OTHER_WORDS, kinds_named_by
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
    ],
)
def test_a_kind_that_a_label_names_is_found(label, kind):
    assert kind in kinds_named_by(label, KINDS)


@pytest.mark.parametrize("label", ["left", "7", "kitchen light on", "Müller", "bearing fault", "", "and"])
def test_other_labels_name_none(label):
    assert not kinds_named_by(label, KINDS)


def test_all_further_words_belong_to_kinds_of_the_world():
    assert set(OTHER_WORDS) <= KINDS
