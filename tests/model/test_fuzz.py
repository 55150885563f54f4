"""Damage of every kind: a file is refused with one line, or it is exactly what the reference reader sees."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load

from streamgmm.model.model_error import ModelError
from streamgmm.model.reader import parse_model
from tests.model.model_rig import array_of, assemble, content_of, header_of, header_text, rehash
from tests.mutation import mutated


def is_refused(data: bytes) -> bool:
    try:
        parse_model(data, "fuzz")
    except ModelError:
        return True
    return False


def test_D1_every_truncation_is_refused_with_a_place(tiny_data: bytes) -> None:
    for length in range(len(tiny_data)):
        with pytest.raises(ModelError) as caught:
            parse_model(tiny_data[:length], "fuzz")
        assert caught.value.reason == "truncated"
        assert caught.value.offset == length


def test_D2_every_single_flipped_bit_is_refused(tiny_data: bytes) -> None:
    damaged = bytearray(tiny_data)
    for place in range(len(damaged)):
        for bit in range(8):
            damaged[place] ^= 1 << bit
            assert is_refused(bytes(damaged)), (place, bit)
            damaged[place] ^= 1 << bit
    assert not is_refused(bytes(damaged))


def test_D2_D5_mutants_with_a_right_hash_raise_nothing_but_a_refusal(tiny_data: bytes) -> None:
    rng = random.Random(1)
    n_accepted = 0
    for _ in range(20_000):
        mutant = mutated(tiny_data, rng)
        n_accepted += not is_refused(rehash(mutant) if rng.random() < 0.8 else mutant)
    # Numbers that no self-test sees (floors, priors, the card) may change under a right hash.
    assert 0 < n_accepted < 2_000


def test_D7_numbers_of_any_bits_under_a_right_hash_never_make_a_score_that_is_not_finite(tiny_data: bytes) -> None:
    rng = random.Random(2)
    n_header = len(tiny_data) - len(content_of(tiny_data))
    n_floats = header_of(tiny_data)["decision"]["data_offsets"][0] // 8
    for _ in range(3_000):
        mutant = bytearray(tiny_data)
        place = n_header + 8 * rng.randrange(n_floats)
        mutant[place : place + 8] = rng.choice([rng.randbytes(8), mutant[place : place + 7] + rng.randbytes(1)])
        try:
            model = parse_model(rehash(bytes(mutant)), "fuzz")
        except ModelError:
            continue
        assert np.isfinite(model.classifier.score(model.classifier.projection.mean).log_likelihoods).all()


def header_mutants(data: bytes, rng: random.Random) -> list[bytes]:
    """Files whose header is JSON, but tells something else about the arrays."""
    mutants = []
    for _ in range(1_500):
        header = header_of(data)
        names = [name for name in header if name != "__metadata__"]
        entry = header[rng.choice(names)]
        match rng.randrange(5):
            case 0:
                entry["data_offsets"][rng.randrange(2)] += rng.choice([-8, -1, 1, 8, 2**40])
            case 1:
                entry["shape"][rng.randrange(len(entry["shape"]))] = rng.choice([0, 1, 2, 7, 2**33])
            case 2:
                entry["dtype"] = rng.choice(["F32", "F64", "U8", "I64", "F16", "?"])
            case 3:
                one, other = rng.sample(names, 2)
                header[one], header[other] = header[other], header[one]
            case _:
                header[rng.choice("abc")] = header.pop(rng.choice(names))
        mutants.append(assemble(header_text(header), content_of(data)))
    return mutants


def test_D5_whatever_the_reference_reader_refuses_is_refused_and_what_is_accepted_it_reads_alike(
    tiny_data: bytes,
) -> None:
    rng = random.Random(3)
    mutants = header_mutants(tiny_data, rng) + [rehash(mutated(tiny_data, rng)) for _ in range(1_500)]
    n_reference_accepts = n_accepted = 0
    for mutant in [tiny_data, *mutants]:
        is_accepted = not is_refused(mutant)
        try:
            arrays = load(mutant)
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError):
            assert not is_accepted
            continue
        n_reference_accepts += 1
        n_accepted += is_accepted
        for name in arrays if is_accepted else ():
            if arrays[name].dtype == np.float64:
                np.testing.assert_array_equal(arrays[name], array_of(mutant, name))
    assert 1 <= n_accepted < n_reference_accepts < len(mutants)


def test_the_reference_reader_opens_a_model(data: bytes) -> None:
    arrays = load(data)
    model = parse_model(data, "x")
    classifier = model.classifier
    np.testing.assert_array_equal(arrays["means"], np.concatenate([m.means for m in classifier.all_mixtures]))
    np.testing.assert_array_equal(arrays["projection.matrix"], classifier.projection.matrix)
    np.testing.assert_array_equal(arrays["floors"], classifier.floors)
    assert json.loads(arrays["card"].tobytes()) == model.card
