"""Utterances as a network takes them: features, letters as integers, batches of like length."""

import numpy as np
import tensorflow as tf

from experiments.common.untuned import untuned
from experiments.speech.speech_features import MELS, STACK, digest, features

FEATURES = STACK * MELS
STRETCH = 0.15
SILENCED, WIDEST = 2, 8


class Speech:
    """Training and test utterances with their features and an alphabet.

    Utterances with fewer frames than CTC needs (one for each letter, one more between two that are
    alike) are left out of training and counted; those of the test stay, as errors.

    Args:
        training, test: lists of `Spoken` or `Recorded`.
        folder: where the features are kept.
        console: `rich.console.Console`.
        source: a few words on where they come from.

    Attributes:
        letters: the characters of all texts; letter `i` is the class `i + 1`, class 0 is CTC's
            blank.
        training, test: lists of `(features, classes)`, float16 `[frames, FEATURES]` and int32
            `[letters]`.
        texts: of the test.
        too_short: how many training utterances were left out.
        digest: names everything that these utterances, their features and what is altered in them
            depend on.
    """

    def __init__(self, training, test, folder, console, source):
        self.source = source
        self.digest = digest(
            [STRETCH, SILENCED, WIDEST, [[one.key(), one.text] for one in (*training, *test)]]
        )
        self.letters = sorted(set("".join(one.text for one in (*training, *test))))
        self.texts = [one.text for one in test]
        self.speakers = [len({one.speaker for one in part}) for part in (training, test)]
        made = [
            features(part, folder, console, title)
            for part, title in ((training, "training speech"), (test, "test speech"))
        ]
        self.training, self.test = (
            [(frames, self.encode(one.text)) for frames, one in zip(arrays, part)]
            for arrays, part in zip(made, (training, test))
        )
        enough = [one for one in self.training if len(one[0]) >= frames_needed(one[1])]
        self.too_short = len(self.training) - len(enough)
        self.training = enough
        if not enough:
            raise ValueError(
                f"The recordings must be longer than {FEATURES // MELS}0 ms a letter. Received: "
                f"{self.too_short} that are shorter"
            )

    @property
    def hours(self):
        """Of training and of test speech."""
        return [
            sum(len(frames) for frames, _ in part) * STACK * 0.01 / 3600
            for part in (self.training, self.test)
        ]

    def encode(self, text):
        """int32 `[letters]`, from 1."""
        codes = {letter: code for code, letter in enumerate(self.letters, 1)}
        return np.array([codes[letter] for letter in text], np.int32)

    def decode(self, codes):
        """The text of a sequence of classes; blanks are left out."""
        return "".join(self.letters[code - 1] for code in codes if code)

    def batches(self, size, steps, seed):
        """`steps` batches of altered training utterances: a `tf.data.Dataset` of what `collate`
        returns, the same for the same seed.
        """
        order = batch_order([len(frames) for frames, _ in self.training], size, steps, seed)
        signature = (
            tf.TensorSpec((None, None, FEATURES), tf.float32),
            tf.TensorSpec((None, None), tf.int32),
        )

        def made():
            generator = np.random.default_rng([seed, 1])
            for batch in order:
                yield collate(
                    [
                        (altered(frames, generator), codes)
                        for frames, codes in map(self.training.__getitem__, batch)
                    ]
                )

        dataset = tf.data.Dataset.from_generator(made, output_signature=signature)
        return untuned(dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(4))

    def evaluation(self, size):
        """Batches of `(numbers, collated)` over the test, like lengths together."""
        order = np.argsort([len(frames) for frames, _ in self.test], kind="stable")
        for batch in np.split(order, range(size, len(order), size)):
            yield batch, collate([self.test[one] for one in batch])


def altered(frames, generator):
    """An utterance as another voice might have said it, through another channel.

    Its bands are stretched by up to 15 % (vocal tract length perturbation, Jaitly and Hinton 2013),
    and two ranges of up to 8 of them are silenced (SpecAugment, Park et al. 2019, arXiv 1904.08779;
    of its masks those over frequencies).

    Args:
        frames: float `[frames, FEATURES]`.
        generator: `numpy.random.Generator`.

    Returns:
        float32 `[frames, FEATURES]`.
    """
    bands = frames.reshape(len(frames), STACK, MELS).astype(np.float32)
    place = np.clip(np.arange(MELS) * generator.uniform(1 - STRETCH, 1 + STRETCH), 0, MELS - 1)
    below = np.minimum(place.astype(int), MELS - 2)
    share = (place - below).astype(np.float32)
    bands = bands[..., below] * (1 - share) + bands[..., below + 1] * share
    for _ in range(SILENCED):
        width = generator.integers(WIDEST, endpoint=True)
        first = generator.integers(MELS - width, endpoint=True)
        bands[..., first : first + width] = 0
    return bands.reshape(frames.shape)


def collate(utterances):
    """One batch.

    Returns:
        `(features, targets)`: float32 `[batch, frames, FEATURES]`, zero where an utterance has
        ended; int32 `[batch, 1 + letters]`: how many frames the utterance has, then its letters,
        then zeros.
    """
    frames = np.zeros(
        (len(utterances), max(len(one) for one, _ in utterances), FEATURES), np.float32
    )
    targets = np.zeros((len(utterances), 1 + max(len(codes) for _, codes in utterances)), np.int32)
    for number, (one, codes) in enumerate(utterances):
        frames[number, : len(one)] = one
        targets[number, : len(codes) + 1] = [len(one), *codes]
    return frames, targets


def batch_order(lengths, size, steps, seed):
    """Which utterances make up each batch: all once before any comes again, like lengths together,
    batches in random order.

    Utterances are shuffled, cut into pools of 16 batches, sorted by length within the pool. So
    there is little padding and yet always other company.

    Returns:
        List of `steps` int arrays `[size]` (fewer if there are fewer utterances).
    """
    lengths, generator, batches = np.asarray(lengths), np.random.default_rng(seed), []
    size = min(size, len(lengths))
    while len(batches) < steps:
        order = generator.permutation(len(lengths))
        epoch = []
        for pool in np.split(order, range(16 * size, len(order), 16 * size)):
            pool = pool[: len(pool) // size * size]
            epoch.extend(pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, size))
        batches.extend(epoch[one] for one in generator.permutation(len(epoch)))
    return batches[:steps]


def frames_needed(codes):
    """The fewest frames in which CTC can say these letters."""
    return len(codes) + int(np.count_nonzero(codes[1:] == codes[:-1]))
