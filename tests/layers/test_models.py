"""Block-sparse layers inside models: wrappers, masks from other layers, changing shapes,
training.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twinning import (
    INPUTS,
    NATIVE,
    PARENTS,
    TIME,
    UNITS,
    inputs,
    random_mask,
    set_dense_weights,
    twins,
)

from keras_sparse_rnn import layers


def same(one, other, tolerance=3e-6):
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", None])
@pytest.mark.parametrize("cell", PARENTS)
def test_bidirectional(cell, merge_mode):
    pairs = [
        twins(cell, seed=seed, return_sequences=True, go_backwards=bool(seed)) for seed in (0, 1)
    ]
    wrapped = []
    for index in (0, 1):
        forward, backward = (pair[index] for pair in pairs)
        wrapper = keras.layers.Bidirectional(
            forward, backward_layer=backward, merge_mode=merge_mode
        )
        wrapper.build((5, TIME, INPUTS))
        wrapper.forward_layer.set_weights(forward.get_weights())
        wrapped.append(wrapper)
    for mask in (None, random_mask()):
        expected, received = (wrapper(inputs(), mask=mask) for wrapper in wrapped)
        for one, other in zip(
            keras.tree.flatten(expected), keras.tree.flatten(received), strict=True
        ):
            same(other, one)


def test_bidirectional_makes_its_own_backward_layer():
    wrapper = keras.layers.Bidirectional(
        layers.BlockSparseLSTM(UNITS, (4, 4), sparsity=0.5, return_state=True)
    )
    outputs, *states = wrapper(inputs())
    assert outputs.shape == (5, 2 * UNITS) and len(states) == 4
    assert (
        type(wrapper.backward_layer) is layers.BlockSparseLSTM
        and wrapper.backward_layer.go_backwards
    )


@pytest.mark.parametrize("time", [3, None])
def test_time_distributed(time):
    _, layer = twins("lstm")
    model = keras.Sequential(
        [keras.Input((time, TIME, INPUTS)), keras.layers.TimeDistributed(layer)]
    )
    x = np.stack([inputs(seed) for seed in range(3)], axis=1)
    received = model.predict(x, verbose=0)
    assert received.shape == (5, 3, UNITS)
    same(received[:, 1], layer(x[:, 1]))


@pytest.mark.parametrize("cell", PARENTS)
def test_masks_of_embedding_and_masking(cell):
    expected, layer = twins(cell)
    tokens = np.random.default_rng(0).integers(0, 4, (5, TIME))
    tokens[0] = 0
    embedding = keras.layers.Embedding(4, INPUTS, mask_zero=True)
    same(layer(embedding(tokens)), expected(embedding(tokens)))
    x = inputs() * (tokens > 0)[..., None]
    same(layer(keras.layers.Masking()(x)), expected(keras.layers.Masking()(x)))
    assert np.abs(layer(x) - expected(keras.layers.Masking()(x))).max() > 0.01


@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize("cell", PARENTS)
def test_any_batch_and_length_in_one_graph(cell, storage):
    expected, layer = twins(cell, storage, "auto", return_sequences=True)
    call = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((None, None, INPUTS))])
    for batch, time in ((1, 1), (4, 9), (3, 2)):
        x = inputs(batch=batch, time=time)
        same(call(x), expected(x))
    assert call(np.zeros((0, 4, INPUTS), "float32")).shape == (0, 4, UNITS)


@pytest.mark.parametrize("cell", PARENTS)
def test_shapes_before_and_without_a_call(cell):
    expected, layer = twins(cell, return_sequences=True, return_state=True)
    shape = (None, None, INPUTS)
    assert layer.compute_output_shape(shape) == expected.compute_output_shape(shape)
    spec = layer.compute_output_spec(keras.KerasTensor(shape))
    assert [tensor.shape for tensor in spec] == [
        tuple(shape) for shape in expected.compute_output_shape(shape)
    ]
    symbolic = layer(keras.Input((None, INPUTS)))
    assert [tensor.shape for tensor in symbolic] == [tensor.shape for tensor in spec]
    traced = tf.function(lambda x: layer(x)).get_concrete_function(tf.TensorSpec((4, None, INPUTS)))
    assert [tensor.shape.as_list() for tensor in traced.outputs][1:] == [[4, UNITS]] * len(
        layer.state_size
    )


def test_encoder_and_decoder_with_states_handed_over():
    source, target = keras.Input((None, INPUTS)), keras.Input((None, INPUTS))
    _, *states = layers.BlockSparseLSTM(UNITS, (4, 4), sparsity=0.5, return_state=True)(source)
    decoded = layers.BlockSparseLSTM(UNITS, (4, 4), sparsity=0.5, return_sequences=True)(
        target, initial_state=states
    )
    model = keras.Model([source, target], keras.layers.Dense(2)(decoded))
    model.compile("adam", "mse")
    losses = model.fit([inputs(), inputs(1)], np.ones((5, TIME, 2)), epochs=8, verbose=0).history[
        "loss"
    ]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "storage, policy, rates",
    [
        ("packed", "float32", {"dropout": 0.1, "recurrent_dropout": 0.1}),
        ("masked", "mixed_float16", {"recurrent_dropout": 0.1}),
        pytest.param("packed", "mixed_float16", {"dropout": 0.1}, marks=pytest.mark.slow),
        ("packed", "mixed_bfloat16", {}),
    ],
)
@pytest.mark.quick_cases
def test_learns(storage, policy, rates):
    keras.utils.set_random_seed(0)
    layer = layers.BlockSparseGRU(
        UNITS, (4, 4), sparsity=0.5, storage=storage, dtype=policy, **rates
    )
    model = keras.Sequential([keras.Input((TIME, INPUTS)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    x = inputs(batch=64)
    losses = model.fit(x, x[:, :, :1].sum(1), batch_size=16, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_a_frozen_layer_does_not_learn():
    _, layer = twins("lstm", trainable=False)
    model = keras.Sequential([keras.Input((TIME, INPUTS)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = layer.get_weights()
    model.fit(inputs(), np.ones((5, 1)), verbose=0)
    assert all(np.array_equal(one, other) for one, other in zip(before, layer.get_weights()))
    assert layer.trainable_weights == [] and len(layer.weights) == 5


def test_summary_counts_live_weights(capsys):
    _, layer = twins("lstm")
    keras.Sequential([keras.Input((TIME, INPUTS)), layer]).summary()
    live = sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
    assert f"Trainable params: {live:,}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "cell, storage",
    [
        ("lstm", "packed"),
        pytest.param("gru", "masked", marks=pytest.mark.slow),
        pytest.param("simple_rnn", "packed", marks=pytest.mark.slow),
    ],
)
def test_reference_trains_under_xla(cell, storage):
    expected, layer = twins(cell, storage, "reference", return_sequences=True)
    assert layer.supports_jit
    model = keras.Sequential([keras.Input((TIME, INPUTS)), layer])
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=True)
    target = np.ones((5, TIME, UNITS), "float32")
    loss = model.fit(inputs(), target, verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, np.square(expected(inputs()) - target).mean(), rtol=1e-5)


@pytest.mark.parametrize("kernel", ["auto", "native"])
def test_models_that_may_run_native_are_not_compiled_with_xla(kernel):
    layer = layers.BlockSparseSimpleRNN(UNITS, (4, 4), kernel=kernel)
    model = keras.Sequential([keras.Input((TIME, INPUTS)), layer] if kernel == "auto" else [layer])
    model.compile("sgd", "mse")
    assert not layer.supports_jit and model.jit_compile is False


@pytest.mark.skipif(not NATIVE, reason="the native library is not built")
@pytest.mark.parametrize("storage", ["packed", "masked"])
@pytest.mark.parametrize("cell", PARENTS)
def test_native_ops_really_run(cell, storage, monkeypatch):
    from keras_sparse_rnn.ops import reference

    def forbidden(*args):
        raise AssertionError("the reference ran")

    expected, layer = twins(cell, storage, "native", return_sequences=True)
    monkeypatch.setattr(reference, cell, forbidden)
    same(layer(inputs(), mask=random_mask()), expected(inputs(), mask=random_mask()))
    call = tf.function(lambda x: layer(x)).get_concrete_function(
        tf.TensorSpec((None, None, INPUTS))
    )
    operations = {node.type.lower() for node in call.graph.get_operations()}
    op = "prepared" if storage == "packed" else cell.replace("_", "")
    assert f"kerassparsernn{op}" in operations and "while" not in operations


def test_weights_may_be_replaced_with_another_pattern_of_the_same_size():
    expected, layer = twins("gru", return_sequences=True)
    kernels = [np.roll(kernel, 0, axis=0) for kernel in layer.dense_kernels()]
    grid = layer.grids[1]
    live = np.roll(grid.live(kernels[1]).ravel(), 1).reshape(grid.shape)
    kernels[1] = (
        np.random.default_rng(3).normal(size=kernels[1].shape) * grid.expand(live)
    ).astype("float32")
    set_dense_weights(layer, kernels, None)
    expected.set_weights([*kernels, expected.cell.bias.numpy()])
    same(layer(inputs()), expected(inputs()))
