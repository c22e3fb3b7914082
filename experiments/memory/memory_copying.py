"""Symbols that are to be said again after a delay."""

import dataclasses
import typing

import numpy as np

from experiments.memory import memory_parts
from experiments.memory.memory_brackets import bits, share


@dataclasses.dataclass(frozen=True)
class Copying:
    """The task: some blanks, `count` symbols, a delay of blanks, and then, from a cue on, the
    symbols again, which are predicted while nothing but blanks is seen.

    The delay is any number from 1 to `longest`, and all sequences are equally long: the blanks in
    front make up for it. Codes: symbols, the blank, the cue.

    Args:
        symbols: how many different ones there are.
        count: how many are copied.
        longest: the longest delay.
    """

    symbols: int = 8
    count: int = 5
    longest: int = 20

    name: typing.ClassVar = "copying"
    measured: typing.ClassVar = "copied symbols right"

    @property
    def length(self):
        """Characters of a sequence."""
        return self.longest + 2 * self.count

    @property
    def unscored(self):
        """How many steps pass before the first prediction."""
        return self.longest + self.count

    @property
    def characters(self):
        """How many codes there are."""
        return self.symbols + 2

    @property
    def outputs(self):
        """How many codes are told apart in a prediction."""
        return self.symbols

    @property
    def chance(self):
        """How often a guess is right."""
        return 1 / self.symbols

    def draw(self, count, seed, part):
        """`(inputs, targets)`, int32 `[count, length]` and `[count, self.count]`: sequences of a
        part, as in `memory_parts.draw`, which parts them by their symbols, whatever the delay.
        """
        return memory_parts.draw(self._made, count, seed, part)

    def measure(self, logits, inputs, targets):
        """How good predictions are.

        Args:
            logits: float `[count, self.count, outputs]`.
            inputs, targets: as in `draw`.

        Returns:
            dict of `"bits"` per symbol, the `"floor"` of 0, and `"accuracy"` by the delay.
        """
        right = logits.argmax(axis=-1) == targets
        first = (inputs < self.symbols).argmax(axis=1)
        delay = np.broadcast_to((self.longest - first)[:, None], right.shape)
        short, middle = self.longest // 3, 2 * self.longest // 3
        groups = {
            "all": delay > 0,
            f"1 to {short}": delay <= short,
            f"{short + 1} to {middle}": (delay > short) & (delay <= middle),
            f"{middle + 1} to {self.longest}": delay > middle,
        }
        return {
            "bits": bits(logits, targets),
            "floor": 0.0,
            "accuracy": {name: share(right, group) for name, group in groups.items()},
        }

    def _made(self, generator, count):
        """Symbols, which are the keys, then inputs and targets."""
        symbols = generator.integers(self.symbols, size=(count, self.count), dtype=np.int32)
        delay = generator.integers(1, self.longest + 1, size=count)
        blank, cue = self.symbols, self.symbols + 1
        inputs = np.full((count, self.length), blank, np.int32)
        inputs[:, self.unscored] = cue
        places = (self.longest - delay)[:, None] + np.arange(self.count)
        np.put_along_axis(inputs, places, symbols, axis=1)
        return symbols, inputs, symbols
