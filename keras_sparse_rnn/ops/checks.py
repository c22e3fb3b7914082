"""What the ops check about their arguments, whichever kernel they take."""

import tensorflow as tf

from keras_sparse_rnn.ops import quantization
from keras_sparse_rnn.ops.integer_reference import IntegerKernel
from keras_sparse_rnn.ops.rounded_kernel import RoundedKernel

GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
NAMES = {"packed": "kernel", "recurrent_packed": "recurrent_kernel"}  # of layers, and native ops


def weights_type(packed, x_dtype):
    """The type of the weights that `packed` is computed with: what `quantize` calls it."""
    dtype = tf.as_dtype(packed.values.dtype)
    return (
        dtype.name
        if dtype == tf.int8 or (dtype == tf.bfloat16 and x_dtype != tf.bfloat16)
        else "float32"
    )


def computing_dtype(native, x_dtype, activations):
    """What an op computes in: the dtype of x where the reference runs, which rounds to int8 in
    float32 at least.
    """
    halves = activations == "int8" and x_dtype != tf.float64
    return tf.float32 if native or halves else x_dtype


def checked_kernels(native, dtype, largest=None, rounder=None, **kernels):
    """The kernels, checked: packed ones for `native`, else dense ones of `dtype`.

    `largest`: with int8 activations, what 127 stands for in what each kernel is multiplied with.
    `rounder`: what rounds that in training, see `functions.block_sparse_simple_rnn`.
    """
    types = {name: weights_type(packed, dtype) for name, packed in kernels.items()}
    if len(set(types.values())) > 1:
        raise ValueError(f"The weights of both kernels must be of one type. Received: {types}")
    result = []
    for name, packed in kernels.items():
        values = tf.convert_to_tensor(packed.values)
        packed = packed._replace(values=values, blocks=as_tensor(packed.blocks, tf.int32))
        check_shape(f"{name}.values", values, (None, *packed.grid.block_shape))
        if not values.shape[
            1:
        ].is_fully_defined():  # the op would take blocks of another shape for those of another grid
            message = f"`{name}.values` must hold blocks of the shape {packed.grid.block_shape}"
            check = tf.debugging.assert_equal(
                tf.shape(values)[1:], packed.grid.block_shape, message
            )
            with tf.control_dependencies([check]):
                values = tf.identity(values)
        check_shape(f"{name}.blocks", packed.blocks, (values.shape[0],))
        if (types[name] == "int8") != (packed.scales is not None):
            raise ValueError(
                f"`{name}.scales` must be there for int8 values, and for no others: see "
                f"`ops.quantize`. Received: values of {values.dtype.name} and "
                f"scales={packed.scales}"
            )
        if packed.scales is not None:
            packed = packed._replace(scales=as_tensor(packed.scales, tf.float32))
            check_shape(f"{name}.scales", packed.scales, quantization.scales_shape(packed.grid))
        label = NAMES.get(name, name)
        if rounder is not None:
            dense = quantization.dense(packed, dtype, f"{label}_blocks")
            result.append(RoundedKernel(dense, rounder, largest[name]))
        elif largest is not None and not native:
            result.append(IntegerKernel.of(packed, largest[name], dtype, label))
        elif not native:
            result.append(quantization.dense(packed, dtype, f"{label}_blocks"))
        else:
            result.append(packed._replace(values=as_tensor(values, types[name])))
    return result


def checked_sequence(
    cell, native, x, states, kernels, largest, bias, mask, bias_shape, rounder=None
):
    """Checks the static shapes; returns `x, *states, kernel, recurrent kernel, bias, mask`: kernels
    packed for `native`, else dense, or, where `largest` says what 127 stands for, of integers;
    with a `rounder`, dense ones that round what they are multiplied with.
    """
    packed, recurrent_packed = kernels.values()
    grid, gates = packed.grid, GATES[cell]
    if grid.gates != gates or recurrent_packed.grid.kernel_shape != (
        grid.units,
        gates * grid.units,
    ):
        raise ValueError(
            f"`packed` and `recurrent_packed` of a {cell} must have grids of {gates} gates of "
            "equal units, the recurrent one with as many inputs as units. Received: "
            f"packed.grid={grid}, recurrent_packed.grid={recurrent_packed.grid}"
        )
    dtype = computing_dtype(native, x.dtype, "int8" if largest else "float32")
    x = with_inputs(x, (None, None, grid.inputs))
    states = {name: as_tensor(state, dtype) for name, state in states.items()}
    for name, state in states.items():
        check_shape(name, state, (x.shape[0], grid.units))
    if bias is not None:
        bias = as_tensor(bias, dtype)
        check_shape("bias", bias, bias_shape)
    if mask is not None:
        mask = as_tensor(mask, tf.bool)
        check_shape("mask", mask, x.shape[:2])
    kernels = checked_kernels(native, x.dtype if native else dtype, largest, rounder, **kernels)
    return tf.cast(x, dtype), *states.values(), *kernels, bias, mask


def as_tensor(value, dtype):
    return tf.cast(tf.convert_to_tensor(value), dtype)


def check_shape(name, tensor, shape):
    if not tensor.shape.is_compatible_with(shape):
        raise ValueError(f"{_wanted(name, shape)} {tuple(tensor.shape)}")


def with_inputs(x, shape):
    """Checks `x`, whose last axis is that of a kernel's inputs: at run time where its size is not
    known before. Returns `x` of that static shape.
    """
    check_shape("x", x, shape)
    if x.shape[-1] is None:
        fits = tf.equal(tf.shape(x)[-1], shape[-1])
        with tf.control_dependencies(
            [tf.debugging.Assert(fits, [_wanted("x", shape), tf.shape(x)])]
        ):
            x = tf.identity(x)
        x.set_shape(shape)
    return x


def _wanted(name, shape):
    """What is wrong with a tensor of another shape, which is to follow."""
    shown = ", ".join("?" if size is None else str(size) for size in shape)
    return f"`{name}` must have the shape [{shown}]. Received: {name} of shape"
