"""Nested brackets of several kinds between letters that mean nothing: a text whose entropy is known
and in which every closing bracket is determined by the one that it closes.
"""

import dataclasses
import typing

import numpy as np

from experiments.memory import memory_parts


class Walk(typing.NamedTuple):
    """What is known of every character of sequences, each array `[count, characters]`.

    Attributes:
        height: how many brackets are open before it.
        distance: of a closing bracket, how many characters before it stands the one that it closes;
            0 elsewhere.
        around: whether it is a closing bracket and there are other brackets between the two.
    """

    height: np.ndarray
    distance: np.ndarray
    around: np.ndarray


@dataclasses.dataclass(frozen=True)
class Brackets:
    """The task: to predict the next character.

    A character is a letter with the chance `noise`, any of them alike. Otherwise it is a bracket:
    an opening one, of any kind alike, where none is open; a closing one where `depth` are open;
    between, one or the other with equal chances. A closing bracket is of the kind that was opened
    last. Codes: opening brackets by kind, then closing ones by kind, then letters.

    A network is told that a bracket has closed and not of which kind it was, so it has to know what
    it is back in. Without that it would not need its recurrence: gates that see the inputs can
    count what is open of each kind.

    Args:
        kinds: of brackets.
        letters: how many there are.
        depth: how many brackets are open at once, at most.
        length: characters that are predicted in a sequence.
        noise: the share of letters.
    """

    kinds: int = 4
    letters: int = 4
    depth: int = 4
    length: int = 48
    noise: float = 0.5

    name: typing.ClassVar = "brackets"
    measured: typing.ClassVar = "closing brackets right"
    unscored: typing.ClassVar = 0

    @property
    def characters(self):
        """How many codes there are."""
        return 2 * self.kinds + self.letters

    @property
    def outputs(self):
        """How many codes are told apart in a prediction."""
        return self.characters

    @property
    def chance(self):
        """How often a guess is right."""
        return 1 / self.kinds

    def draw(self, count, seed, part):
        """`(inputs, targets)`, int32 `[count, length]`: sequences of a part, as in
        `memory_parts.draw`. Among the inputs all closing brackets are `kinds`.
        """
        (codes,) = memory_parts.draw(self._made, count, seed, part)
        inputs = codes[:, :-1]
        return np.where(self._closes(inputs), np.int32(self.kinds), inputs), codes[:, 1:]

    def walk(self, codes):
        """Reads sequences from the left: a `Walk`."""
        count, characters = codes.shape
        height, distance = (np.zeros(codes.shape, int) for _ in range(2))
        around = np.zeros(codes.shape, bool)
        now, closed = np.zeros(count, int), np.full(count, -1)
        opened = np.zeros((count, self.depth + 1), int)
        everyone = np.arange(count)
        for place in range(characters):
            code = codes[:, place]
            opens, closes = self._opens(code), self._closes(code)
            height[:, place] = now
            last = opened[everyone, now]
            distance[:, place] = np.where(closes, place - last, 0)
            around[:, place] = closes & (closed > last)
            closed[closes] = place
            now = now + opens - closes
            opened[everyone[opens], now[opens]] = place
        return Walk(height, distance, around)

    def surprise(self, codes, height):
        """`-log2` of the chance that the source gives each character after those before it: its
        mean is what no prediction can stay below for long.
        """
        opening = self._opening(height)
        bracket = np.where(self._opens(codes), opening / self.kinds, 1 - opening)
        letter = codes >= 2 * self.kinds
        return -np.log2(np.where(letter, self.noise / self.letters, (1 - self.noise) * bracket))

    def measure(self, logits, inputs, targets):
        """How good predictions are.

        Args:
            logits: float `[count, length, outputs]`.
            inputs, targets: as in `draw`.

        Returns:
            dict of `"bits"` per character, the `"floor"` of the source on these sequences, and
            `"accuracy"`: of the kind of closing brackets, by the distance to the opening one.
        """
        walk = self.walk(np.concatenate([inputs[:, :1], targets], axis=1))
        height, distance, around = (array[:, 1:] for array in walk)
        closing = slice(self.kinds, 2 * self.kinds)
        right = logits[..., closing].argmax(axis=-1) == targets - self.kinds
        closes = distance > 0
        groups = {
            "all": closes,
            "1 to 4": closes & (distance <= 4),
            "5 to 12": (distance > 4) & (distance <= 12),
            "13 and more": distance > 12,
            "around others": around,
        }
        return {
            "bits": bits(logits, targets),
            "floor": float(self.surprise(targets, height).mean()),
            "accuracy": {name: share(right, group) for name, group in groups.items()},
        }

    def _opens(self, codes):
        return codes < self.kinds

    def _closes(self, codes):
        return (codes >= self.kinds) & (codes < 2 * self.kinds)

    def _opening(self, height):
        """The chance that a bracket is an opening one."""
        return np.where(height == 0, 1.0, np.where(height == self.depth, 0.0, 0.5))

    def _made(self, generator, count):
        """Sequences, int32 `[count, 1 + length]`, and their keys: the sequences again."""
        codes = np.empty((count, 1 + self.length), np.int32)
        height, everyone = np.zeros(count, int), np.arange(count)
        stack = np.zeros((count, self.depth + 1), int)
        for place in range(1 + self.length):
            letter = generator.random(count) < self.noise
            opens = generator.random(count) < self._opening(height)
            kind = np.where(
                opens, generator.integers(self.kinds, size=count), stack[everyone, height]
            )
            letters = 2 * self.kinds + generator.integers(self.letters, size=count)
            codes[:, place] = np.where(letter, letters, kind + np.where(opens, 0, self.kinds))
            opens, closes = opens & ~letter, ~opens & ~letter
            height = height + opens - closes
            stack[everyone[opens], height[opens]] = kind[opens]
        return codes, codes


def bits(logits, targets):
    """The mean of `-log2` of the probability of the targets."""
    logits = np.asarray(logits, np.float64)
    largest = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - largest).sum(axis=-1)) + largest[..., 0]
    own = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return float((total - own).mean() / np.log(2))


def share(right, group):
    """Which share of a group is right; None of an empty one."""
    return float(right[group].mean()) if group.any() else None
