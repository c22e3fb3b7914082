"""Models that train at few bits: made by `substitute`, pruned while they train, and brought into
the int8 cells.
"""

import keras
import numpy as np
import pytest
from pruning import data, prune

import keras_sparse_rnn as ksr
from keras_sparse_rnn.quantization import LowPrecision

# Keras makes NumPy 2 warn whenever it writes a variable.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
BLOCK = (4, 4)
INT8 = {"weights": "int8", "activations": "int8"}


def small_model():
    keras.utils.set_random_seed(0)
    stack = [
        keras.Input((7, 9)),
        keras.layers.LSTM(19, return_sequences=True, name="lstm"),
        keras.layers.GRU(17, name="gru"),
        keras.layers.Dense(8, name="dense"),
    ]
    model = prune(keras.Sequential(stack), BLOCK)
    kernel, bias = model.layers[-1].get_weights()
    kernel[:8] = 0
    model.layers[-1].set_weights([kernel, bias])
    return model


def trained(low, **arguments):
    """A model of low precision, with weights as training leaves them; and inputs."""
    options = {"storage": "masked", "dense": True, **arguments}
    model = ksr.substitute(small_model(), BLOCK, low_precision=low, **options)
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        value = weight.numpy()
        weight.assign(np.where(value == 0, 0, value + rng.normal(0, 0.1, value.shape)))
    return model, data(model, batch=4)


@pytest.mark.parametrize("bits, method", [(8, "denoising"), (4, "straight_through")])
@pytest.mark.quick_cases
def test_int8_cells_have_the_integers_of_the_training(bits, method):
    low = LowPrecision(bits, 8, method)
    model, x = trained(low)
    served = ksr.substitute(model, kernel="reference", dense=True, **INT8)
    for old, new in zip(model.layers, served.layers):
        assert new.weights_choice == "int8" and new.low_precision is None
        for kernel, stored in zip(old.dense_kernels(), new.dense_kernels()):
            np.testing.assert_array_equal(stored, kernel)
        owner = getattr(new, "cell", new)
        assert np.abs(owner.kernel_values.numpy()).max() <= (127 if bits == 8 else 7)
    np.testing.assert_allclose(served(x), model(x), rtol=1e-5, atol=1e-6)
    # The native cells have a tanh and a sigmoid of their own, so that a number may round otherwise.
    native = ksr.substitute(model, kernel="auto", dense=True, **INT8)
    np.testing.assert_allclose(native(x), model(x), atol=0.02)


@pytest.mark.parametrize("low", [LowPrecision(4), LowPrecision(2, form="affine")])
def test_other_twins_have_the_weights_that_it_computes_with(low):
    model, x = trained(low)
    before = [weight.numpy() for weight in model.weights]
    expected = model(x)
    for twin in (
        ksr.substitute(model, dense=True),
        ksr.substitute(model, dense=True, storage="masked"),
        ksr.to_dense(model),
    ):
        np.testing.assert_allclose(twin(x), expected, rtol=1e-4, atol=1e-5)
        assert getattr(twin.layers[0], "low_precision", None) is None
    assert type(twin.layers[0]) is keras.layers.LSTM
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(weight, value)


def test_the_optimizer_goes_on_with_its_memory():
    rnn = keras.layers.SimpleRNN(16, name="rnn")
    model = prune(keras.Sequential([keras.Input((3, 9)), rnn, keras.layers.Dense(8)]), BLOCK)
    x = data(model, batch=4)
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(x, x[:, 0, :8], verbose=0)
    new = ksr.substitute(model, BLOCK, storage="masked", low_precision=LowPrecision(4))
    assert int(new.optimizer.iterations) == 1
    moments = [one for one in model.optimizer.variables if "recurrent_kernel" in one.path]
    carried = [one for one in new.optimizer.variables if "recurrent_kernel" in one.path]
    assert len(moments) == len(carried) == 2
    for old, one in zip(moments, carried):
        assert np.any(one)
        np.testing.assert_array_equal(one, old * (np.asarray(one) != 0))


def test_block_pruning_prunes_the_float_weights_while_few_bits_train():
    keras.utils.set_random_seed(0)
    rnn = keras.layers.SimpleRNN(24)
    model = keras.Sequential([keras.Input((5, 16)), rnn, keras.layers.Dense(2)])
    low = LowPrecision(4, 8)
    model = ksr.substitute(model, (8, 8), storage="masked", low_precision=low)
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    x = np.random.default_rng(0).normal(size=(16, 5, 16)).astype("float32")
    schedule = ksr.schedules.Constant(0.5, begin_step=1)
    pruning = ksr.callbacks.BlockPruning(schedule, (8, 8))
    model.fit(x, x[:, 0, :2], batch_size=4, verbose=0, callbacks=[pruning])
    layer = model.layers[0]
    held = layer.cell.kernel, layer.cell.recurrent_kernel
    for kernel, stored in zip(layer.dense_kernels(), held):
        assert 0.45 < (kernel == 0).mean() < 0.75 and np.all(kernel[stored.numpy() == 0] == 0)
    served = ksr.substitute(model, kernel="reference", **INT8)
    assert served.layers[0].live_blocks == (3, 5)
    np.testing.assert_allclose(served(x), model(x), rtol=1e-5, atol=1e-6)


def test_blocks_that_sparsity_leaves_out_are_not_deployed():
    model, x = trained(LowPrecision(8, 8, sparsity=0.75))
    served = ksr.substitute(model, kernel="reference", dense=True, **INT8)
    shares = [
        live / grid.count
        for layer in served.layers
        for live, grid in zip(layer.live_blocks, layer.grids)
    ]
    assert max(shares) < 0.3
    np.testing.assert_allclose(served(x), model(x), rtol=1e-5, atol=1e-6)


REFUSED = [
    (
        LowPrecision(4),
        {"low_precision": LowPrecision(2)},
        "it trains at few bits already, and would be wrapped twice. To train it on at other bits, "
        "substitute it without `low_precision` first, which gives it the rounded weights. "
        "Received: low_precision=LowPrecision(weight_bits=2) for a layer with "
        "LowPrecision(weight_bits=4)",
    ),
    (
        LowPrecision(4, 4),
        INT8,
        "no other layer rounds its inputs as this one was trained for. Only `activation_bits=8` "
        'with `form="linear"`, and `activation_bits=None`, can be had elsewhere. Received: a layer '
        "with LowPrecision(weight_bits=4, activation_bits=4)",
    ),
    (
        LowPrecision(8, form="affine"),
        {"weights": "int8"},
        'weights of `form="affine"` have offsets, which int8 weights have not: train with '
        "`form=\"linear\"` for int8, or keep float32 weights. Received: weights='int8' for a layer "
        "with LowPrecision(weight_bits=8, form='affine')",
    ),
]


@pytest.mark.parametrize("low, arguments, reason", REFUSED)
def test_what_would_compute_something_else_is_refused_and_nothing_changed(low, arguments, reason):
    model, x = trained(low, dense=False)
    before, expected = [weight.numpy() for weight in model.weights], model(x)
    with pytest.raises(ValueError) as error:
        ksr.substitute(model, **arguments)
    assert str(error.value) == f"The layer 'lstm' cannot be substituted: {reason}"
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(weight, value)
    np.testing.assert_array_equal(model(x), expected)


def test_to_dense_refuses_activations_that_keras_layers_have_not():
    model, _ = trained(LowPrecision(8, 2), dense=False)
    with pytest.raises(ValueError) as error:
        ksr.to_dense(model)
    assert str(error.value) == (
        "The layer 'lstm' cannot be Keras's: no other layer rounds its inputs as this one was "
        'trained for. Only `activation_bits=8` with `form="linear"`, and `activation_bits=None`, '
        "can be had elsewhere. Received: a layer with LowPrecision(weight_bits=8, "
        "activation_bits=2)"
    )


def test_integers_that_break_the_bound_of_pairs_in_other_blocks_are_refused():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 16)), keras.layers.SimpleRNN(16, name="rnn")])
    model = ksr.substitute(model, (4, 16), storage="masked", low_precision=LowPrecision(8))
    kernel = np.zeros((16, 16), "float32")
    kernel[1::2] = 1.0  # beside zeros; in blocks of single rows they are neighbours
    model.layers[0].cell.kernel.assign(kernel)
    served = ksr.substitute(model, **INT8)
    assert served.layers[0].kernel_values.numpy().max() == 127
    with pytest.raises(ValueError) as error:
        ksr.substitute(model, (1, 16), **INT8)
    assert str(error.value) == (
        "The integers of the kernel of 'rnn' do not keep the bound of int8 activations in these "
        "blocks: substitute it with the `block_shape` that it was trained with. Received: blocks "
        "of (1, 16) for (4, 16)"
    )


@pytest.mark.parametrize("sparse", [False, True])
def test_layers_without_a_zero_or_without_a_native_op_train_at_few_bits_too(sparse):
    model = keras.Sequential([keras.Input((3, 8)), keras.layers.SimpleRNN(8)])
    if sparse:
        prune(model, BLOCK)
    low = LowPrecision(4, 4)
    assert ksr.substitute(model, BLOCK, low_precision=low).layers[0].low_precision == low
