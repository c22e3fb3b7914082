"""The file of a model, `model.ksr`: docs/format.md has its bytes, `native/core/model` reads
them.
"""

import functools
import json
import struct

import numpy as np

MAGIC, BYTE_ORDER, VERSION = b"ksr-mode", 0x01020304, 1
ALIGNMENT, HEADER_BYTES, NAME_BYTES = 64, 128, 56
CELL, EMBEDDING, WINDOW, AFFINE, ACTIVATION, ADD, MULTIPLY, COPY = range(8)
LAYER_NORM, RMS_NORM, CLIP = range(8, 11)
NUMBERS = ("place", "window", "dilation", "activation", "type")  # of a step, in their order


class ModelFile:
    """What a model does with each frame, step by step, between registers of numbers."""

    def __init__(self):
        self.widths, self.inputs, self.outputs, self.steps = [], [], [], []

    def register(self, width):
        """A new register of `width` numbers; returns its number."""
        self.widths.append(int(width))
        return len(self.widths) - 1

    def add_input(self, name, register):
        self.inputs.append((name, register, False))

    def add_output(self, name, register, last):
        """`last`: whether Keras gives the last frame's only."""
        self.outputs.append((name, register, last))

    def step(self, kind, source, width, *, out=None, other=-1, data=b"", scales=b"", **numbers):
        """Adds a step from the register `source` to a new one of `width` numbers, or to `out`.

        Returns the register.
        """
        out = self.register(width) if out is None else out
        self.steps.append((kind, source, other, out, numbers, bytes(data), bytes(scales)))
        return out

    def bytes(self, notes):
        """The file, with `notes`, a dict of JSON's values."""
        tables = np.asarray(self.widths, "<i4").tobytes()
        head = bytearray(HEADER_BYTES) + _padded(tables)
        for ports in self.inputs, self.outputs:
            for name, register, last in ports:
                head += struct.pack(f"<{NAME_BYTES}sii", _cut(name), register, last)
        table = len(head)
        head += _padded(bytes(96 * len(self.steps)))
        text = json.dumps(notes).encode()
        where_notes = _append(head, text)
        places = {
            number: (_append(head, step[5]), _append(head, step[6]))
            for number, step in enumerate(self.steps)
            if step[0] != CELL
        }
        cells = len(head)
        for number, step in enumerate(self.steps):
            if step[0] == CELL:
                places[number] = _append(head, step[5]), (0, 0)
        for number, (kind, source, other, out, numbers, data, _) in enumerate(self.steps):
            fields = [numbers.get(name, 0) for name in NUMBERS]
            total = struct.unpack_from("<Q", data, 16)[0] if kind == CELL else 0
            rows, (where, scales) = numbers.get("rows", 0), places[number]
            line = (kind, source, other, out, *fields, 0, rows, *where, *scales, total, 0)
            struct.pack_into("<10i5qQq", head, table + 96 * number, *line)
        counts = 0, len(self.widths), len(self.inputs), len(self.outputs), len(self.steps), 0
        sizes = len(head), cells
        struct.pack_into("<8sII", head, 0, MAGIC, BYTE_ORDER, VERSION)
        struct.pack_into("<qq6i16sqq", head, 24, *sizes, *counts, b"", *where_notes)
        struct.pack_into("<Q", head, 16, checksum(memoryview(head)[24:cells]))
        return bytes(head)


def checksum(content):
    """Of whole words of eight bytes: see docs/format.md."""

    def added(total, word):
        total = (total ^ word) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
        return total ^ total >> 32

    first, words = 0xCBF29CE484222325, np.frombuffer(content, "<u8").tolist()
    sums = [functools.reduce(added, words[n::8], first) for n in range(8)]
    return functools.reduce(added, sums, first)


def _padded(content):
    return content + bytes(-len(content) % ALIGNMENT)


def _append(head, content):
    """Appends a section; returns where it is and its length, zeros for none."""
    if not content:
        return 0, 0
    place = len(head)
    head += _padded(content)
    return place, len(content)


def _cut(name):
    """A name as it fits, in whole characters."""
    return str(name).encode()[: NAME_BYTES - 1].decode(errors="ignore").encode() or b"_"
