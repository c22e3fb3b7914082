"""Features of all clips, computed once into a cache, and how a network is fed with them."""

import concurrent.futures
import hashlib
import json
import os
import pathlib

import numpy as np

from . import recorded, spoken
from .espeak import program
from .files import whole
from .front_end import HOP, MELS, RATE, SETTINGS, FrontEnd

SPLITS = ("training", "validation", "test")
SHARD = 500  # clips in a file
FRAMES = RATE // HOP  # of a clip
DECIDED = 8  # the last frames of a clip, by which it is told: 0.2 s
STREAM = 20  # clips that follow each other without a reset when accuracy is measured


def load(split, folder, data=None, count=None):
    """The features and the labels of a split, from the cache in `folder` where they are there.

    Each file of the cache holds up to `SHARD` clips and is named after everything that they depend
    on. It is written whole or not at all.

    Args:
        split: one of `SPLITS`.
        folder: of the cache, made if it is missing.
        data: a folder in the layout of Speech Commands; None: words spoken by espeak-ng.
        count: only so many clips.

    Returns:
        `(frames, labels)`: float32 `[clips, FRAMES, MELS]`, int32 `[clips]`.

    Raises:
        ValueError: espeak-ng is missing, or `data` is not in that layout.
    """
    clips = recorded.clips(data, split, count) if data else spoken.clips(split, count)
    shards = [clips[begin : begin + SHARD] for begin in range(0, len(clips), SHARD)]
    frames = np.concatenate([_shard(shard, pathlib.Path(folder)) for shard in shards])
    labels = np.array([spoken.LABELS.index(clip.label) for clip in clips], np.int32)
    return frames.astype(np.float32), labels


def _shard(clips, folder):
    key = [SETTINGS, [clip.key() for clip in clips]]
    if isinstance(clips[0], spoken.Spoken):
        key.append([program(()), spoken.CHATTER])
    path = folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]}.npy"
    if not path.exists():
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            frames = list(pool.map(lambda clip: FrontEnd()(clip.sound()), clips))
        with whole(path) as draft:
            np.save(draft, np.stack(frames).astype(np.float16))
    return np.load(path)


def streams(frames, labels):
    """Clips one after the other, as a microphone hears them.

    Returns:
        `(frames, labels)`: `[streams, STREAM * FRAMES, MELS]` and `[streams, STREAM]`. Clips that
        do not fill a stream are left out; of fewer than `STREAM`, all are one stream.
    """
    each = min(STREAM, len(frames))
    count = len(frames) // each
    return (
        frames[: count * each].reshape(count, each * FRAMES, MELS),
        labels[: count * each].reshape(count, each),
    )


def decisions(logits):
    """The word of each clip in streams: the largest mean probability over the last `DECIDED` frames
    of a clip.

    Args:
        logits: `[streams, clips * FRAMES, labels]`.

    Returns:
        int `[streams, clips]`.
    """
    logits = np.asarray(logits, np.float64)
    logits = logits.reshape(len(logits), -1, FRAMES, logits.shape[-1])[:, :, -DECIDED:]
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=2).argmax(axis=-1)
