"""Where the examples are found, and recordings in the layout of Speech Commands."""

import pathlib
import sys
import wave

import numpy as np
import pytest

# Last, so that the installed package goes before the sources of the checkout.
sys.path.append(str(pathlib.Path(__file__).parents[2]))
RATE = 16_000


@pytest.fixture(scope="session")
def write_clip():
    """A function `(path, samples between -1 and 1, rate=16000)` that writes a wav file."""

    def write(path, samples, rate=RATE):
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes((32767 * np.asarray(samples)).astype("<i2").tobytes())

    return write


@pytest.fixture(scope="session")
def commands(tmp_path_factory, write_clip):
    """Six speakers who whistle each word twice, each word at a pitch of its own; the last two are
    on the lists. One recording is too short.
    """
    from examples.keyword_spotting.spoken import WORDS

    folder, generator = tmp_path_factory.mktemp("commands"), np.random.default_rng(0)
    listed = {"s4": [], "s5": []}
    time = np.arange(RATE) / RATE
    for number, word in enumerate((*WORDS, "bed", "wow")):
        for speaker in range(6):
            for take in range(2):
                pitch = (300 + 250 * number) * (1 + 0.01 * speaker)
                samples = 0.3 * np.sin(2 * np.pi * pitch * time) * (time > 0.4)
                samples += 0.01 * generator.normal(size=RATE)
                name = f"{word}/s{speaker}_nohash_{take}.wav"
                write_clip(folder / name, samples[: 9000 if speaker == take == 0 else RATE])
                listed.get(f"s{speaker}", []).append(name)
    write_clip(folder / "_background_noise_" / "hiss.wav", 0.02 * generator.normal(size=5 * RATE))
    for file, names in zip(("validation_list.txt", "testing_list.txt"), listed.values()):
        (folder / file).write_text("".join(f"{name}\n" for name in names))
    return folder
