"""Ten everyday sounds, synthesised from simple physical models.

Each function takes a random generator and a sample rate and returns one specimen: float32, shape (n,), one
to three seconds, peak 0.9, beginning at its first sample. Pitch, tempo, timbre and number vary as they do
among real doors, phones and birds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streamgmm import units
from streamgmm.arrays import Float64Array, Samples
from streamgmm.demo.synthesis import band_noise, faded, harmonics, placed, struck_body, time_axis_s, wandering
from streamgmm.errors import UsageError

Sound = Callable[[np.random.Generator, int], Samples]

LOWEST_RATE_HZ = 8000
DOOR_RATIOS = (1.0, 1.83, 2.76, 4.1, 6.2)
"""Modes of a wooden panel, not measured: inharmonic, and closer together than a bar's."""
BAR_RATIOS = (1.0, 2.76, 5.40)
"""Transverse modes of a free bar (Fletcher and Rossing, The Physics of Musical Instruments, 2.15)."""
GONG_RATIOS = (1.0, 2.4, 3.9)
"""The first modes of a small cup-shaped gong, not measured."""


def smoke_alarm(rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return three beeps of a piezo disc near 3 kHz, in the temporal-three pattern of ISO 8201."""
    beep_s = 0.5 * rng.uniform(0.85, 1.1)
    pitch_hz = rng.uniform(2850.0, 3350.0)
    overtone = rng.uniform(0.05, 0.3)

    def beep() -> Float64Array:
        frequencies_hz = np.full(units.seconds_to_samples(beep_s, sample_rate_hz), pitch_hz)
        return faded(harmonics(frequencies_hz, (1.0, overtone), sample_rate_hz), 0.004, 0.01, sample_rate_hz)

    # Beeps and pauses are equally long.
    return _specimen(placed([(2 * i * beep_s, beep()) for i in range(3)], sample_rate_hz))


def siren(rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return an emergency vehicle: a horn on two tones a fourth apart, or an electronic wail between two pitches."""
    times_s = time_axis_s(rng.uniform(2.2, 3.0), sample_rate_hz)
    # Position within the cycle, 0 to 1, beginning anywhere.
    cycle = (times_s * rng.uniform(0.6, 1.2) + rng.random()) % 1.0
    low_hz = rng.uniform(400.0, 520.0)
    if rng.random() < 0.5:
        frequencies_hz = np.where(cycle < 0.5, low_hz, low_hz * 4 / 3)
    else:
        wail = np.minimum(cycle / 0.45, (1.0 - cycle) / 0.55)  # up a little faster than down
        frequencies_hz = 1.3 * low_hz * rng.uniform(2.0, 2.6) ** wail
    weights = rng.uniform(0.4, 1.0) ** np.arange(6) * (1.0, 0.6, 0.8, 0.4, 0.4, 0.3)
    return _specimen(faded(harmonics(frequencies_hz, weights.tolist(), sample_rate_hz), 0.05, 0.1, sample_rate_hz))


def knocking(rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return knuckles on a wooden door: short dull modes with a click in front, a few in a row."""
    modes_hz = rng.uniform(120.0, 240.0) * np.array(DOOR_RATIOS) * rng.uniform(0.95, 1.05, len(DOOR_RATIOS))
    # Wood damps its higher modes more, so they decay faster.
    decays_s = rng.uniform(0.025, 0.05) / np.sqrt(DOOR_RATIOS)
    onsets_s = _regular_onsets_s(rng, int(rng.integers(5, 9)), rng.uniform(0.2, 0.32), jitter=0.12)

    def knock() -> Float64Array:
        body = struck_body(_jittered(rng, modes_hz, 0.02), decays_s.tolist(), sample_rate_hz)
        click = 0.25 * _burst(rng, 800.0, 4000.0, 0.003, sample_rate_hz)
        return rng.uniform(0.6, 1.0) * placed([(0.0, body), (0.0, click)], sample_rate_hz)

    return _specimen(placed([(onset_s, knock()) for onset_s in onsets_s], sample_rate_hz))


def engine(rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return an engine: many harmonics of its firing rate, uneven cylinders, and noise that pulses with them."""
    times_s = time_axis_s(rng.uniform(2.0, 3.0), sample_rate_hz)
    drift = 1.0 + 0.03 * wandering(rng, len(times_s), 3.0, sample_rate_hz)
    firing_hz = rng.uniform(28.0, 75.0) * drift * np.linspace(1.0, rng.uniform(0.85, 1.25), len(times_s))
    orders = np.arange(1, 25)
    # The exhaust amplifies harmonics near its resonance at 120 to 300 Hz.
    exhaust = np.exp(-0.5 * ((orders * firing_hz[0] - rng.uniform(120.0, 300.0)) / 150.0) ** 2)
    weights = (exhaust + 0.3 / orders) * rng.uniform(0.5, 1.0, len(orders))
    # Four cylinders that differ a little: the pattern repeats after four firings.
    unevenness = 1.0 + rng.uniform(0.15, 0.5) * harmonics(firing_hz / 4, (1.0, 0.5), sample_rate_hz)
    pulse = np.maximum(0.0, harmonics(firing_hz, (1.0,), sample_rate_hz)) ** 2
    clatter = rng.uniform(0.2, 0.6) * pulse * band_noise(rng, len(times_s), 400.0, 3000.0, sample_rate_hz)
    tone = harmonics(firing_hz, weights.tolist(), sample_rate_hz)
    return _specimen(faded(unevenness * (tone + clatter), 0.08, 0.15, sample_rate_hz))


def running_water(rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return a tap: hiss, and bubbles that ring with rising pitch as they near the surface (Minnaert, 1933)."""
    duration_s = rng.uniform(2.0, 3.0)
    n_samples = units.seconds_to_samples(duration_s, sample_rate_hz)
    hiss = band_noise(rng, n_samples, rng.uniform(400.0, 900.0), rng.uniform(4000.0, 7000.0), sample_rate_hz)
    flow = 1.0 + 0.15 * wandering(rng, n_samples, 8.0, sample_rate_hz)

    def bubble() -> Float64Array:
        decay_s = rng.uniform(0.004, 0.018)
        times_s = time_axis_s(5 * decay_s, sample_rate_hz)
        # The phase grows faster than linearly, so the pitch rises.
        cycles = rng.uniform(450.0, 2600.0) * times_s * (1.0 + rng.uniform(0.03, 0.15) * times_s / decay_s)
        return rng.exponential(1.0) * np.exp(-times_s / decay_s) * np.sin(2 * np.pi * cycles)

    n_bubbles = int(rng.uniform(50.0, 130.0) * duration_s)
    # The longest bubble lasts 5 x 18 ms, so that none ends after the stream.
    bubbles = placed([(onset_s, bubble()) for onset_s in rng.uniform(0.0, duration_s - 0.1, n_bubbles)], sample_rate_hz)
    stream = placed([(0.0, rng.uniform(0.25, 0.5) * flow * hiss), (0.0, bubbles)], sample_rate_hz)
    return _specimen(faded(stream, 0.1, 0.15, sample_rate_hz))


def phone_ring(rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return an old telephone: a clapper that strikes two small gongs in turn, some 20 times a second in all."""
    ring_s = rng.uniform(1.2, 2.2)
    beat_s = 1.0 / rng.uniform(18.0, 25.0)
    first_hz = rng.uniform(850.0, 1250.0)
    # Computed once: the strikes of a gong differ in strength only.
    gongs = [
        struck_body([ratio * pitch_hz for ratio in GONG_RATIOS], (0.08, 0.05, 0.03), sample_rate_hz)
        for pitch_hz in (first_hz, first_hz * rng.uniform(1.18, 1.3))
    ]
    onsets_s = _regular_onsets_s(rng, int(ring_s / beat_s), beat_s, jitter=0.04)
    strikes = [(onset_s, rng.uniform(0.8, 1.0) * gongs[i % 2]) for i, onset_s in enumerate(onsets_s)]
    return _specimen(placed(strikes, sample_rate_hz))


def footsteps(rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return footsteps: the thump and click of a heel, then the softer scrape of the sole."""
    thump_hz = rng.uniform(60.0, 120.0)
    hardness = rng.uniform(0.15, 0.6)
    roll_s = rng.uniform(0.07, 0.12)
    onsets_s = _regular_onsets_s(rng, int(rng.integers(4, 6)), rng.uniform(0.42, 0.58), jitter=0.05)

    def footstep() -> Float64Array:
        heel = struck_body(
            _jittered(rng, np.array([1.0, 1.7, 3.1]) * thump_hz, 0.06), (0.04, 0.03, 0.02), sample_rate_hz
        )
        click = hardness * _burst(rng, 1000.0, 3500.0, 0.006, sample_rate_hz)
        scrape = 0.5 * hardness * _burst(rng, 600.0, 5000.0, 0.03, sample_rate_hz)
        return rng.uniform(0.7, 1.0) * placed([(0.0, heel), (0.0, click), (roll_s, scrape)], sample_rate_hz)

    return _specimen(placed([(onset_s, footstep()) for onset_s in onsets_s], sample_rate_hz))


def bird_song(rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return a songbird: phrases of one syllable repeated fast, each a glide with or without a trill."""
    highest_hz = min(5600.0, 0.4 * sample_rate_hz)  # a telephone's rate has no room for the highest songs
    onset_s = 0.0
    parts: list[tuple[float, Float64Array]] = []
    for _ in range(int(rng.integers(2, 5))):
        syllable_s = rng.uniform(0.05, 0.14)
        ends_hz = rng.uniform(2300.0, highest_hz, size=2)
        trill_hz = rng.uniform(0.0, 350.0)
        for _ in range(int(rng.integers(3, 8))):
            parts.append((onset_s, _syllable(rng, syllable_s, ends_hz, trill_hz, sample_rate_hz)))
            onset_s += syllable_s * rng.uniform(1.25, 1.45)
        onset_s += rng.uniform(0.1, 0.25)
        if onset_s > 2.0:
            break
    return _specimen(placed(parts, sample_rate_hz))


def doorbell(rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return a doorbell: two metal bars a major third apart, the higher first (and now and then once more)."""
    low_hz = rng.uniform(480.0, 640.0)
    decay_s = rng.uniform(0.18, 0.3)
    interval_s = rng.uniform(0.4, 0.65)
    pitches_hz = [low_hz * 5 / 4, low_hz] + ([low_hz * 5 / 4] if rng.random() < 0.3 else [])
    # Decay times relative to the lowest mode: higher modes ring shorter.
    brightness = np.array([1.0, rng.uniform(0.3, 0.7), rng.uniform(0.1, 0.4)])

    def bar(pitch_hz: float) -> Float64Array:
        modes_hz = _jittered(rng, pitch_hz * np.array(BAR_RATIOS), 0.01)
        return rng.uniform(0.8, 1.0) * struck_body(modes_hz, (decay_s * brightness).tolist(), sample_rate_hz)

    return _specimen(placed([(i * interval_s, bar(pitch_hz)) for i, pitch_hz in enumerate(pitches_hz)], sample_rate_hz))


def glass_breaking(rng: np.random.Generator, sample_rate_hz: int) -> Samples:
    """Return breaking glass: a crash, then shards that ring at high pitches, ever rarer and softer."""
    crash = rng.uniform(0.8, 1.5) * _burst(rng, 700.0, 7000.0, rng.uniform(0.05, 0.12), sample_rate_hz)
    onsets_s = np.minimum(rng.exponential(rng.uniform(0.2, 0.4), int(rng.integers(30, 70))), 1.6)
    # One shard falls late in any case, so that the sound is never much shorter than a second.
    last_s = rng.uniform(0.95, 1.6)
    parts = [(0.0, crash)]
    for onset_s in (*onsets_s, last_s):
        pitch_hz = rng.uniform(1800.0, 5500.0)
        decay_s = rng.uniform(0.01, 0.06)
        shard = struck_body((pitch_hz, 1.5 * pitch_hz), (decay_s, 0.6 * decay_s), sample_rate_hz)
        parts.append((onset_s, rng.uniform(0.2, 0.8) * np.exp(-onset_s) * shard))
    return _specimen(placed(parts, sample_rate_hz))


SOUNDS: dict[str, Sound] = {
    sound.__name__: sound
    for sound in (
        bird_song,
        doorbell,
        engine,
        footsteps,
        glass_breaking,
        knocking,
        phone_ring,
        running_water,
        siren,
        smoke_alarm,
    )
}
"""All sounds by label."""


def check_rate(sample_rate_hz: int) -> None:
    """Reject rates at which the highest sounds would be lost.

    Raises:
        UsageError: the rate is below `LOWEST_RATE_HZ`.
    """
    if sample_rate_hz < LOWEST_RATE_HZ:
        raise UsageError(
            f"a rate of {sample_rate_hz} Hz is too low for these sounds", hint=f"at least {LOWEST_RATE_HZ} Hz"
        )


def _specimen(samples: Float64Array) -> Samples:
    peak = float(np.max(np.abs(samples)))
    return (samples * (0.9 / peak)).astype(np.float32)


def _jittered(rng: np.random.Generator, values: Float64Array, spread: float) -> list[float]:
    return [float(value) * rng.uniform(1.0 - spread, 1.0 + spread) for value in values]


def _regular_onsets_s(rng: np.random.Generator, n_onsets: int, interval_s: float, jitter: float) -> list[float]:
    intervals_s = interval_s * rng.uniform(1.0 - jitter, 1.0 + jitter, n_onsets - 1)
    return [0.0, *np.cumsum(intervals_s).tolist()]


def _burst(
    rng: np.random.Generator, low_hz: float, high_hz: float, decay_s: float, sample_rate_hz: int
) -> Float64Array:
    # Six time constants: the burst ends 52 dB below its beginning.
    times_s = time_axis_s(6 * decay_s, sample_rate_hz)
    return band_noise(rng, len(times_s), low_hz, high_hz, sample_rate_hz) * np.exp(-times_s / decay_s)


def _syllable(
    rng: np.random.Generator, duration_s: float, ends_hz: Float64Array, trill_hz: float, sample_rate_hz: int
) -> Float64Array:
    times_s = time_axis_s(duration_s, sample_rate_hz)
    glide_hz = np.geomspace(ends_hz[0], ends_hz[1], len(times_s)) * rng.uniform(0.98, 1.02)
    trilled_hz = glide_hz + trill_hz * np.sin(2 * np.pi * 35.0 * times_s)
    return faded(harmonics(trilled_hz, (1.0, 0.1), sample_rate_hz), 0.4 * duration_s, 0.4 * duration_s, sample_rate_hz)
