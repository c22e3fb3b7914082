"""`substitute(model, weights="int8", activations="int8")`, with ranges from data and without."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from pruning import data, largest_difference, prune

import keras_sparse_rnn as ksr

# Keras makes NumPy 2 warn whenever it writes a variable.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
BLOCK = (4, 4)
INT8 = {"weights": "int8", "activations": "int8"}


def small_model(**arguments):
    keras.utils.set_random_seed(0)
    stack = [
        keras.Input((7, 9), **arguments),
        keras.layers.Bidirectional(keras.layers.LSTM(19, return_sequences=True)),
        keras.layers.GRU(17, return_sequences=True),
        keras.layers.SimpleRNN(16),
        keras.layers.Dense(8),
    ]
    model = prune(keras.Sequential(stack), BLOCK)
    kernel, bias = model.layers[-1].get_weights()
    kernel[:8] = 0
    model.layers[-1].set_weights([kernel, bias])
    return model


def ranges(model):
    """Of the block-sparse layers of a `small_model`, in order."""
    first, *others = model.layers
    layers = [first.forward_layer, first.backward_layer, *others]
    assert {layer.activations_choice for layer in layers} == {"int8"}
    return [layer.input_range for layer in layers]


def swapped(model, calibration=None, **arguments):
    return ksr.substitute(
        model, BLOCK, dense=True, calibration=calibration, **{**INT8, **arguments}
    )


def test_ranges_are_the_largest_inputs_that_layers_saw():
    model = small_model()
    x = data(model, batch=70)
    expected, inner = model(x), x
    wanted = []
    for layer in model.layers:
        wanted += [np.abs(inner).max()] * (
            2 if isinstance(layer, keras.layers.Bidirectional) else 1
        )
        inner = layer(inner).numpy()
    sparse = swapped(model, x)
    np.testing.assert_allclose(ranges(sparse), wanted, rtol=1e-5)
    error = np.abs(sparse(x) - expected).max()
    assert 0 < error < 0.05 * np.abs(expected).max()
    assert not [name for layer in model.layers for name in vars(layer) if name == "inner_loop"]


def test_without_calibration_ranges_are_those_of_each_step():
    model = small_model()
    x = data(model)
    sparse = swapped(model)
    assert ranges(sparse) == [0.0] * 5
    error = largest_difference(sparse(x), model(x))
    assert 0 < error < 0.05 * np.abs(model(x)).max()


@pytest.mark.parametrize("labels", [0, 1, 2])
@pytest.mark.quick_cases
def test_a_dataset_is_run_over_as_fit_would(labels):
    model = small_model()
    x = data(model, batch=10)
    arrays = (x, *[np.ones(10)] * labels) if labels else x
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(4)
    expected = ranges(swapped(model, x))
    np.testing.assert_allclose(ranges(swapped(model, dataset)), expected, rtol=1e-6)


@pytest.mark.parametrize("form", [dict, list])
def test_several_inputs(form):
    keras.utils.set_random_seed(0)
    one, two = keras.Input((5, 6), name="one"), keras.Input((5, 3), name="two")
    outputs = [keras.layers.LSTM(8, name=f"of_{x.name}")(x) for x in (one, two)]
    inputs = {"one": one, "two": two} if form is dict else [one, two]
    model = prune(keras.Model(inputs, keras.layers.Concatenate()(outputs)), BLOCK)
    x = data(model, batch=4)
    sparse = ksr.substitute(model, BLOCK, calibration=x, **INT8)
    for number, name in enumerate(("one", "two")):
        received = sparse.get_layer(f"of_{name}").input_range
        assert received == np.abs(x[name] if form is dict else x[number]).max()


def test_masked_steps_do_not_count():
    inputs = keras.Input((5, 6))
    model = keras.Model(inputs, keras.layers.GRU(8)(keras.layers.Masking(-9.0)(inputs)))
    prune(model, BLOCK)
    x = data(model, batch=4)
    x[:, 3:] = -9.0
    sparse = ksr.substitute(model, BLOCK, calibration=x, **INT8)
    assert sparse.layers[-1].input_range == np.abs(x[:, :3]).max() < 9


def test_states_of_a_stateful_model_stay():
    keras.utils.set_random_seed(0)
    inputs = keras.Input(batch_shape=(2, 5, 6))
    model = prune(keras.Model(inputs, keras.layers.LSTM(8, stateful=True)(inputs)), BLOCK)
    x = data(model)
    model(x)
    before = [state.numpy() for state in model.layers[-1].states]
    sparse = ksr.substitute(model, BLOCK, calibration=np.concatenate([x, 2 * x]), **INT8)
    assert sparse.layers[-1].input_range == 2 * np.abs(x).max()
    for state, other in zip(model.layers[-1].states, before):
        np.testing.assert_array_equal(state.numpy(), other)


class Tagger(keras.Model):
    def __init__(self):
        super().__init__()
        self.lstm, self.idle = (
            keras.layers.LSTM(8, return_sequences=True),
            keras.layers.GRU(8, name="idle"),
        )
        self.head = keras.layers.TimeDistributed(keras.layers.Dense(4))

    def call(self, x):
        return self.head(self.lstm(x))


def test_a_subclassed_model_and_a_layer_that_it_does_not_call():
    keras.utils.set_random_seed(0)
    model = Tagger()
    x = np.random.default_rng(0).normal(size=(3, 5, 6)).astype("float32")
    model.idle.build((None, 5, 6))
    model.lstm.build((None, 5, 6))
    model.head.build((None, 5, 8))
    model(x)
    prune(model, BLOCK)
    kernel, bias = model.head.layer.get_weights()
    kernel[:4] = 0
    model.head.layer.set_weights([kernel, bias])
    largest = np.abs(model.lstm(x)).max()
    with pytest.warns(UserWarning) as warned:
        ksr.substitute(model, BLOCK, dense=True, in_place=True, calibration=x, **INT8)
    assert str(warned[0].message) == (
        "substitute: the model does not call 'idle' when it runs over `calibration`: the inputs "
        "are rounded by the largest one of each step."
    )
    assert model.lstm.input_range == np.abs(x).max()
    assert model.head.layer.input_range == pytest.approx(largest)
    assert model.idle.input_range == 0
    assert model(x).shape == (3, 5, 4)


def test_round_trips(tmp_path):
    model = small_model()
    x = data(model)
    sparse = swapped(model, x)
    expected = sparse(x).numpy()
    sparse.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), expected)
    assert ranges(loaded) == ranges(sparse)


def test_predicts_and_exports(tmp_path):
    stack = [keras.Input((7, 9)), keras.layers.SimpleRNN(8), keras.layers.Dense(4)]
    model = prune(keras.Sequential(stack), BLOCK)
    x = data(model)
    sparse = swapped(model, x)
    expected = sparse(x).numpy()
    np.testing.assert_allclose(sparse.predict(x, verbose=0), expected, atol=0.02)
    sparse.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(served.serve(x), expected, atol=0.02)


def test_to_dense_gives_the_dequantised_model():
    model = small_model()
    x = data(model)
    sparse = swapped(model, x)
    dense = ksr.to_dense(sparse)
    assert [type(layer) for layer in dense.layers] == [type(layer) for layer in model.layers]
    kernel, recurrent = sparse.layers[1].dense_kernels()
    np.testing.assert_array_equal(dense.layers[1].cell.kernel, kernel)
    np.testing.assert_array_equal(dense.layers[1].cell.recurrent_kernel, recurrent)
    assert 0 < largest_difference(dense(x), sparse(x)) < 0.05 * np.abs(dense(x)).max()
    again = ksr.substitute(sparse, dense=True, weights="int8")
    assert {layer.activations_choice for layer in again.layers[1:]} == {"float32"}


def refused(calibration, message, model=None, **arguments):
    model = model or small_model()
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(ValueError) as error:
        swapped(model, calibration, **arguments)
    assert str(error.value) == message
    for variable, value in zip(model.variables, before):
        np.testing.assert_array_equal(variable.numpy(), value)


WANTED = (
    "`calibration` must be inputs of the model with at least one sample: an array, a list or dict "
    "of arrays as the model takes them, or a tf.data.Dataset of batches that ends. Received: "
)


def test_calibration_without_data():
    x = np.zeros((0, 7, 9), "float32")
    refused(x, WANTED + "no sample")
    refused(tf.data.Dataset.from_tensor_slices(x).batch(2), WANTED + "no sample")
    refused([], WANTED + "list")
    refused(3.0, WANTED + "float")
    refused("x", WANTED + "str")
    refused([np.ones((2, 7, 9)), np.ones((3, 7, 9))], WANTED + "arrays of [2, 3] samples")
    endless = tf.data.Dataset.from_tensor_slices(np.ones((4, 7, 9), "float32")).batch(2).repeat()
    refused(endless, WANTED + "an infinite dataset; `take` some of it")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_calibration_with_what_is_no_number(wrong):
    x = data(small_model())
    x[3, 2, 1] = wrong
    refused(x, "`calibration` must hold finite numbers. Received: NaN or infinity in input 0")


def test_numbers_that_are_not_finite_within_the_model():
    stack = [keras.Input((7, 9)), keras.layers.Rescaling(1e38), keras.layers.LSTM(8, name="mine")]
    message = (
        "Numbers that are not finite reach the layer 'mine' when the model runs over "
        "`calibration`: no range can be told"
    )
    refused(np.full((2, 7, 9), 10, "float32"), message, prune(keras.Sequential(stack), BLOCK))


def test_bad_arguments():
    message = (
        '`calibration` must be None without `activations="int8"`, for inputs are not rounded then. '
        "Received: calibration of type ndarray, activations='float32'"
    )
    refused(data(small_model()), message, activations="float32")
    message = (
        '`activations` must be "float32" where weights are not int8, for integers are multiplied '
        "with integers. Received: activations='int8', weights='float32'"
    )
    refused(None, message, weights="float32")


def test_the_report_says_what_is_rounded():
    model = small_model()
    report = ksr.report(swapped(model, np.ones((2, 7, 9), "float32")), console=False)
    first = report.rows[0]
    assert (first.weights, first.activations, first.input_range) == ("int8", "int8", 1.0)
    notes = [note for note in report.notes if "int8" in note]
    names = [row.layer for row in report.rows if row.kernel == "kernel"]
    assert notes == [
        f"{', '.join(names)}: int8 weights times int8 activations, inputs rounded by a range that "
        "was calibrated."
    ]
    notes = ksr.report(swapped(model), console=False).notes
    assert any(note.endswith("rounded by the largest one of each step.") for note in notes)
    notes = ksr.report(ksr.substitute(model, BLOCK, weights="int8"), console=False).notes
    assert any(note.endswith(": int8 weights.") for note in notes)
    notes = ksr.report(ksr.substitute(model, BLOCK), console=False).notes
    assert not [note for note in notes if "int8" in note]
