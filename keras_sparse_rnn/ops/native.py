"""The native ops as Python calls them, and their gradients.

Importing this module registers the gradients. Its functions take checked float32 tensors (see
`functions.py`); an absent bias or mask goes to the ops as an empty tensor. With `keep` the forward
op leaves what the backward op needs (some seven numbers per unit, step and sample); without it the
backward op computes that again, so gradients are right either way and inference does not pay for
them."""

import tensorflow as tf

from keras_sparse_rnn.ops import loader

_ops = loader.library()

# Their numbers in ksr.h.
PREPARED_CELLS = {
    name: number
    for number, name in enumerate(
        ("lstm", "gru", "gru_reset_before", "simple_rnn_tanh", "simple_rnn_relu")
    )
}


def matmul(x, packed):
    """`x` `[..., inputs]` times a packed kernel."""
    return _by_rows(_ops.keras_sparse_rnn_matmul, x, packed, gates=packed.grid.gates)


def prepared_matmul(x, packed, input_range=None):
    """The same with a kernel of one gate, which is prepared and found again as in `prepared`;
    `input_range` as there.
    """
    options = {"integers": input_range is not None, "input_range": input_range or 0.0}
    return _by_rows(_ops.keras_sparse_rnn_prepared_matmul, x, packed, **options)


def _by_rows(op, x, packed, **options):
    """What `op` makes of each row of `x` `[..., inputs]`."""
    grid = packed.grid
    outputs = grid.gates * grid.units
    rows = x if x.shape.rank == 2 else tf.reshape(x, (-1, grid.inputs))
    y = op(rows, packed.values, packed.blocks, _scales(packed), units=grid.units, **options)
    if x.shape.rank == 2:
        return tf.ensure_shape(y, (x.shape[0], outputs))
    leading = tf.shape(x)[:-1] if None in x.shape[:-1] else x.shape[:-1]
    return tf.reshape(y, tf.concat([leading, [outputs]], 0))


def pack_live(kernel, grid):
    """`values, blocks` of the blocks of a dense `kernel` that are not all zero; of every block if
    it is all zero or a multiple of the identity.
    """
    height, width = grid.block_shape
    values, blocks = _ops.keras_sparse_rnn_pack(
        tf.ensure_shape(kernel, grid.kernel_shape),
        units=grid.units,
        gates=grid.gates,
        block_rows=height,
        block_columns=width,
    )
    return tf.ensure_shape(values, (None, height, width)), tf.ensure_shape(blocks, (None,))


def simple_rnn(x, h0, packed, recurrent_packed, bias, mask, activation, go_backwards, keep):
    outputs, h, _ = _ops.keras_sparse_rnn_simple_rnn(
        x,
        h0,
        *_tensors(packed, recurrent_packed, bias, mask),
        go_backwards=go_backwards,
        keep=keep,
        relu=activation == "relu",
    )
    return outputs, h


def lstm(x, h0, c0, packed, recurrent_packed, bias, mask, go_backwards, keep):
    outputs, h, c, _ = _ops.keras_sparse_rnn_lstm(
        x,
        h0,
        c0,
        *_tensors(packed, recurrent_packed, bias, mask),
        go_backwards=go_backwards,
        keep=keep,
    )
    return outputs, h, c


def gru(x, h0, packed, recurrent_packed, bias, mask, reset_after, go_backwards, keep):
    outputs, h, _ = _ops.keras_sparse_rnn_gru(
        x,
        h0,
        *_tensors(packed, recurrent_packed, bias, mask),
        go_backwards=go_backwards,
        keep=keep,
        reset_after=reset_after,
    )
    return outputs, h


def prepared(cell, x, *arguments, go_backwards, input_range=None):
    """A sequence through a cell that is prepared from its weights when they first come, and found
    again as long as they are the same tensors: a variable gives another one once it has changed.

    Args:
        cell: a key of `PREPARED_CELLS`.
        x, arguments, go_backwards: as of the cells' own functions: states, packed kernels, bias and
            mask.
        input_range: None for float32 activations; for int8 ones the input that 127 stands for, or 0
            for the largest of each step.

    Returns:
        `outputs, h`, and of an LSTM `c`.
    """
    *states, packed, recurrent_packed, bias, mask = arguments
    results = _ops.keras_sparse_rnn_prepared(
        x,
        states[0],
        states[1] if len(states) > 1 else tf.zeros((0, 0)),
        *_tensors(packed, recurrent_packed, bias, mask),
        cell=PREPARED_CELLS[cell],
        integers=input_range is not None,
        go_backwards=go_backwards,
        input_range=input_range or 0.0,
    )
    return results[: 1 + len(states)]


def _tensors(packed, recurrent_packed, bias, mask):
    return (
        packed.values,
        packed.blocks,
        recurrent_packed.values,
        recurrent_packed.blocks,
        tf.zeros((0,)) if bias is None else bias,
        tf.zeros((0, 0), tf.bool) if mask is None else mask,
        _scales(packed),
        _scales(recurrent_packed),
    )


def _scales(packed):
    return tf.zeros((0,)) if packed.scales is None else packed.scales


@tf.RegisterGradient("KerasSparseRnnMatmul")
@tf.RegisterGradient("KerasSparseRnnPreparedMatmul")
def _matmul_gradient(op, dy):
    x, values, blocks, _ = op.inputs
    gates = op.get_attr("gates") if op.type == "KerasSparseRnnMatmul" else 1
    dx, d_values = _ops.keras_sparse_rnn_matmul_grad(
        x, values, blocks, dy, units=op.get_attr("units"), gates=gates
    )
    return dx, d_values, None, None


@tf.RegisterGradient("KerasSparseRnnPack")
def _pack_gradient(op, d_values, _):
    inputs, units, gates = op.inputs[0].shape[0], op.get_attr("units"), op.get_attr("gates")
    d_kernel = _ops.keras_sparse_rnn_pack_grad(
        d_values, op.outputs[1], inputs=inputs, units=units, gates=gates
    )
    return tf.ensure_shape(d_kernel, (inputs, gates * units))


def _recurrent_gradient(grad_op, states, *attributes):
    """The gradient function of a cell with `states` states whose ops have `attributes` besides
    those that all have.
    """

    def gradient(op, d_outputs, *d_states_and_reserve):
        options = {name: op.get_attr(name) for name in ("go_backwards", "keep", *attributes)}
        reserve = op.outputs[-1]
        *inputs, _, _ = op.inputs  # without the scales, which float32 weights have not
        *d_inputs, d_values, d_recurrent_values, d_bias = grad_op(
            *inputs, reserve, d_outputs, *d_states_and_reserve[:-1], **options
        )
        d_bias = tf.reshape(d_bias, tf.shape(inputs[-2]))
        return *d_inputs, d_values, None, d_recurrent_values, None, d_bias, None, None, None

    return gradient


tf.RegisterGradient("KerasSparseRnnSimpleRnn")(
    _recurrent_gradient(_ops.keras_sparse_rnn_simple_rnn_grad, 1, "relu")
)
tf.RegisterGradient("KerasSparseRnnLstm")(_recurrent_gradient(_ops.keras_sparse_rnn_lstm_grad, 2))
tf.RegisterGradient("KerasSparseRnnGru")(
    _recurrent_gradient(_ops.keras_sparse_rnn_gru_grad, 1, "reset_after")
)


@tf.RegisterGradient("KerasSparseRnnPrepared")
def _prepared_gradient(op, d_outputs, d_h, d_c):
    """That of the cell's own op, which computes again what it needs."""
    x, h0, c0, *weights, _, _ = op.inputs
    cell, attributes = op.get_attr("cell"), {"go_backwards": op.get_attr("go_backwards")}
    states, d_states = [h0], [d_h]
    if cell == PREPARED_CELLS["lstm"]:
        grad_op = _ops.keras_sparse_rnn_lstm_grad
        states, d_states = [h0, c0], [d_h, d_c]
    elif cell in (PREPARED_CELLS["gru"], PREPARED_CELLS["gru_reset_before"]):
        grad_op = _ops.keras_sparse_rnn_gru_grad
        attributes["reset_after"] = cell == PREPARED_CELLS["gru"]
    else:
        grad_op = _ops.keras_sparse_rnn_simple_rnn_grad
        attributes["relu"] = cell == PREPARED_CELLS["simple_rnn_relu"]
    dx, *rest = grad_op(
        x, *states, *weights, tf.zeros((0,)), d_outputs, *d_states, keep=False, **attributes
    )
    *d_states, d_values, d_recurrent_values, d_bias = rest
    d_c0 = d_states[1] if len(d_states) > 1 else None
    d_bias = tf.reshape(d_bias, tf.shape(weights[4]))
    d_weights = d_values, None, d_recurrent_values, None, d_bias
    return dx, d_states[0], d_c0, *d_weights, None, None, None


def _second(op, *_):
    raise NotImplementedError(
        f"The native ops have first derivatives only, and a second one of {op.type} was asked "
        'for. Use kernel="reference".'
    )


for _name in ("Matmul", "Pack", "SimpleRnn", "Lstm", "Gru"):
    tf.RegisterGradient(f"KerasSparseRnn{_name}Grad")(_second)
