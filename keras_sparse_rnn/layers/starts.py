"""How a fresh kernel starts: which blocks live, and with what weights.

A packed kernel never has a dense one beside it, so it may be larger than the machine. Weights that
an initializer draws each by itself (all of Keras's but `Orthogonal` and `Identity`) are drawn for
the live blocks alone, of the spread that the initializer gives the dense kernel. `Orthogonal`,
which makes a dense matrix, gives way to normal numbers of the variance of its entries: what is left
of an orthogonal matrix without most of its blocks is not orthogonal. Where every block lives, and
for other initializers, the dense kernel is made and packed.
"""

import math
import random

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import ops
from keras_sparse_rnn.patterns import among_others

OF_EACH_WEIGHT = (
    keras.initializers.Constant,
    keras.initializers.Ones,
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.Zeros,
)
TRUNCATED = 0.87962566103423978  # the spread of a normal number cut at two standard deviations


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
        name: of the kernel.
        index: which of the layer's kernels it is.
        grid: its `BlockGrid`.
        seed: as in `random_blocks`.

    Raises:
        ValueError: more blocks are to live than there are, or fewer than `keep_diagonal` keeps.
    """
    pattern = getattr(layer, "recurrent_pattern", None)
    if pattern is not None and name == "recurrent_kernel":
        return pattern.live_blocks(grid.gates)
    live = live_count(grid, layer.sparsities[index], layer.storage)
    if layer.live_blocks:
        live = layer.live_blocks[index]
    if live > grid.count:
        raise ValueError(
            f"`live_blocks` must not exceed the {grid.count} blocks of the {name}. "
            f"Received: live_blocks={layer.live_blocks}"
        )
    keep_diagonal = name == "recurrent_kernel" and layer.keep_diagonal
    return random_blocks(grid, live, seed, keep_diagonal)


def random_blocks(grid, count, seed, keep_diagonal=False):
    """The numbers of `count` live blocks, int32, ascending, chosen at random and as evenly over the
    gates as `count` allows.

    Args:
        grid: the `BlockGrid` of the kernel.
        count: how many live.
        seed: `None` follows `keras.utils.set_random_seed`.
        keep_diagonal: whether the blocks that touch the diagonal of a gate are among them.

    Raises:
        ValueError: a gate has more blocks on its diagonal than live.
    """
    generator = np.random.default_rng(random.randint(0, 2**31) if seed is None else seed)
    per_gate = grid.columns * grid.rows
    counts = [(count + gate) // grid.gates for gate in range(grid.gates)]
    kept = grid.diagonal[: grid.diagonal.size // grid.gates] if keep_diagonal else np.zeros(0, int)
    if kept.size > min(counts):
        raise ValueError(
            f"`keep_diagonal` keeps {kept.size} of the {per_gate} blocks of a gate, more than "
            f"live. Received: {min(counts)} live blocks in a gate; lower the sparsity, or take "
            "smaller blocks"
        )
    chosen = []
    for gate, live in enumerate(counts):
        others = among_others(generator, per_gate, live - kept.size, kept)
        chosen.append(gate * per_gate + np.union1d(kept, others))
    return np.concatenate(chosen).astype(np.int32)


def initial_values(initializer, blocks, grid, dtype):
    """The values `[live, block rows, block columns]` with which a packed kernel starts whose
    `blocks`, int32 `[live]`, live.
    """
    drawn = None if len(blocks) == grid.count else _of_each_weight(initializer, grid.kernel_shape)
    if drawn is None:
        return ops.pack(initializer(grid.kernel_shape, dtype=dtype), blocks, grid)
    values = drawn((len(blocks), *grid.block_shape), dtype=dtype)
    return tf.where(ops.inside(blocks, grid), values, tf.zeros_like(values))


def _of_each_weight(initializer, shape):
    """An initializer that draws each weight by itself as `initializer` does in a kernel of `shape`;
    None if there is none.
    """
    kind = type(initializer)
    if kind in OF_EACH_WEIGHT:
        return initializer
    if kind is keras.initializers.Orthogonal:
        spread = initializer.gain / math.sqrt(max(shape))
        return keras.initializers.RandomNormal(0.0, spread, initializer.seed)
    scaling = keras.initializers.VarianceScaling
    if not isinstance(initializer, scaling) or kind.__call__ is not scaling.__call__:
        return None
    fans = {"fan_in": shape[0], "fan_out": shape[1], "fan_avg": sum(shape) / 2}
    variance = initializer.scale / max(1.0, fans[initializer.mode])
    seed = initializer.seed
    if initializer.distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return keras.initializers.RandomUniform(-limit, limit, seed)
    if initializer.distribution == "untruncated_normal":
        return keras.initializers.RandomNormal(0.0, math.sqrt(variance), seed)
    return keras.initializers.TruncatedNormal(0.0, math.sqrt(variance) / TRUNCATED, seed)
