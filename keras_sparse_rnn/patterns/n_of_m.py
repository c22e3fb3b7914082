"""N of every M consecutive inputs live: the pattern of sparse tensor cores."""

import math
import numbers

import numpy as np

from keras_sparse_rnn.patterns.pattern import Pattern


class NofM(Pattern):
    """Of every `m` consecutive inputs of a unit, `n` live: N:M sparsity, such as 2:4 (Mishra et al.
    2021, arXiv 2104.08378).

        pruning = ksr.callbacks.BlockPruning(0.5, pattern=ksr.patterns.NofM(2, 4))
        model.fit(x, y, epochs=10, callbacks=[pruning])      # masked once, trained with the mask

    The groups lie along the inputs, the rows of a Keras kernel `[inputs, gates * units]`: over them
    a matrix product sums. Each unit of each gate chooses its own `n`, those of the largest scores.
    With the criterion `"max"` these are the largest `|w|`.

    Nothing in this package computes 2:4 faster than dense kernels: its own kernels take blocks.
    `pack` writes what sparse tensor cores read, for a runtime that has them.

    Args:
        n: how many live, from 1 to `m - 1`.
        m: of how many. It must divide the inputs of every kernel that is pruned.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, n, m):
        for name, value in (("n", n), ("m", m)):
            if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f"`{name}` must be an integer of at least 1. Received: {name}={value!r}"
                )
        if n >= m:
            raise ValueError(
                f"`n` must be less than `m`: of every m inputs n live. Received: n={n}, m={m}"
            )
        self.n, self.m = int(n), int(m)

    @property
    def sparsity(self):
        return 1 - self.n / self.m

    @property
    def bits(self):
        """Of the metadata of one weight: its place in its group. At least 2."""
        return max(2, math.ceil(math.log2(self.m)))

    def concerns(self, kernel):
        if kernel.inputs % self.m:
            raise ValueError(
                f"`pattern` must have an `m` that divides the inputs of every kernel: "
                f"{kernel.name} has {kernel.inputs}. Received: {self!r}. Leave the layer out with "
                "`layers`, or pad its inputs with zeros"
            )
        return True

    def kept(self, scores, live):
        scores = np.where(live, scores, -np.inf)
        groups = scores.reshape(*scores.shape[:-1], -1, self.m)
        kept = np.zeros(groups.shape, bool)
        # Of equal scores the later one, as everywhere.
        best = np.argsort(groups, axis=-1, kind="stable")[..., -self.n :]
        np.put_along_axis(kept, best, True, axis=-1)
        return kept.reshape(scores.shape)

    def pack(self, kernel):
        """The compressed form of a `kernel` that has the pattern.

        It is the one that NVIDIA's sparse tensor cores take as their sparse operand (PTX ISA,
        `mma.sp`, "sparsity metadata"), for 2:4: along each row the live values one after another,
        and for each its place in its group of four, 2 bits, the first value in the lowest bits.
        Read as little-endian words of 16 or 32 bits these are the metadata words of `mma.sp` and of
        CUTLASS, in the order of rows and columns; which thread holds which word is up to a kernel.
        A place takes 2 bits up to M = 4 and 3 bits up to M = 8, which no hardware that we know
        reads.

        Where fewer than n of a group are not zero, the last zeros fill it up.

        Args:
            kernel: `[inputs, columns]`, all gates side by side.

        Returns:
            `(values, metadata)`: `[columns, inputs * n / m]`, of the kernel's dtype, and uint8
            `[columns, bytes]`: each row is packed by itself, its last byte filled up with zeros.

        Raises:
            ValueError: the kernel has other axes than two, `m` does not divide its inputs, or a
                group has more than `n` weights that are not zero.
        """
        groups = self._groups(kernel)
        alive = groups != 0
        crowded = np.argwhere(alive.sum(axis=2) > self.n)
        if crowded.size:
            column, group = crowded[0]
            raise ValueError(
                f"`kernel` must have at most {self.n} weights that are not zero in every "
                f"{self.m} inputs. Received: {alive[column, group].sum()} in the inputs "
                f"{group * self.m} to {group * self.m + self.m - 1} of column {column}, and "
                f"{len(crowded)} such groups in all. Prune it first, with "
                f"ksr.prune(model, pattern=ksr.patterns.{self!r})"
            )
        places = np.sort(np.argsort(alive, axis=2, kind="stable")[:, :, -self.n :], axis=2)
        values = np.take_along_axis(groups, places, axis=2).reshape(len(groups), -1)
        bits = places[..., None] >> np.arange(self.bits) & 1
        return values, np.packbits(bits.reshape(len(groups), -1), axis=1, bitorder="little")

    def unpack(self, values, metadata):
        """The kernel `[inputs, columns]` of what `pack` returns.

        Raises:
            ValueError: the shapes of the two do not fit, or the metadata of a group are no
                ascending places in it.
        """
        values, metadata = np.asarray(values), np.asarray(metadata)
        length = values.shape[1] if values.ndim == 2 else -1
        wanted = (len(values), math.ceil(length * self.bits / 8)) if length >= 0 else None
        if wanted is None or length % self.n or metadata.shape != wanted:
            raise ValueError(
                f"`values` must have the shape (columns, groups * {self.n}) and `metadata` "
                f"{self.bits} bits for each of them, in bytes (columns, bytes). Received: values "
                f"of shape {values.shape} and metadata of shape {metadata.shape}"
            )
        bits = np.unpackbits(
            metadata.astype(np.uint8), axis=1, count=length * self.bits, bitorder="little"
        )
        places = bits.reshape(len(values), -1, self.n, self.bits) @ (1 << np.arange(self.bits))
        wrong = (np.diff(places, axis=2) <= 0).any(axis=2) | (places >= self.m).any(axis=2)
        if wrong.any():
            column, group = np.argwhere(wrong)[0]
            raise ValueError(
                f"`metadata` must be ascending places from 0 to {self.m - 1} in each group. "
                f"Received: {places[column, group].tolist()} in group {group} of column {column}"
            )
        groups = np.zeros((*places.shape[:2], self.m), values.dtype)
        np.put_along_axis(groups, places, values.reshape(places.shape), axis=2)
        return np.ascontiguousarray(groups.reshape(len(values), -1).T)

    def _groups(self, kernel):
        """`[columns, groups, m]` of a kernel `[inputs, columns]`."""
        kernel = np.asarray(kernel)
        if kernel.ndim != 2 or kernel.shape[0] % self.m:
            raise ValueError(
                f"`kernel` must have two axes (inputs, columns), the first a multiple of {self.m}. "
                f"Received: kernel of shape {kernel.shape}"
            )
        return kernel.T.reshape(kernel.shape[1], -1, self.m)

    def __repr__(self):
        return f"NofM({self.n}, {self.m})"

    def get_config(self):
        return {"n": self.n, "m": self.m}
