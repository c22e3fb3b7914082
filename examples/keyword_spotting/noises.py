"""Noise of several kinds, and rooms: what a microphone hears besides the word."""

import numpy as np

from .front_end import RATE

KINDS = ("white", "pink", "brown", "hum", "clatter", "tones", "babble")
SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0}


def noise(kind, length, generator, babble):
    """Noise of mean square 1, float `[length]`.

    Args:
        kind: one of `KINDS`.
        length: in samples.
        generator: `numpy.random.Generator`.
        babble: function of the generator that gives the sound of a voice, float `[samples]`.
    """
    if kind in SLOPES:
        samples = _coloured(length, SLOPES[kind], generator)
    elif kind == "hum":
        samples = _hum(length, generator)
    elif kind == "clatter":
        samples = _clatter(length, generator)
    elif kind == "tones":
        samples = _tones(length, generator)
    else:
        samples = sum(
            _placed(babble(generator), length, generator) for _ in range(generator.integers(3, 7))
        )
    return samples / np.sqrt(np.mean(samples**2) + 1e-12)


def in_room(samples, decay, direct, generator):
    """A sound with the echoes of a room.

    Args:
        samples: float `[samples]`.
        decay: seconds in which echoes fall by 60 dB.
        direct: how many decibels the sound itself is louder than all of its echoes.
        generator: `numpy.random.Generator`.

    Returns:
        float `[samples]`, as long as before.
    """
    time = np.arange(int(decay * RATE)) / RATE
    echoes = generator.normal(size=len(time)) * np.exp(-6.9 * time / decay)
    echoes[: generator.integers(30, 160)] = 0  # nothing is nearer than the nearest wall
    echoes *= 10 ** (-direct / 20) / np.sqrt(np.sum(echoes**2))
    echoes[0] = 1
    size = 1 << (len(samples) + len(echoes) - 1).bit_length()
    heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(echoes, size), size)
    return heard[: len(samples)]


def _coloured(length, slope, generator):
    """Noise whose amplitude falls with the frequency to the power of `slope`."""
    spectrum = np.fft.rfft(generator.normal(size=length))
    frequencies = np.maximum(np.fft.rfftfreq(length, 1 / RATE), 50)
    return np.fft.irfft(spectrum / frequencies**slope, length)


def _hum(length, generator):
    """Mains and its harmonics, with some hiss."""
    time = np.arange(length) / RATE
    base = generator.choice([50, 60]) * generator.uniform(1, 4)
    parts = [
        generator.uniform(0, 1) / number * np.sin(2 * np.pi * base * number * time + phase)
        for number, phase in enumerate(generator.uniform(0, 2 * np.pi, 20), 1)
    ]
    return sum(parts) + 0.1 * generator.normal(size=length)


def _clatter(length, generator):
    """Knocks: short bursts that ring at a frequency of their own."""
    samples = 0.02 * generator.normal(size=length)
    for begin in generator.integers(0, length, generator.integers(3, 12)):
        time = np.arange(length - begin) / RATE
        ringing = np.sin(2 * np.pi * generator.uniform(200, 4000) * time)
        burst = np.exp(-time / generator.uniform(0.005, 0.05))
        samples[begin:] += burst * (ringing + 0.5 * generator.normal(size=len(time)))
    return samples


def _tones(length, generator):
    """Music of a kind: three voices of harmonic tones that change a few times a second."""
    samples = np.zeros(length)
    for _ in range(3):
        begin = 0
        while begin < length:
            time = np.arange(min(length - begin, int(generator.uniform(0.1, 0.5) * RATE))) / RATE
            pitch = 110 * 2 ** (generator.integers(0, 36) / 12)
            envelope = np.minimum(1, 50 * time) * np.exp(-3 * time)
            for number in range(1, 6):
                sounding = np.sin(2 * np.pi * pitch * number * time)
                samples[begin : begin + len(time)] += envelope * sounding / number
            begin += len(time)
    return samples


def _placed(samples, length, generator):
    """A sound that is longer than `length`, from a place in it on, or repeated to be so."""
    samples = np.resize(samples, max(len(samples), 2 * length))
    begin = generator.integers(0, len(samples) - length + 1)
    return samples[begin : begin + length] * generator.uniform(0.4, 1)
