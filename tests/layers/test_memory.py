"""What training holds: weights, gradients and the optimizer's slots of a packed layer against those
of the Keras layer, counted, not estimated.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse_rnn import callbacks, layers, schedules, substitute

UNITS, FEATURES, TIME = 128, 64, 3
PAIRS = [
    (keras.layers.LSTM, layers.BlockSparseLSTM),
    (keras.layers.GRU, layers.BlockSparseGRU),
    (keras.layers.SimpleRNN, layers.BlockSparseSimpleRNN),
]


def held_bytes(layer, optimizer):
    """Of the layer's weights, of a gradient for each trainable one, and of the optimizer's
    variables after a step.
    """
    x = np.ones((2, TIME, FEATURES), "float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    gradients = tape.gradient(loss, [variable.value for variable in layer.trainable_variables])
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    optimizer.apply(gradients, layer.trainable_variables)
    return sum(one.numpy().nbytes for one in [*layer.weights, *gradients, *optimizer.variables])


@pytest.mark.parametrize("block_shape", [(16, 16), (1, 16), (8, 8)])
@pytest.mark.parametrize("parent, twin", PAIRS, ids=lambda layer: layer.__name__)
def test_a_packed_layer_at_90_percent_holds_at_most_a_fifth(parent, twin, block_shape):
    dense = held_bytes(parent(UNITS), keras.optimizers.Adam())
    packed = held_bytes(twin(UNITS, block_shape, sparsity=0.9), keras.optimizers.Adam())
    kernels = (
        4 * parent(UNITS).cell.units * (UNITS + FEATURES)
    )  # of one gate, bytes: the smallest that is counted
    assert dense > 4 * kernels  # weights, gradients and two slots
    assert packed <= dense / 5


def test_a_pruned_model_that_goes_on_training_packed_holds_at_most_a_fifth():
    """Those of the LSTM: its slots come from the dense optimizer and are packed with the
    weights.
    """
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((TIME, FEATURES)), keras.layers.LSTM(UNITS)])
    model.compile("adam", "mse")
    x, y = np.ones((4, TIME, FEATURES), "float32"), np.zeros((4, UNITS), "float32")
    pruning = callbacks.BlockPruning(schedules.Constant(0.9, 0), block_shape=(16, 16), frequency=1)
    model.fit(x, y, verbose=0, callbacks=[pruning])
    sparse = substitute(model, (16, 16))
    sparse.fit(x, y, verbose=0)
    dense, packed = (
        sum(v.numpy().nbytes for v in [*one.weights, *one.optimizer.variables])
        for one in (model, sparse)
    )
    assert packed <= dense / 5
