"""How a sound reaches a program: a room answers it, and a microphone colours it."""

from __future__ import annotations

import numpy as np

from streamgmm.arrays import Float64Array, Samples

ROOM_SHARE = 0.75
"""How many sounds are heard in a room that answers; others are outdoors, or close by."""

REVERBERATION_RANGE_S = (0.1, 1.0)
"""Time in which the answer of a room falls by 60 dB: from a car over a furnished room (0.4 s) to a bare hall."""

DIRECT_RANGE_DB = (-5.0, 20.0)
"""Level of the direct sound over that of the answer: from across the room to close by."""

FIRST_ANSWER_S = 0.002
"""Of a wall a third of a metre away."""

LOW_CUT_RANGE_HZ = (20.0, 400.0)
"""Below it the response falls: from a studio's microphone to the small one of a telephone."""

LOW_CUT_ORDERS = (2, 10)
"""Of a Butterworth filter, one as likely as the other: 12 dB per octave of the capsule itself, or the steep filter of a
telephone or a conference system."""

LOWEST_HIGH_CUT_HZ = 3400.0
"""Where a telephone ends (ITU-T G.712); others end anywhere above."""

HIGH_CUT_SHARE = 0.5
"""How many microphones, converters and codecs end below half the sample rate."""

HIGH_CUT_ORDER = 20
"""Of a Butterworth filter, 120 dB per octave: converters and codecs are steep."""

TILT_RANGE_DB = (-2.0, 2.0)
RIPPLE_DB = 3.0
"""Of the response between these cuts: its slope per octave, and the standard deviation of each octave from it."""

MICROPHONE_S = 0.1
"""Within it the answer of the steepest microphone has died away."""

N_GAINS = 2049
"""Frequencies at which a response is drawn; those between are interpolated, in a third of the time."""

LOWEST_HZ = 20.0
REFERENCE_HZ = 1000.0


def transmitted(samples: Samples, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """The samples as they are heard through another microphone, mostly in another room.

    Rooms drawn at random serve a recogniser as well as measured ones (Ko et al., ICASSP, 2017).

    Args:
        samples: shape (n,).
        sample_rate_hz: theirs.
        rng: draws the room and the microphone.

    Returns:
        shape (n,): what the room answers after the end is cut off.
    """
    from scipy.fft import irfft, next_fast_len, rfft  # here, as processes that need no copies begin sooner without it

    room = _drawn_room(sample_rate_hz, rng).astype(np.float32)
    n_answer = max(len(room), round(MICROPHONE_S * sample_rate_hz))
    n_padded = next_fast_len(len(samples) + n_answer, real=True)
    grid_hz = np.linspace(0.0, sample_rate_hz / 2, N_GAINS)
    frequencies_hz = np.fft.rfftfreq(n_padded, 1.0 / sample_rate_hz)
    gains = np.interp(frequencies_hz, grid_hz, microphone_gains(grid_hz, rng)).astype(np.float32)
    # As if the first sample had always been: an offset that began with the clip would be a click.
    offset = samples[0] if len(samples) else np.float32(0.0)
    answer = rfft(room, n_padded) * gains
    heard = irfft(rfft(samples - offset, n_padded) * answer, n_padded)[: len(samples)] + offset * answer[0].real
    return np.asarray(heard, dtype=np.float32)


def _drawn_room(sample_rate_hz: int, rng: np.random.Generator) -> Float64Array:
    """Impulse response, shape (n,); an impulse alone where no room answers."""
    if rng.uniform() >= ROOM_SHARE:
        return np.ones(1)
    reverberation_s, direct_db = _between(rng, REVERBERATION_RANGE_S), rng.uniform(*DIRECT_RANGE_DB)
    return room_response(reverberation_s, direct_db, sample_rate_hz, rng)


def room_response(
    reverberation_s: float, direct_db: float, sample_rate_hz: int, rng: np.random.Generator
) -> Float64Array:
    """Impulse response of a room: the direct sound, then noise that dies away (Moorer, Computer Music Journal, 1979).

    Args:
        reverberation_s: until the answer has fallen by 60 dB.
        direct_db: level of the direct sound, an impulse of 1, over all of the answer.
        sample_rate_hz: of the response.
        rng: draws the answer.

    Returns:
        shape (n,), n >= 1, float64.
    """
    times_s = np.arange(max(1, round(reverberation_s * sample_rate_hz))) / sample_rate_hz
    response = rng.standard_normal(len(times_s)) * 10.0 ** (-3.0 * times_s / reverberation_s)
    response[times_s < FIRST_ANSWER_S] = 0.0
    energy = float(np.sum(response**2))
    if energy > 0.0:
        response *= 10.0 ** (-direct_db / 20.0) / np.sqrt(energy)
    response[0] = 1.0
    return np.asarray(response)


def microphone_gains(frequencies_hz: Float64Array, rng: np.random.Generator) -> Float64Array:
    """Gains of a microphone drawn at random, by frequency; its phase is left as it is.

    Args:
        frequencies_hz: shape (n,), ascending, from 0 to half the sample rate.
        rng: draws it.

    Returns:
        shape (n,), amplitudes of at least 0.
    """
    octaves = np.log2(np.maximum(frequencies_hz, LOWEST_HZ) / REFERENCE_HZ)
    knots = np.arange(octaves[0], octaves[-1] + 1.0)
    ripple_db = np.interp(octaves, knots, rng.normal(0.0, RIPPLE_DB, len(knots)))
    low_cut_hz = _between(rng, LOW_CUT_RANGE_HZ)
    gains = 10.0 ** ((ripple_db + rng.uniform(*TILT_RANGE_DB) * octaves) / 20.0)
    gains /= np.sqrt(1.0 + (low_cut_hz / np.maximum(frequencies_hz, 1.0)) ** (2 * rng.choice(LOW_CUT_ORDERS)))
    nyquist_hz = float(frequencies_hz[-1])
    has_high_cut = rng.uniform() < HIGH_CUT_SHARE
    if has_high_cut and nyquist_hz > LOWEST_HIGH_CUT_HZ:
        high_cut_hz = _between(rng, (LOWEST_HIGH_CUT_HZ, nyquist_hz))
        gains /= np.sqrt(1.0 + (frequencies_hz / high_cut_hz) ** (2 * HIGH_CUT_ORDER))
    return np.asarray(gains)


def _between(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """Anywhere between two ends, all ratios being as likely."""
    return float(np.exp(rng.uniform(*np.log(ends))))
