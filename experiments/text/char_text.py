"""The text of the character language model: read, cleaned of repeats, encoded, split, cut into
windows.
"""

import hashlib
import pathlib
import pydoc_data.topics
import sysconfig

import numpy as np
import tensorflow as tf

from experiments.common.untuned import untuned

EVALUATION_WINDOW = 256
LIBRARY = "library"


class Text:
    """Characters as integers, the last tenth held out.

    Python's help topics quote each other at length, so a paragraph counts once: otherwise the
    held-out part would stand in the training part, and the model that memorises most would look
    best.

    Args:
        path: a UTF-8 file; None for `pydoc_data.topics`, which every Python has; `"library"` for
            the modules of its standard library, without what is not ASCII.
        window: the least number of characters that each part must have.
        validation: whether the tenth before the last is held out, too, to choose settings by. It is
            what `evaluation` gives then, and the last tenth is left to `final`.

    Raises:
        ValueError: the text is shorter than that, or is not UTF-8.
    """

    def __init__(self, path=None, window=EVALUATION_WINDOW, validation=False):
        text = _without_repeats(_of(path))
        self.source = "pydoc_data.topics" if path is None else str(path)
        self.length = len(text)
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:16] + "-validation" * validation
        self.characters = sorted(set(text))
        codes = {character: code for code, character in enumerate(self.characters)}
        encoded = np.array([codes[character] for character in text], np.int32)
        ends = [len(encoded) * tenths // 10 for tenths in (8, 9)]
        train, held_out, self.test = np.split(encoded, ends)
        self.train = train if validation else np.concatenate([train, held_out])
        self.held_out = held_out if validation else self.test
        if len(self.test) <= window:
            raise ValueError(
                f"`--text` must have at least {10 * (window + 1)} characters outside repeated "
                f"paragraphs, so that its last tenth holds one sequence of {window}. Received: "
                f"{self.source} with {len(text)} characters"
            )

    @property
    def described(self):
        """What results say of it, a dict."""
        return {"source": self.source, "characters": self.length, "sha256": self.digest}

    def decode(self, codes):
        """The string of a sequence of integers."""
        return "".join(self.characters[code] for code in codes)

    def encode(self, text):
        """int32 `[length]`; a character that the text does not have is left out."""
        codes = {character: code for code, character in enumerate(self.characters)}
        return np.array([codes[character] for character in text if character in codes], np.int32)

    def evaluation(self):
        """`(inputs, targets)`, int32 `[windows, EVALUATION_WINDOW]`: the held-out part, cut without
        overlap.
        """
        return _cut(self.held_out)

    def final(self):
        """The last tenth, as `evaluation` gives its part."""
        return _cut(self.test)


def windows(codes, batch, window, steps, seed):
    """Windows of the training part at random places, the same for the same seed: a
    `tf.data.Dataset` of `(inputs, targets)`, int32 `[batch, window]`.

    Args:
        codes: int32 `[characters]`.
        batch: windows in one step.
        window: characters in one window.
        steps: how many batches there are.
        seed: an integer.
    """
    starts = np.random.default_rng(seed).integers(0, len(codes) - window, (steps, batch))
    codes = tf.constant(codes)

    def made(places):
        taken = tf.gather(codes, places[:, None] + np.arange(window + 1))
        return taken[:, :-1], taken[:, 1:]

    return untuned(tf.data.Dataset.from_tensor_slices(starts).map(made).prefetch(2))


def _cut(codes):
    windows = (len(codes) - 1) // EVALUATION_WINDOW
    used = windows * EVALUATION_WINDOW
    shape = windows, EVALUATION_WINDOW
    return codes[:used].reshape(shape), codes[1 : used + 1].reshape(shape)


def _of(path):
    if path is None:
        return _topics()
    return _library() if path == LIBRARY else _read(path)


def _library():
    """Its modules in the order of their names, so that the last tenth are other modules."""
    modules = sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    text = "\n\n".join(module.read_text(encoding="utf-8", errors="ignore") for module in modules)
    return text.encode("ascii", "ignore").decode()


def _topics():
    topics = pydoc_data.topics.topics
    return "\n\n".join(topics[name] for name in sorted(topics))


def _read(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"`--text` must be a readable UTF-8 file. Received: {path} ({error})"
        ) from None


def _without_repeats(text):
    return "\n\n".join(dict.fromkeys(text.split("\n\n")))
