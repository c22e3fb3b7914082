"""Log-mel features of utterances, computed once and kept on disk."""

import concurrent.futures
import hashlib
import json
import os
import pathlib

import numpy as np
from rich.progress import track

from examples.keyword_spotting.front_end import mel_triangles
from experiments.common.files import whole

MELS = 40
STACK = 2
SHARD = 256
# What the features depend on besides the sound: with other figures, other files.
SETTINGS = {
    "mels": MELS,
    "stack": STACK,
    "window": 0.025,
    "hop": 0.010,
    "lowest": 60.0,
    "highest": 7600.0,
    "normalised": "mean and deviation",
}


def log_mel(samples, rate):
    """The features of one utterance.

    A Hann window of 25 ms every 10 ms, the power in 40 triangles of equal width on the mel scale,
    its logarithm, normalised over the utterance to mean 0 and deviation 1 in each of them; then two
    neighbouring windows side by side, so that there is one vector every 20 ms.

    Args:
        samples: float `[samples]`.
        rate: samples a second.

    Returns:
        float16 `[frames, STACK * MELS]`.
    """
    window, hop = round(SETTINGS["window"] * rate), round(SETTINGS["hop"] * rate)
    size = 1 << (window - 1).bit_length()
    samples = np.pad(samples, (0, max(0, window + (STACK - 1) * hop - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop] * np.hanning(window)
    power = np.abs(np.fft.rfft(windows, size)) ** 2 @ mel_filters(rate, size)
    # The floor, 80 dB below the loudest, keeps digital silence finite.
    logarithm = np.log(np.maximum(power, 1e-8 * power.max() + 1e-20))
    logarithm = (logarithm - logarithm.mean(axis=0)) / (logarithm.std(axis=0) + 1e-3)
    frames = len(logarithm) // STACK
    return logarithm[: frames * STACK].reshape(frames, STACK * MELS).astype(np.float16)


def mel_filters(rate, size):
    """Triangles over the frequencies of a transform of `size` samples, float `[size // 2 + 1,
    MELS]`.
    """
    return mel_triangles(MELS, SETTINGS["lowest"], SETTINGS["highest"], rate, size)


def features(utterances, folder, console, title="features"):
    """The features of all utterances, from the files in `folder` where these exist.

    Each file holds up to `SHARD` utterances and is named after everything that they depend on:
    sounds, settings, this code's figures. It is written whole or not at all, so a run that was
    stopped goes on with the first file that is missing.

    Args:
        utterances: a list of `Spoken` or `Recorded`.
        folder: a path, made if it is missing.
        console: `rich.console.Console`.
        title: what the progress bar says.

    Returns:
        List of float16 `[frames, STACK * MELS]`.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shards = [utterances[begin : begin + SHARD] for begin in range(0, len(utterances), SHARD)]
    paths = [folder / f"{digest([one.key() for one in shard])}.npz" for shard in shards]
    todo = [pair for pair in zip(shards, paths) if not pair[1].exists()]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for shard, path in track(todo, title, console=console, disable=not todo):
            _write(path, list(pool.map(lambda one: log_mel(*one.read()), shard)))
    return [one for path in paths for one in _read(path)]


def digest(key):
    """A name for what `key`, which JSON takes, and the settings describe."""
    return hashlib.sha256(json.dumps([SETTINGS, key], sort_keys=True).encode()).hexdigest()[:24]


def _write(path, arrays):
    with whole(path) as draft:
        np.savez(draft, frames=np.concatenate(arrays), lengths=[len(one) for one in arrays])


def _read(path):
    with np.load(path) as file:
        return np.split(file["frames"], np.cumsum(file["lengths"])[:-1])
