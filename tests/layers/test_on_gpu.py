"""On a machine with a GPU a masked layer runs what its Keras parent runs. Here the list of devices
is a fake: Keras finds no cuDNN and takes its loop over time.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twinning import PARENTS, inputs, random_mask, twins

from keras_sparse_rnn import layers
from keras_sparse_rnn.substitution import substitute, to_dense


@pytest.fixture
def gpu(monkeypatch):
    """A function that lets the machine have a GPU."""
    real = tf.config.list_physical_devices
    return lambda: monkeypatch.setattr(
        tf.config,
        "list_physical_devices",
        lambda kind=None: ["a GPU"] if kind == "GPU" else real(kind),
    )


def outputs_and_gradients(layer, x, **call):
    with tf.GradientTape() as tape:
        x = tf.convert_to_tensor(x)
        tape.watch(x)
        outputs = layer(x, **call)
        loss = tf.reduce_sum(outputs * tf.sin(tf.cast(tf.range(outputs.shape[-1]), outputs.dtype)))
        loss += tf.add_n(layer.losses) if layer.losses else 0.0
    sources = [x, *(variable.value for variable in layer.trainable_variables)]
    return [np.asarray(one) for one in (outputs, *tape.gradient(loss, sources))]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cell", PARENTS)
def test_a_masked_layer_runs_its_parents_own_path(cell, masked, gpu, monkeypatch):
    parent = PARENTS[cell][0]
    _, layer = twins(
        cell, "masked", "auto", return_sequences=True, kernel_regularizer=keras.regularizers.L2(0.1)
    )
    call = {"mask": random_mask()} if masked else {}
    expected = outputs_and_gradients(layer, inputs(), training=True, **call)
    ran, choices, own = [], [], parent.inner_loop

    def inner_loop(self, *args, **kwargs):
        ran.append(self)
        choices.append(getattr(self, "use_cudnn", None))
        return own(self, *args, **kwargs)

    monkeypatch.setattr(parent, "inner_loop", inner_loop)
    layer(inputs())
    assert ran == []
    gpu()
    received = outputs_and_gradients(layer, inputs(), training=True, **call)
    assert ran == [layer] and choices == ["auto" if cell != "simple_rnn" else None]
    for wanted, got in zip(expected, received, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5)
    for grid, dense, gradient in zip(layer.grids, layer.dense_kernels(), received[2:4]):
        penalty = 0.2 * dense if gradient.shape == received[2].shape else 0.0
        assert not (gradient - penalty)[~grid.expand(grid.live(dense))].any()


def test_a_fresh_kernel_of_zeros_still_learns(gpu):
    gpu()
    layer = layers.BlockSparseGRU(
        8, (4, 4), storage="masked", recurrent_initializer="zeros", return_sequences=True
    )
    assert all(gradient.any() for gradient in outputs_and_gradients(layer, inputs()))


def test_a_masked_dense_layer_multiplies_the_dense_kernel(gpu):
    layer = layers.BlockSparseDense(8, (4, 4), storage="masked", sparsity=0.5, activation="tanh")
    x = inputs()
    expected = outputs_and_gradients(layer, x)
    gpu()
    for wanted, got in zip(expected, outputs_and_gradients(layer, x), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("arguments", [{"storage": "packed"}, {"kernel": "reference"}])
def test_other_layers_run_the_reference(arguments, gpu, monkeypatch):
    gpu()
    monkeypatch.setattr(keras.layers.LSTM, "inner_loop", None)
    layer = layers.BlockSparseLSTM(8, (4, 4), **{"storage": "masked", **arguments})
    assert layer(inputs()).shape[1] == 8


@pytest.mark.parametrize("choice", ["auto", False])
def test_keras_takes_no_path_of_its_own_around_the_layer_and_the_choice_comes_back(choice):
    """Bidirectional looks at `use_cudnn` of its layers, and would read kernels that a packed layer
    has not.
    """
    inner = keras.layers.LSTM(8, use_cudnn=choice)
    inner = keras.layers.Bidirectional(inner)
    model = keras.Sequential([keras.Input((5, 7)), inner])
    choice = inner.forward_layer.use_cudnn  # Keras 3.7 forgets it
    sparse = substitute(model, (4, 4), storage="masked")
    both = sparse.layers[0].forward_layer, sparse.layers[0].backward_layer
    assert [(layer.use_cudnn, layer.get_config()["use_cudnn"]) for layer in both] == [
        (False, choice)
    ] * 2
    dense = to_dense(sparse).layers[0]
    assert dense.forward_layer.use_cudnn == dense.backward_layer.use_cudnn == choice
    again = keras.models.clone_model(sparse).layers[0].forward_layer
    assert (again.use_cudnn, again.cudnn_choice) == (False, choice)
