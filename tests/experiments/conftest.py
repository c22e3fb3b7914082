"""Where the experiments are found, and sounds that the tests of speech are made of."""

import os
import pathlib
import sys
import wave

import numpy as np
import pytest

# Last, so that the installed package goes before the sources of the checkout.
sys.path.append(str(pathlib.Path(__file__).parents[2]))
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


@pytest.fixture
def elsewhere(tmp_path):
    """Arguments of `subprocess.run`: in a folder without sources, on the path of this process."""
    return {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}}


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
