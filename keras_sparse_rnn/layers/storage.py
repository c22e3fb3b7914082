"""How one kernel of a block-sparse layer is kept, packed or masked, and how the ops get to see it.

**Packed**: the layer owns the live blocks, `values` `[live, block rows, block columns]`
(trainable), and their numbers `blocks` int32 `[live]` (not trainable). Gradients and optimiser
state exist for live weights only. The pattern is that of `blocks`: fixed, unless somebody assigns
both.

**Masked**: the layer owns the dense kernel of its Keras parent. A block lives if any weight in it
is not zero. The live blocks are packed at the start of each call, so the layer gets faster as
`BlockPruning` prunes it, and gradients reach live blocks only: a dead block stays dead.

A kernel that is all zero or a multiple of the identity is what an initializer gives, not a pattern:
all its blocks live, as for `BlockPruning`, so that it can learn. (`BlockPruning` always leaves a
block, so it never makes a kernel all zero.)

Regularisers and constraints mean what they mean in Keras in both storages: they see the dense
kernel `[inputs, gates * units]`. In packed storage it is unpacked for them, except for L1 and L2,
which sum over weights and so may see the packed ones, and for a GroupLasso of the same blocks."""

import functools

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import ops
from keras_sparse_rnn.layers.adapters import DenseRegularizer, MaskedRegularizer, PackedConstraint
from keras_sparse_rnn.layers.starts import initial_values
from keras_sparse_rnn.regularizers import Regularizer

SUMS_OVER_WEIGHTS = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)


def add_packed_weights(
    owner,
    add_weight,
    name,
    grid,
    blocks,
    *,
    initializer,
    weights="float32",
    activations="float32",
    regularizer=None,
    constraint=None,
    **options,
):
    """Creates the variables `<name>_values` and `<name>_blocks` of a packed kernel, and
    `<name>_scales` of one of int8, as attributes of `owner`.

    Quantised kernels are not trainable, so regularizers and constraints do not concern them.

    Args:
        owner: the layer that shall own them.
        add_weight: its method.
        name: of the dense kernel.
        grid: its `BlockGrid`.
        blocks: int32 `[live]`, the numbers of the live blocks.
        initializer, regularizer, constraint: of the dense kernel.
        weights: `"float32"`, `"bfloat16"` or `"int8"`.
        activations: what the weights are quantised for, see `ops.quantize`.
        options: passed on to `add_weight`.
    """
    quantized = weights != "float32"

    @functools.lru_cache(maxsize=1)
    def rounded():
        values = initial_values(initializer, blocks, grid, "float32")
        return ops.quantize(ops.PackedKernel(values, blocks, grid), weights, activations)

    def fresh_values(shape, dtype=None):
        return rounded().values if quantized else initial_values(initializer, blocks, grid, dtype)

    if quantized:
        options.update(dtype=weights, trainable=False)

    values = add_weight(
        name=f"{name}_values",
        shape=(len(blocks), *grid.block_shape),
        initializer=fresh_values,
        autocast=False,
        **options,
    )
    numbers = add_weight(
        name=f"{name}_blocks",
        shape=(len(blocks),),
        initializer=lambda shape, dtype=None: tf.constant(blocks, dtype),
        dtype="int32",
        trainable=False,
        autocast=False,
    )
    setattr(owner, f"{name}_values", values)
    setattr(owner, f"{name}_blocks", numbers)
    if weights == "int8":
        scales = add_weight(
            name=f"{name}_scales",
            shape=(grid.gates, grid.columns, grid.block_shape[1]),
            initializer=lambda shape, dtype=None: rounded().scales,
            dtype="float32",
            trainable=False,
            autocast=False,
        )
        setattr(owner, f"{name}_scales", scales)
    if quantized:
        return
    if regularizer is not None:
        whole = type(regularizer) in SUMS_OVER_WEIGHTS
        values.regularizer = regularizer if whole else DenseRegularizer(regularizer, numbers, grid)
    if constraint is not None or has_padding(grid):
        values.constraint = PackedConstraint(constraint, numbers, grid)


def packed_kernel(owner, name, grid, dtype, weights):
    """The `ops.PackedKernel` of the variables that `add_packed_weights` made: float values of
    `dtype`, quantised ones as they are stored.

    `weights` tells them apart, not the variables' dtype: under the policy "bfloat16" trainable ones
    are bfloat16, too.
    """
    values, blocks = (
        tf.convert_to_tensor(getattr(owner, f"{name}_values")),
        tf.convert_to_tensor(getattr(owner, f"{name}_blocks")),
    )
    if weights == "float32":
        return ops.PackedKernel(tf.cast(values, dtype), blocks, grid)
    scales = getattr(owner, f"{name}_scales", None)
    return ops.PackedKernel(
        values, blocks, grid, None if scales is None else tf.convert_to_tensor(scales)
    )


def keeps_its_tensors(storage, compute_dtype):
    """Whether the op sees the variables' own values, the same tensors until they are assigned.
    Masked kernels are packed anew in each call, and other dtypes are cast.
    """
    return storage == "packed" and compute_dtype == "float32"


def packed_variables(owner, name):
    """The variables of a packed kernel: values, blocks and, for int8, scales."""
    found = [getattr(owner, f"{name}_{part}", None) for part in ("values", "blocks", "scales")]
    return [variable for variable in found if variable is not None]


def dense_kernel(owner, name, grid, weights):
    """The dense kernel of packed variables as a NumPy array, dequantised, dead blocks zero."""
    if weights == "float32":
        values = getattr(owner, f"{name}_values").numpy()
        return grid.unpack(values, getattr(owner, f"{name}_blocks").numpy(), f"{name}_blocks")
    packed = packed_kernel(owner, name, grid, None, weights)
    return ops.dense(packed, tf.float32, f"{name}_blocks").numpy()


def masked_initializer(initializer, grid, blocks):
    """An initializer of the dense kernel that leaves all blocks but `blocks` zero.

    Raises:
        ValueError: `initializer` leaves more of them zero, so the weights could not say which live.
    """
    if len(blocks) < grid.count and isinstance(
        initializer, (keras.initializers.Zeros, keras.initializers.Identity)
    ):
        raise ValueError(
            '`sparsity` must be 0 in a layer of `storage="masked"` whose kernel starts with '
            "zeros: which blocks live stands in the weights "
            f"alone. Received: an initializer of class {type(initializer).__name__}"
        )
    live = np.zeros(grid.count, bool)
    live[blocks] = True
    keep = grid.expand(live)

    def initial_kernel(shape, dtype=None):
        return tf.where(keep, initializer(shape, dtype=dtype), tf.zeros((), dtype))

    return initial_kernel


def add_masked_weight(add_weight, name, grid, blocks, *, initializer, **options):
    """Creates the dense variable of a masked kernel, of which only the blocks numbered `blocks` are
    not zero, and returns it.
    """
    initializer = masked_initializer(initializer, grid, blocks)
    # Without autocast: kernels are computed with in float32 also under mixed precision.
    variable = add_weight(name=name, initializer=initializer, autocast=False, **options)
    if isinstance(variable.regularizer, Regularizer):
        variable.regularizer = MaskedRegularizer(variable.regularizer, grid)
    return variable


def is_dense_on_gpu(storage, kernel_choice):
    """Whether a layer computes with its dense kernels, dead blocks masked: masked ones, where there
    is a GPU, which has no native op.
    """
    on_gpu = storage == "masked" and kernel_choice == "auto"
    return on_gpu and bool(tf.config.list_physical_devices("GPU"))


def masked_kernel(variable, grid, dtype, native, training):
    """Packs a masked kernel for one call: its live blocks in a native op, else all of them."""
    packed = (pack_live if native else pack_all)(tf.cast(variable, dtype), grid)
    if training and isinstance(variable.regularizer, MaskedRegularizer):
        variable.regularizer.remember(packed)
    return packed


def is_initial(kernel):
    """Whether a dense `kernel` is all zero or a multiple of the identity: one value on the
    diagonal, nothing beside it. A bool tensor.
    """
    diagonal = tf.linalg.diag_part(kernel)
    nothing_beside = tf.math.count_nonzero(kernel) == tf.math.count_nonzero(diagonal)
    return nothing_beside & tf.reduce_all(diagonal == diagonal[0])


def pack_live(kernel, grid):
    """Packs the blocks of a dense `kernel` that are not all zero, or every block if it
    `is_initial`. How many there are is known only when it runs.

    The kernel is read once, to see what lives; only live blocks are copied. Gradients reach them
    only. Native where it can be.
    """
    if tf.config.list_physical_devices("GPU") or ops.why_not_native("matmul", dtype=kernel.dtype):
        return pack_live_in_tensorflow(kernel, grid)
    from keras_sparse_rnn.ops import native

    return ops.PackedKernel(*native.pack_live(kernel, grid), grid)


def pack_live_in_tensorflow(kernel, grid):
    """`pack_live` in plain TensorFlow: for other dtypes, and what the native op is tested
    against.
    """
    dense = kernel
    height, width = grid.block_shape
    gates, columns, rows = grid.shape
    if has_padding(grid):
        kernel = tf.reshape(kernel, (grid.inputs, gates, grid.units))
        kernel = tf.pad(
            kernel, ((0, rows * height - grid.inputs), (0, 0), (0, columns * width - grid.units))
        )
    strips = tf.reshape(
        kernel, (rows * height, gates * columns, width)
    )  # a block is `height` of them, one below the other
    alive = tf.reduce_any(strips != 0, axis=2)
    alive = tf.reduce_any(tf.reshape(alive, (rows, height, gates * columns)), axis=1)
    alive = tf.reshape(tf.transpose(alive), (-1,))
    # Only a kernel without a live block off the diagonal needs the second look.
    off_diagonal = ~grid.live(np.eye(*grid.kernel_shape)).ravel()
    alive |= tf.cond(tf.reduce_any(alive & off_diagonal), lambda: False, lambda: is_initial(dense))
    blocks = tf.cast(tf.where(alive)[:, 0], tf.int32)
    first, column = blocks % rows * height, blocks // rows
    numbers = (first[:, None] + tf.range(height)) * (gates * columns) + column[:, None]
    values = tf.gather(tf.reshape(strips, (-1, width)), numbers)
    return ops.PackedKernel(values, blocks, grid)


def pack_all(kernel, grid):
    """Packs every block of a dense `kernel`: of static shape, for XLA. Gradients reach only the
    blocks that live for `pack_live`.
    """
    blocks = np.arange(grid.count, dtype=np.int32)
    values = ops.pack(kernel, blocks, grid)
    alive = tf.reduce_any(values != 0, axis=(1, 2), keepdims=True) | is_initial(kernel)
    return ops.PackedKernel(tf.where(alive, values, tf.zeros_like(values)), blocks, grid)


def has_padding(grid):
    """Whether the grid has partial blocks, of which a part lies outside the kernel."""
    return grid.inputs % grid.block_shape[0] != 0 or grid.units % grid.block_shape[1] != 0
