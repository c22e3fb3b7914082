"""Memory for the native library: aligned, and files read into it or mapped."""

import mmap
import os

import numpy as np

from ksr_runtime.library import ALIGNMENT

HEAD = 128  # bytes of a model's header
PREPARED = 40  # where it says whether the model is prepared


def aligned(size):
    """An array of `size` bytes, at least one, that begins at a multiple of `ALIGNMENT`."""
    raw = np.empty(max(size, 1) + ALIGNMENT, np.uint8)
    begin = -raw.ctypes.data % ALIGNMENT
    return raw[begin : begin + max(size, 1)]


def file_in_memory(path):
    """The bytes of a file, an array: those of a prepared model mapped, others read.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(HEAD)
        if len(head) == HEAD and head[PREPARED] == 1:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        content = aligned(size)
        content[: len(head)] = np.frombuffer(head, np.uint8)
        read = len(head) + file.readinto(memoryview(content)[len(head) : size])
        return content[:read]
