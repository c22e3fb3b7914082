"""Sounds that the tests of the speech example are made of."""

import wave

import numpy as np
import pytest

RATE = 16_000


def _write_wav(path, samples, rate=RATE, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((32767 * samples).astype("<i2").tobytes())


def _tones(text, pitch, generator):
    """Each letter a tone of its own for 0.12 seconds, in a little noise."""
    time = np.arange(int(0.12 * RATE)) / RATE
    letters = [
        np.sin(2 * np.pi * pitch * (200 + 150 * (ord(letter) - ord("`"))) * time) for letter in text
    ]
    return 0.5 * np.concatenate(letters) + 0.01 * generator.normal(size=len(text) * len(time)).clip(
        -3, 3
    )


@pytest.fixture(scope="session")
def write_wav():
    """A function `(path, samples in [-1, 1], rate=16000, channels=1)` that writes a recording of 16
    bits and its folder.
    """
    return _write_wav


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """Eleven speakers of different pitch who whistle words, in the layout of LibriSpeech. One of
    them is held out.
    """
    folder, generator = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0)
    for speaker in range(11):
        chapter = folder / f"s{speaker:02}" / "7"
        texts = ["".join(generator.choice(list("abc"), generator.integers(3, 7))) for _ in range(9)]
        for number, text in enumerate(texts):
            _write_wav(
                chapter / f"{speaker}-7-{number}.wav", _tones(text, 0.9 + 0.02 * speaker, generator)
            )
        (chapter / f"{speaker}-7.trans.txt").write_text(
            "".join(f"{speaker}-7-{number} {text.upper()}\n" for number, text in enumerate(texts))
        )
    return folder
