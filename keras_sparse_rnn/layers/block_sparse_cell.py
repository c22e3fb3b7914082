"""One step of a block-sparse layer, as a Keras cell."""

import keras

from keras_sparse_rnn.layers.base import BlockSparseRNN
from keras_sparse_rnn.layers.cells import step
from keras_sparse_rnn.private_keras import DropoutRNNCell

OF_SEQUENCES = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
    "activity_regularizer",
)


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class BlockSparseCell(keras.layers.Layer, DropoutRNNCell):
    """A cell that takes one step of a block-sparse layer: for `keras.layers.RNN`,
    `StackedRNNCells`, cells of your own and loops of your own, wherever Keras's `LSTMCell`,
    `GRUCell` or `SimpleRNNCell` may stand.

    It is called as these are, `cell(inputs, states) -> output, states`, with `inputs` `[batch,
    features]` and each state `[batch, units]`, and each call is one call of the op of a sequence of
    one step. A layer is faster over whole sequences: its op loops over time itself.
    With `storage="masked"` the live blocks are looked for at every step.

    Example:

    >>> from keras_sparse_rnn.layers import BlockSparseGRU
    >>> cells = [BlockSparseCell(BlockSparseGRU(32, sparsity=0.5)) for _ in range(2)]
    >>> stack = keras.layers.RNN(keras.layers.StackedRNNCells(cells))
    >>> stack(keras.ops.zeros((1, 7, 16))).shape
    TensorShape([1, 32])

    Args:
        layer: a `BlockSparseLSTM`, `BlockSparseGRU` or `BlockSparseSimpleRNN`, whose weights these
            are. Where one cell stands in several places, it is one set of weights.
        kwargs: `name` and `trainable`, as of every Keras layer. Its dtype is that of `layer`.

    Raises:
        ValueError: `layer` is no such layer, or does with sequences what the layer around a cell
            does: `return_sequences` and the like.
    """

    def __init__(self, layer, **kwargs):
        _check(layer)
        super().__init__(**{**kwargs, "dtype": layer.dtype_policy})
        self.layer = layer
        self.units = layer.units
        self.state_size = layer.cell.state_size
        self.output_size = layer.cell.output_size
        self.supports_jit = layer.supports_jit
        if not self.trainable:
            self.trainable = False  # the layer inside, too

    def build(self, input_shape):
        self.layer.build((input_shape[0], None, input_shape[-1]))

    def call(self, inputs, states, training=False):
        return step(self.layer, inputs, states, training)

    def get_initial_state(self, batch_size=None):
        """Zeros, in the structure of the Keras cell's."""
        return self.layer.cell.get_initial_state(batch_size)

    # The layer around a cell makes the masks of dropout before its first step, and drops them after
    # its last.

    def get_dropout_mask(self, step_input):
        """That of the Keras cell."""
        return self.layer.cell.get_dropout_mask(step_input)

    def get_recurrent_dropout_mask(self, step_input):
        """That of the Keras cell."""
        return self.layer.cell.get_recurrent_dropout_mask(step_input)

    def reset_dropout_mask(self):
        """Forgets the mask, as the Keras cell does."""
        self.layer.cell.reset_dropout_mask()

    def reset_recurrent_dropout_mask(self):
        """Forgets the mask, as the Keras cell does."""
        self.layer.cell.reset_recurrent_dropout_mask()

    def get_config(self):
        config = super().get_config()
        config.pop("dtype")
        return {**config, "layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        layer = keras.saving.deserialize_keras_object(config["layer"], custom_objects)
        return cls(**{**config, "layer": layer})


def _check(layer):
    """Raises a `ValueError` unless `layer` is one that a cell can step."""
    if not isinstance(layer, BlockSparseRNN):
        raise ValueError(
            "`layer` must be a BlockSparseLSTM, BlockSparseGRU or BlockSparseSimpleRNN, of which "
            f"the cell takes one step. Received: layer={layer!r}"
        )
    given = [name for name in OF_SEQUENCES if getattr(layer, name)]
    if given:
        raise ValueError(
            f"`layer` must be without {', '.join(f'`{name}`' for name in given)}, which a cell has "
            "not: give them to the keras.layers.RNN around it. Received: the layer "
            f"{layer.name!r} with {', '.join(f'{name}={getattr(layer, name)}' for name in given)}"
        )
