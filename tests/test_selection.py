"""Which kernels of a model are found, wherever their layers are."""

import keras
import numpy as np
import pytest
from finding import names, sequential

from keras_sparse_rnn.selection import find_kernels

layers = keras.layers


def test_each_kind_of_layer_has_its_gates():
    model = sequential(
        layers.LSTM(6, return_sequences=True, name="l"),
        layers.GRU(7, return_sequences=True, name="g"),
        layers.SimpleRNN(3, name="s"),
        layers.Dense(2, name="d"),
    )
    found = find_kernels(model, [layers.RNN, layers.Dense])
    assert [(k.name, k.gate_names, k.inputs, k.units) for k in found] == [
        ("l/lstm_cell/kernel", ("i", "f", "c", "o"), 5, 6),
        ("l/lstm_cell/recurrent_kernel", ("i", "f", "c", "o"), 6, 6),
        ("g/gru_cell/kernel", ("z", "r", "h"), 6, 7),
        ("g/gru_cell/recurrent_kernel", ("z", "r", "h"), 7, 7),
        ("s/simple_rnn_cell/kernel", ("h",), 7, 3),
        ("s/simple_rnn_cell/recurrent_kernel", ("h",), 3, 3),
        ("d/kernel", ("",), 3, 2),
    ]
    first, last = found[0], found[-1]
    assert (
        first.variable is model.get_layer("l").cell.kernel
        and first.cell is model.get_layer("l").cell
    )
    assert first.layer is model.get_layer("l") and last.layer is last.cell is model.get_layer("d")
    assert [k.gates for k in found] == [4, 4, 3, 3, 1, 1, 1]
    np.testing.assert_array_equal(
        found[1].numpy(), model.get_layer("l").cell.recurrent_kernel.numpy()
    )
    assert found[3].grid((2, 3)).kernel_shape == (7, 21) and found[3].grid((2, 3)).gates == 3


def test_dense_is_left_out_unless_it_is_selected():
    model = sequential(layers.LSTM(6, name="l"), layers.Dense(2, name="d"))
    assert names(model) == ["l/lstm_cell/kernel", "l/lstm_cell/recurrent_kernel"]
    assert names(model, "d") == ["d/kernel"]
    assert names(model, layers.Dense) == ["d/kernel"]


def test_layers_inside_bidirectional_and_time_distributed_are_found():
    model = sequential(
        layers.Bidirectional(layers.GRU(6, return_sequences=True, name="g"), name="both"),
        layers.TimeDistributed(layers.Dense(3), name="head"),
    )
    assert names(model) == [
        f"both/{way}_g/gru_cell/{role}"
        for way in ("forward", "backward")
        for role in ("kernel", "recurrent_kernel")
    ]
    assert names(model, "head") == [f"head/{model.get_layer('head').layer.name}/kernel"]
    assert len(names(model, "both")) == 4
    assert len(names(model, "forward_g")) == 2


def test_time_distributed_rnn_is_found():
    inputs = keras.Input((2, 4, 5))
    model = keras.Model(
        inputs, layers.TimeDistributed(layers.LSTM(3, name="l"), name="each")(inputs)
    )
    assert names(model) == ["each/l/lstm_cell/kernel", "each/l/lstm_cell/recurrent_kernel"]


def test_rnn_around_a_cell_and_around_stacked_cells():
    stacked = layers.RNN(
        [layers.LSTMCell(3, name="a"), layers.GRUCell(4, name="b")],
        name="stack",
        return_sequences=True,
    )
    model = sequential(stacked, layers.RNN(layers.SimpleRNNCell(2, name="c"), name="one"))
    found = find_kernels(model)
    assert [k.path.split("/")[-1] for k in found] == ["a", "a", "b", "b", "c", "c"]
    assert [k.layer.name for k in found] == ["stack"] * 4 + ["one"] * 2


def test_nested_functional_and_sequential_models_are_searched():
    inner = sequential(layers.LSTM(3, return_sequences=True, name="l"), layers.Dense(2, name="d"))
    inner.name = "inner"
    inputs = keras.Input((4, 5))
    model = keras.Model(inputs, layers.GRU(2, name="g")(inner(inputs)))
    assert names(model) == [
        "inner/l/lstm_cell/kernel",
        "inner/l/lstm_cell/recurrent_kernel",
        "g/gru_cell/kernel",
        "g/gru_cell/recurrent_kernel",
    ]
    assert names(model, "inner") == names(model)[:2], (
        "a container is selected for its recurrent layers, not for its Dense"
    )
    assert names(model, ["inner/*"]) == names(model)[:2] + ["inner/d/kernel"]


class Holder(keras.Model):
    """Layers in an attribute, a list and a dict."""

    def __init__(self):
        super().__init__()
        self.first = layers.LSTM(3, return_sequences=True, name="first")
        self.several = [layers.GRU(3, return_sequences=True, name="listed")]
        self.named = {"last": layers.SimpleRNN(2, name="mapped")}

    def call(self, x):
        return self.named["last"](self.several[0](self.first(x)))


def test_subclassed_models_are_searched():
    model = Holder()
    model(np.zeros((1, 4, 5)))
    assert {name.split("/")[0] for name in names(model)} == {"first", "listed", "mapped"}
    assert len(names(model)) == 6


def test_a_shared_layer_is_found_once():
    shared = layers.LSTM(5, return_sequences=True, name="l")
    inputs = keras.Input((4, 5))
    inner = keras.Model(inputs, shared(inputs), name="inner")
    model = keras.Model(inputs, shared(shared(inner(inputs))))
    assert len(names(model)) == 2


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("enc_a", "a"),
        ("enc_*", "ab"),
        (["enc_a", "dec"], "ac"),
        (layers.GRU, "b"),
        (layers.RNN, "abc"),
        (layers.LSTMCell, "ac"),
        (lambda layer: getattr(layer, "units", 0) > 3, "bc"),
        (["dec", layers.GRU, lambda layer: layer.name == "enc_a"], "abc"),
        ("dec/lstm_cell", "c"),
    ],
)
def test_layers_are_selected_by_name_pattern_type_and_predicate(selector, found):
    model = sequential(
        layers.LSTM(3, return_sequences=True, name="enc_a"),
        layers.GRU(4, return_sequences=True, name="enc_b"),
        layers.LSTM(5, name="dec"),
    )
    wanted = {"a": "enc_a", "b": "enc_b", "c": "dec"}
    assert list(dict.fromkeys(k.layer.name for k in find_kernels(model, selector))) == [
        wanted[letter] for letter in found
    ]


def test_predicates_are_given_only_layers_with_kernels():
    given = []
    model = sequential(
        layers.Conv1D(3, 2, name="conv"),
        layers.Bidirectional(layers.LSTM(4, return_sequences=True, name="l"), name="both"),
        layers.Dropout(0.1),
        layers.TimeDistributed(layers.Dense(5, name="d"), name="each"),
        layers.GRU(7, name="g"),
        layers.LayerNormalization(),
        layers.Dense(2, name="head"),
    )
    with pytest.raises(ValueError, match="matches none"):
        find_kernels(model, lambda layer: given.append(layer.name))
    assert set(given) == {
        "both",
        "forward_l",
        "backward_l",
        "lstm_cell",
        "each",
        "d",
        "g",
        "gru_cell",
        "head",
    }


def test_a_predicate_may_ask_for_the_units_in_a_functional_model():
    inputs = keras.Input((4, 5))
    x = layers.LSTM(6, return_sequences=True, name="l")(layers.Dropout(0.1)(inputs))
    model = keras.Model(inputs, layers.Dense(1, name="d")(layers.GRU(3, name="g")(x)))
    assert names(model, lambda layer: layer.units > 4) == [
        "l/lstm_cell/kernel",
        "l/lstm_cell/recurrent_kernel",
    ]


class OwnCell(keras.Layer):
    """A cell of the user's own with two gates that is laid out as Keras lays out its cells."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 2 * self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, 2 * self.units), name="recurrent_kernel"
        )

    def call(self, x, states):
        a, b = keras.ops.split(
            keras.ops.matmul(x, self.kernel) + keras.ops.matmul(states[0], self.recurrent_kernel),
            2,
            -1,
        )
        return a * b, [a * b]


def test_a_cell_of_the_users_own_is_cut_like_keras_cells():
    found = find_kernels(sequential(layers.RNN(OwnCell(3, name="own"), name="r")))
    assert [(k.name, k.gate_names, k.units) for k in found] == [
        ("r/own/kernel", ("0", "1"), 3),
        ("r/own/recurrent_kernel", ("0", "1"), 3),
    ]


def test_an_unbuilt_subclassed_model_says_so():
    with pytest.raises(
        ValueError,
        match="The model must be built before its kernels are looked for: first/lstm_cell",
    ):
        find_kernels(Holder())


def test_a_layer_alone_can_be_searched():
    layer = layers.Dense(3, name="d")
    layer.build((None, 4))
    assert names(layer, "d") == ["d/kernel"]
    lstm = layers.LSTM(3)
    lstm.build((None, 2, 4))
    assert names(lstm) == ["lstm_cell/kernel", "lstm_cell/recurrent_kernel"]
