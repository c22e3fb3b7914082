"""Which data and models are analysed, what is left as it was, printed and refused."""

import keras
import looping
import numpy as np
import pytest
import tensorflow as tf
from analyzing import analyze

import keras_sparse_rnn as ksr


@pytest.mark.parametrize("mapped", [tf.vectorized_map, tf.map_fn])
def test_layers_in_loops_of_tensorflow_are_refused_in_words(mapped, x):
    class Mapped(keras.Model):
        def __init__(self):
            super().__init__()
            self.rnn = keras.layers.SimpleRNN(5, name="rnn", unroll=True)

        def call(self, pictures):
            return mapped(lambda one: self.rnn.call(one), pictures)

    model, pictures = Mapped(), x[:, None, :2]
    model.rnn.build((7, 2, 3))
    model.built = True
    with pytest.raises(
        ValueError,
        match=(
            "The states of 'rnn' cannot be recorded: the model calls it in a loop of TensorFlow's"
        ),
    ):
        analyze(model, pictures)


class Batches(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 3

    def __getitem__(self, number):
        return self.x[3 * number : 3 * number + 3], np.zeros(3)


def test_data_of_all_kinds(make_model, x):
    model = make_model(keras.layers.SimpleRNN(5))
    expected = analyze(model, x)[0].covariance
    pairs = tf.data.Dataset.from_tensor_slices((x, np.zeros(7)))
    for data in (
        tf.constant(x),
        Batches(x),
        pairs.batch(2),
        tf.data.Dataset.from_tensor_slices(x).batch(5),
        iter([(x[:4], 0), (x[4:], 0, 1)]),
    ):
        np.testing.assert_allclose(analyze(model, data)[0].covariance, expected, atol=1e-7)
    assert analyze(model, pairs.repeat().batch(2), batches=4)[0].count == 4 * 2 * 4
    assert analyze(model, x, batch_size=2, batches=2)[0].count == 2 * 2 * 4


def test_the_model_stays_as_it_is(make_model, x):
    layer = keras.layers.LSTM(5, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(7, 4, 3)), keras.layers.Dropout(0.5), layer])
    model(x)
    states = [state.numpy() for state in layer.states]
    attributes, cell = dict(vars(layer)), dict(vars(layer.cell))
    (found,) = analyze(model, np.concatenate([x, x]), batch_size=7)
    hidden, _ = looping.states_of("lstm", model.get_weights(), np.concatenate([x, x], axis=1))
    np.testing.assert_allclose(found.covariance, looping.covariance(hidden), atol=1e-6)
    for state, before in zip(layer.states, states):
        np.testing.assert_array_equal(state.numpy(), before)
    assert vars(layer) == attributes and vars(layer.cell) == cell


def test_the_states_of_layers_that_are_not_asked_for_stay_too(x):
    below = keras.layers.GRU(6, stateful=True, return_sequences=True, name="below")
    layers = [keras.Input(batch_shape=(7, 4, 3)), below, keras.layers.LSTM(5, name="asked")]
    model = keras.Sequential(layers)
    begun = analyze(model, x, batch_size=7, layers="asked")["asked"].covariance
    model(x)
    before = below.states[0].numpy()
    again = analyze(model, x, batch_size=7, layers="asked")["asked"].covariance
    np.testing.assert_array_equal(again, begun)
    np.testing.assert_array_equal(below.states[0].numpy(), before)
    assert before.any()


def test_a_table_is_printed(make_model, x, capsys):
    model = make_model(
        keras.layers.GRU(5, name="gru", return_sequences=True), keras.layers.Dense(2)
    )
    geometry = ksr.geometry.analyze(model, x)
    printed = capsys.readouterr().out
    for text in (
        "gru",
        "5",
        "28",
        "90%",
        "95%",
        "99%",
        f"{geometry['gru'].participation_ratio:.1f}",
    ):
        assert text in printed
        assert text in str(geometry)
    with pytest.raises(KeyError, match="'lstm' is the name of 0 layers. There are: gru"):
        geometry["lstm"]


ERRORS = {
    "no data": (
        lambda model, x: analyze(model, None),
        "`data` must be an array or a nest of arrays",
    ),
    "not data": (lambda model, x: analyze(model, "x"), "Received: data of type str"),
    "empty": (lambda model, x: analyze(model, x[:0]), "`data` must have at least one batch"),
    "endless": (
        lambda model, x: analyze(model, tf.data.Dataset.from_tensors(x).repeat()),
        "`batches` must say how many batches",
    ),
    "uneven": (lambda model, x: analyze(model, [x, x[:2]]), r"arrays of \[2, 7\] samples"),
    "share": (
        lambda model, x: analyze(model, x, share=0),
        r"`share` must be a share of the variance in \(0, 1\]. Received: share=0",
    ),
    "batches": (
        lambda model, x: analyze(model, x, batches=0),
        "`batches` must be an integer of at least 1. Received: batches=0",
    ),
    "layer": (lambda model, x: analyze(model, x, "gru"), "'gru' matches none. It has: rnn"),
    "model": (
        lambda model, x: analyze(None, x),
        "`model` must be a keras.Model. Received: model=None",
    ),
    "NaN": (
        lambda model, x: analyze(model, x * np.nan),
        "The hidden states of rnn must be finite: .* Received: 140 of 140",
    ),
    "role": (
        lambda model, x: analyze(model, x)["rnn"].weights("bias"),
        "`role` must be one of .* Received: role='bias'",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_analysed_is_refused_in_words(name, make_model, x):
    call, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        call(make_model(keras.layers.SimpleRNN(5, name="rnn")), x)


def test_models_without_states_are_refused_in_words(make_model, x):
    with pytest.raises(ValueError, match="The model must have a recurrent layer"):
        analyze(make_model(keras.layers.Dense(2)), x)
    with pytest.raises(ValueError, match="Every step is masked for: rnn"):
        analyze(
            make_model(keras.layers.Masking(), keras.layers.SimpleRNN(5, name="rnn")),
            np.zeros_like(x),
        )

    class Idle(keras.Model):
        def __init__(self):
            super().__init__()
            self.rnn = keras.layers.SimpleRNN(5, name="rnn")

        def call(self, x):
            return self.rnn.cell(x[:, 0], [keras.ops.zeros((7, 5))])[0]

    with pytest.raises(
        ValueError, match="must be built before its states are looked at: rnn has no weights yet"
    ):
        analyze(keras.Sequential([keras.layers.SimpleRNN(5, name="rnn")]), x)
    model = Idle()
    model.rnn.build((7, 4, 3))
    model(x)
    with pytest.raises(
        ValueError,
        match="must be layers that the model runs as whole layers .* These were not: rnn",
    ):
        analyze(model, x)
