import logging

import numpy as np
import pytest

from streamgmm.audio.channels import LiveMixer, MixMeter, has_channel, to_mono

FRAMES = np.array([[1.0, 0.5, 0.0], [-1.0, 0.25, 0.0]], np.float32)


@pytest.mark.parametrize(("channel", "expected"), [(0, [1, -1]), (1, [0.5, 0.25]), ("mean", [0.5, -0.25])])
def test_B5_pick_or_mean(channel, expected):
    samples = to_mono(FRAMES, channel)
    assert samples.tolist() == expected
    assert samples.dtype == np.float32
    assert samples.flags.c_contiguous


def test_mean_of_one_channel_is_that_channel_with_its_sign_of_zero():
    frames = np.array([[-0.0], [np.nan]], np.float32)
    assert to_mono(frames, "mean").tobytes() == frames.tobytes()


def test_mean_of_no_frames_is_empty():
    assert to_mono(FRAMES[:0], "mean").shape == (0,)


@pytest.mark.parametrize(("channel", "expected"), [("mean", True), (0, True), (1, True), (2, False), (-1, False)])
def test_has_channel(channel, expected):
    assert has_channel(2, channel) is expected


RATE_HZ = 16000
N_BLOCKS = 60
ENVELOPE = np.repeat([0.0, 1.0, 0.01, 0.3], 5 * 1600)


def sound(seed=0):
    """Bursts of noise, 6 s at 16 kHz."""
    envelope = np.resize(ENVELOPE, N_BLOCKS * 1600)
    return (np.random.default_rng(seed).normal(0, 0.1, envelope.size) * envelope).astype(np.float32)


def noise(level):
    return np.random.default_rng(9).normal(0, level, N_BLOCKS * 1600).astype(np.float32)


def loss_of(*channels):
    meter = MixMeter()
    for block in np.array_split(np.stack(channels, axis=1), N_BLOCKS):
        meter.observe(block)
    return meter.loss()


OPPOSITE = {
    "2 channels": [sound(), -sound()],
    "near opposite": [sound(), -0.9 * sound()],
    "with hiss": [sound() + noise(1e-4), -sound()],
    "4 channels, 2 inverted": [sound(), -sound(), sound(), -sound()],
    "6 channels, 3 pairs": [sound(1), -sound(1), sound(2), -sound(2), sound(3), -sound(3)],
    "8 channels, 2 alive": [sound(), -sound(), *[0 * sound()] * 6],
    "with an offset": [sound() + 0.3, -sound() + 0.3],
}
HARMLESS = {
    "the same twice": [sound(), sound()],
    "softer": [sound(), 0.1 * sound()],
    "two rooms": [sound(1), sound(2)],
    "8 rooms": [sound(number) for number in range(8)],
    "1 of 4 inverted": [sound(), sound(), sound(), -sound()],
    "opposite, but much softer": [sound(), -0.5 * sound()],
    "one channel": [sound()],
    "silence": [0 * sound(), 0 * sound()],
    "hiss in both": [sound() + noise(0.01), sound() + noise(0.01)],
}


@pytest.mark.parametrize("name", OPPOSITE)
def test_A30_B35_channels_that_cancel_each_other_are_noticed(name):
    loss = loss_of(*OPPOSITE[name])
    assert loss.kind == "cancelled"
    assert "more than 20 dB" in loss.text
    assert "--set source.channel=" in loss.text


@pytest.mark.parametrize("name", HARMLESS)
def test_a_mean_that_loses_little_is_not_reported(name):
    assert loss_of(*HARMLESS[name]) is None


@pytest.mark.parametrize(
    ("channels", "kind", "best"),
    [
        ([sound(), 0 * sound()], "dead", 0),
        ([0 * sound() + 0.4, sound()], "dead", 1),
        ([noise(0.3), sound()], "noisy", 1),
        ([sound(), noise(0.5) + 0.2], "noisy", 0),
        ([sound(1), sound(1), noise(0.3)], "noisy", 0),
    ],
)
def test_A30_B35_a_channel_that_is_dead_or_hides_the_others_is_noticed(channels, kind, best):
    loss = loss_of(*channels)
    assert loss.kind == kind
    assert loss.text.endswith(f"--set source.channel={best}")


def test_A30_a_live_source_reports_its_loss_once(caplog):
    mixer = LiveMixer("mean", RATE_HZ)
    frames = np.stack([sound(), -sound()], axis=1)
    with caplog.at_level(logging.WARNING):
        for block in np.array_split(np.concatenate([frames] * 6), 6 * N_BLOCKS):
            mixer.mix(block)
    assert sum("cancel each other" in message for message in caplog.messages) == 1


def test_a_chosen_channel_loses_nothing(caplog):
    mixer = LiveMixer(0, RATE_HZ)
    with caplog.at_level(logging.WARNING):
        for _ in range(6):
            mixer.mix(np.stack([sound(), -sound()], axis=1))
    assert caplog.messages == []
