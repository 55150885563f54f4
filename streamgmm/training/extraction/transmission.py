"""Simulate the path of a sound to the program: the reverberation of a room and the response of a microphone."""

from __future__ import annotations

import numpy as np

from streamgmm.arrays import Float64Array, Samples

ROOM_SHARE = 0.75
"""Share of sounds in a reverberant room; others are outdoors, or close to the microphone."""

REVERBERATION_RANGE_S = (0.1, 1.0)
"""Reverberation time (RT60, decay by 60 dB): from a car over a furnished room (0.4 s) to a bare hall."""

DIRECT_RANGE_DB = (-5.0, 20.0)
"""Direct-to-reverberant ratio: from across the room to close by."""

FIRST_REFLECTION_S = 0.002
"""Delay of the first reflection: of a wall a third of a metre away."""

LOW_CUT_RANGE_HZ = (20.0, 400.0)
"""Corner of the high-pass: from a studio microphone to the small one of a telephone."""

LOW_CUT_ORDERS = (2, 10)
"""Orders of the Butterworth high-pass, equally likely: 12 dB per octave of the capsule itself, or the steep filter of a
telephone or a conference system."""

LOWEST_HIGH_CUT_HZ = 3400.0
"""Upper limit of a telephone (ITU-T G.712); other devices have theirs anywhere above."""

HIGH_CUT_SHARE = 0.5
"""Share of microphones, converters and codecs whose band ends below half the sample rate."""

HIGH_CUT_ORDER = 20
"""Order of the Butterworth low-pass, 120 dB per octave: converters and codecs are steep."""

TILT_RANGE_DB = (-2.0, 2.0)
RIPPLE_DB = 3.0
"""Response between the cuts: its slope per octave, and the standard deviation of each octave from that slope."""

MICROPHONE_S = 0.1
"""Time in which the impulse response of the steepest microphone decays."""

N_GAINS = 2049
"""Frequencies at which a response is computed; those between are interpolated, which takes a third of the time."""

LOWEST_RESPONSE_HZ = 20.0
REFERENCE_HZ = 1000.0


def transmitted(samples: Samples, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """Return the samples as another microphone picks them up, mostly in another room.

    Random rooms train a recogniser as well as measured ones (Ko et al., ICASSP, 2017).

    Args:
        samples: shape (n,).
        sample_rate_hz: of the samples.
        rng: draws the room and the microphone.

    Returns:
        shape (n,), float32: the reverberation after the end is cut off.
    """
    from scipy.fft import irfft, next_fast_len, rfft  # imported here: worker processes without copies start sooner

    room = _drawn_room(sample_rate_hz, rng).astype(np.float32)
    n_response = max(len(room), round(MICROPHONE_S * sample_rate_hz))
    # Padded by the length of the response, so that the circular convolution does not wrap the end to the start.
    n_padded = next_fast_len(len(samples) + n_response, real=True)
    grid_hz = np.linspace(0.0, sample_rate_hz / 2, N_GAINS)
    frequencies_hz = np.fft.rfftfreq(n_padded, 1.0 / sample_rate_hz)
    gains = np.interp(frequencies_hz, grid_hz, microphone_gains(grid_hz, rng)).astype(np.float32)
    # As if the first sample had always been there: an offset that began with the clip would be a click.
    offset = samples[0] if len(samples) else np.float32(0.0)
    transfer = rfft(room, n_padded) * gains
    # A constant passes the filter with its gain at 0 Hz, so the offset is added again with that gain.
    heard = irfft(rfft(samples - offset, n_padded) * transfer, n_padded)[: len(samples)] + offset * transfer[0].real
    return np.asarray(heard, dtype=np.float32)


def _drawn_room(sample_rate_hz: int, rng: np.random.Generator) -> Float64Array:
    """Draw the impulse response of a room, shape (n,); a single impulse where there is no room."""
    if rng.uniform() >= ROOM_SHARE:
        return np.ones(1)
    reverberation_s, direct_db = _between(rng, REVERBERATION_RANGE_S), rng.uniform(*DIRECT_RANGE_DB)
    return room_response(reverberation_s, direct_db, sample_rate_hz, rng)


def room_response(
    reverberation_s: float, direct_db: float, sample_rate_hz: int, rng: np.random.Generator
) -> Float64Array:
    """Return the impulse response of a room: direct sound, then decaying noise (Moorer, Computer Music Journal, 1979).

    Args:
        reverberation_s: time in which the reverberation decays by 60 dB.
        direct_db: level of the direct sound, an impulse of 1, relative to the whole reverberation.
        sample_rate_hz: of the response.
        rng: draws the noise.

    Returns:
        shape (n,), n >= 1, float64.
    """
    times_s = np.arange(max(1, round(reverberation_s * sample_rate_hz))) / sample_rate_hz
    # A decay by 60 dB is a factor of 10**-3 in amplitude.
    response = rng.standard_normal(len(times_s)) * 10.0 ** (-3.0 * times_s / reverberation_s)
    response[times_s < FIRST_REFLECTION_S] = 0.0
    energy = float(np.sum(response**2))
    # A response shorter than the first reflection has no energy to scale.
    if energy > 0.0:
        response *= 10.0 ** (-direct_db / 20.0) / np.sqrt(energy)
    response[0] = 1.0
    return np.asarray(response)


def microphone_gains(frequencies_hz: Float64Array, rng: np.random.Generator) -> Float64Array:
    """Draw the gains of a microphone by frequency; phases are left unchanged.

    Args:
        frequencies_hz: shape (n,), ascending, from 0 to half the sample rate.
        rng: draws the microphone.

    Returns:
        shape (n,), amplitudes of at least 0.
    """
    # Octaves above 1 kHz; constant below 20 Hz, as the logarithm has no limit towards 0.
    octaves = np.log2(np.maximum(frequencies_hz, LOWEST_RESPONSE_HZ) / REFERENCE_HZ)
    # One random value per octave, interpolated: the response is smooth, as that of a real capsule.
    knots = np.arange(octaves[0], octaves[-1] + 1.0)
    ripple_db = np.interp(octaves, knots, rng.normal(0.0, RIPPLE_DB, len(knots)))
    low_cut_hz = _between(rng, LOW_CUT_RANGE_HZ)
    gains = 10.0 ** ((ripple_db + rng.uniform(*TILT_RANGE_DB) * octaves) / 20.0)
    # Magnitude of a Butterworth high-pass of order n: 1 / sqrt(1 + (f_c / f)**2n); 0 Hz would divide by zero. The
    # low-pass below has f / f_c in its place.
    gains /= np.sqrt(1.0 + (low_cut_hz / np.maximum(frequencies_hz, 1.0)) ** (2 * rng.choice(LOW_CUT_ORDERS)))
    nyquist_hz = float(frequencies_hz[-1])
    has_high_cut = rng.uniform() < HIGH_CUT_SHARE
    if has_high_cut and nyquist_hz > LOWEST_HIGH_CUT_HZ:
        high_cut_hz = _between(rng, (LOWEST_HIGH_CUT_HZ, nyquist_hz))
        gains /= np.sqrt(1.0 + (frequencies_hz / high_cut_hz) ** (2 * HIGH_CUT_ORDER))
    return np.asarray(gains)


def _between(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """Draw a value between two ends from the log-uniform distribution."""
    return float(np.exp(rng.uniform(*np.log(ends))))
