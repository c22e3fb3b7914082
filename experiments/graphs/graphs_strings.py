"""Strings of Reber's grammar and of the embedded one, right and wrong.

A Reber string is made by walking through a small automaton. Whether a string is right can be told
from pairs of neighbours, so no long memory is needed. An embedded Reber string is one between two
symbols that must be alike: its second and its last but one. Here a wrong one differs in nothing
but this, so a network must remember the second symbol to the end."""

import zlib

import numpy as np

SYMBOLS = "_BTPSXVE"  # the first one fills up
RULES = {
    0: {"B": 1},
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
    6: {"E": 7},
}
LONGEST = {"reber": 14, "embedded": 18}


def is_reber(text):
    """Whether the automaton takes the string."""
    state = 0
    for symbol in text:
        state = RULES.get(state, {}).get(symbol)
        if state is None:
            return False
    return state == 7


def is_embedded(text):
    """Whether it is a Reber string between two like symbols, in B and E."""
    return (
        len(text) > 4
        and (text[0], text[-1]) == ("B", "E")
        and text[1] in "TP"
        and text[1] == text[-2]
        and is_reber(text[2:-2])
    )


def draw(task, generator, held_out=False):
    """A string of a task, `"reber"` or `"embedded"`, and whether it is right; half of them are.

    There are not many strings of a length, so those that are held out are kept apart: every fifth
    one, of embedded strings every fifth inner one.
    """
    right = bool(generator.integers(2))
    if task == "embedded":
        inner = _text(LONGEST[task] - 4, generator, True, held_out)
        first, other = generator.permutation(list("TP"))
        return f"B{first}{inner}{first if right else other}E", right
    return _text(LONGEST[task], generator, right, held_out), right


def is_held_out(text):
    """Whether a string is one of those that no network is trained on."""
    return zlib.crc32(text.encode()) % 5 == 0


def dataset(task, count, seed, held_out=False):
    """`(symbols, labels)`: int32 `[count, longest]`, filled up on the left, and `[count]`."""
    generator = np.random.default_rng(seed)
    pairs = [draw(task, generator, held_out) for _ in range(count)]
    texts = [text.rjust(LONGEST[task], "_") for text, _ in pairs]
    symbols = [[SYMBOLS.index(symbol) for symbol in text] for text in texts]
    return np.array(symbols, np.int32), np.array([right for _, right in pairs], np.int32)


def _text(longest, generator, right, held_out):
    """A Reber string of at most so many symbols, or one that differs from one in a symbol."""
    while True:
        text = _reber(generator)
        if not right:
            place = generator.integers(1, len(text) - 1)
            text = text[:place] + str(generator.choice(list(SYMBOLS[2:-1]))) + text[place + 1 :]
        if len(text) <= longest and is_reber(text) == right and is_held_out(text) == held_out:
            return text


def _reber(generator):
    text, state = "", 0
    while state != 7:
        symbol = str(generator.choice(list(RULES[state])))
        text, state = text + symbol, RULES[state][symbol]
    return text
