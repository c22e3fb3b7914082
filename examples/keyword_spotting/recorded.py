"""Recordings in the layout of Speech Commands (Warden 2018, arXiv 1804.03209).

FOLDER/yes/0a7c2a8d_nohash_0.wav        a folder for each word, clips of a second
FOLDER/validation_list.txt              yes/0a7c2a8d_nohash_0.wav, a line for each clip
FOLDER/testing_list.txt
FOLDER/_background_noise_/hiss.wav      longer ones, of which silence is cut"""

import dataclasses
import pathlib

import numpy as np

from .front_end import RATE, read_wav
from .spoken import SILENCE, UNKNOWN, WORDS

LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
NOISE = "_background_noise_"
SHARE = 2 / 10  # of words that are none of the ten, and half as much silence, to each of the ten


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A recording, or a second of a long one.

    Args:
        label: one of `LABELS`.
        path: of a wav file; empty for digital silence.
        speaker: by the file's name, before `_nohash_`.
        begin: seconds into the file.
        gain: that it is multiplied by.
    """

    label: str
    path: str
    speaker: str
    begin: float = 0.0
    gain: float = 1.0

    def sound(self):
        """float32 `[RATE]`: a shorter recording is followed by zeros."""
        samples = read_wav(self.path) if self.path else np.zeros(RATE, np.float32)
        samples = samples[round(self.begin * RATE) :][:RATE]
        return self.gain * np.pad(samples, (0, RATE - len(samples)))

    def key(self):
        """Everything that the sound depends on, as JSON takes it."""
        state = pathlib.Path(self.path).stat() if self.path else None
        return [*dataclasses.astuple(self), state and [state.st_size, state.st_mtime_ns]]


def clips(folder, split, count=None):
    """The clips of a split, shuffled, always in the same order.

    Of the words that are none of the ten so many are taken that there are twice as many as of one
    of the ten, and half as much silence.

    Raises:
        ValueError: the folder is not in that layout.
    """
    folder = pathlib.Path(folder)
    missing = [name for name in (*LISTS.values(), *WORDS) if not (folder / name).exists()]
    if missing:
        raise ValueError(
            "--data: must be a folder in the layout of Speech Commands, with a folder for each of "
            f"{', '.join(WORDS)} and the lists {', '.join(LISTS.values())}. Received: {folder}, "
            f"which lacks {', '.join(missing)}"
        )
    listed = {
        name: set((folder / file).read_text(encoding="utf-8").split())
        for name, file in LISTS.items()
    }
    generator = np.random.default_rng([*map(ord, split)])
    known, others = [], []
    for path in sorted(folder.glob("*/*.wav")):
        name, word = f"{path.parent.name}/{path.name}", path.parent.name
        of = next((part for part, names in listed.items() if name in names), "training")
        if word != NOISE and of == split:
            label = word if word in WORDS else UNKNOWN
            found = others if label == UNKNOWN else known
            found.append(Recorded(label, str(path), path.stem.split("_nohash_")[0]))
    if not known:
        raise ValueError(f"--data: no clip of {folder} belongs to the {split}")
    generator.shuffle(others)
    wanted = round(SHARE * len(known))
    result = [*known, *others[:wanted], *_silence(folder / NOISE, wanted // 2, generator)]
    generator.shuffle(result)
    return result[:count]


def _silence(folder, count, generator):
    """Seconds of noise at many levels."""
    paths = [*map(str, sorted(folder.glob("*.wav")))] or [""]
    lengths = [len(read_wav(path)) / RATE if path else 1.0 for path in paths]
    for _ in range(count):
        number = generator.integers(len(paths))
        begin = round(float(generator.uniform(0, max(0.0, lengths[number] - 1))), 3)
        yield Recorded(SILENCE, paths[number], NOISE, begin, round(float(generator.random()), 3))
