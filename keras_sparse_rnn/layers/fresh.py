"""Which blocks live in a fresh layer."""

import random

import numpy as np


def live_count(grid, sparsity, storage):
    """How many blocks of `grid` live at `sparsity`: as many in each gate. In masked storage at
    least one, for all zero is no pattern there.
    """
    per_gate = grid.columns * grid.rows
    return max(grid.gates * (per_gate - round(sparsity * per_gate)), int(storage == "masked"))


def fresh_blocks(layer, name, index, grid, seed=None):
    """The numbers of the blocks that live in a kernel of a fresh layer, int32, ascending.

    Args:
        layer: the layer, whose arguments say which, or how many.
        name: of the kernel, for errors.
        index: which of the layer's kernels it is.
        grid: its `BlockGrid`.
        seed: as in `random_blocks`.

    Raises:
        ValueError: `live_blocks` of the layer are more than there are.
    """
    pattern = getattr(layer, "recurrent_pattern", None)
    if pattern is not None and name == "recurrent_kernel":
        return pattern.live_blocks(grid.gates)
    live = (
        layer.live_blocks[index]
        if layer.live_blocks
        else live_count(grid, layer.sparsity, layer.storage)
    )
    if live > grid.count:
        raise ValueError(
            f"`live_blocks` must not exceed the {grid.count} blocks of the {name}. "
            f"Received: live_blocks={layer.live_blocks}"
        )
    return random_blocks(grid, live, seed)


def random_blocks(grid, count, seed):
    """The numbers of `count` live blocks, int32, ascending, chosen at random and as evenly over the
    gates as `count` allows.

    `seed=None` follows `keras.utils.set_random_seed`.
    """
    generator = np.random.default_rng(random.randint(0, 2**31) if seed is None else seed)
    per_gate = grid.columns * grid.rows
    counts = [(count + gate) // grid.gates for gate in range(grid.gates)]
    chosen = [
        gate * per_gate + generator.permutation(per_gate)[:live] for gate, live in enumerate(counts)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int32)
