"""Damage done to bytes at random, for tests of what reads bytes that nobody vouches for."""

from __future__ import annotations

import random

TELLING_BYTES = b'\x00\xff{}[]",:0129-eE\\u'
"""Bytes that mean something to readers of JSON, YAML and binary headers."""


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes overwritten, inserted, removed or repeated anywhere."""
    mutant = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place, length = rng.randrange(len(mutant)), rng.randint(1, 16)
        match rng.randrange(4):
            case 0:
                mutant[place] = rng.choice(TELLING_BYTES + bytes([rng.randrange(256)]))
            case 1:
                mutant[place:place] = rng.randbytes(length)
            case 2 if len(mutant) > 64:
                del mutant[place : place + length]
            case _:
                mutant[place:place] = mutant[place : place + length]
    return bytes(mutant)
