"""Kernels that are not found: what cannot be pruned is named, and so is what there is."""

import keras
import pytest
from finding import names, sequential

from keras_sparse_rnn.selection import find_kernels

layers = keras.layers


def test_a_predicate_that_fails_names_the_layer():
    model = sequential(layers.Bidirectional(layers.LSTM(3), name="both"))
    with pytest.raises(ValueError) as error:
        find_kernels(model, lambda layer: layer.units > 4)
    assert str(error.value) == (
        "A predicate of `layers` failed on the layer 'both' (Bidirectional): AttributeError: "
        "'Bidirectional' object has no attribute 'units'. It is given every layer that owns "
        "kernels or has them inside, so ask for what not all of these have with `getattr(layer, "
        "name, default)`"
    )
    assert isinstance(error.value.__cause__, AttributeError)


class OddCell(keras.Layer):
    """A cell whose weights are no kernel that can be cut."""

    state_size = output_size = 5

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(5,), name="scale")

    def call(self, x, states):
        return x * self.scale + states[0], [x]


def test_what_cannot_be_pruned_is_named_in_a_warning():
    model = sequential(
        layers.RNN(OddCell(), return_sequences=True, name="odd"),
        layers.LSTM(3, name="l"),
        layers.BatchNormalization(name="bn"),
    )
    with pytest.warns(
        UserWarning,
        match=(
            r"cannot be pruned and stay as they are: odd \(the kernels of OddCell "
            r"are not matrices"
        ),
    ):
        assert len(find_kernels(model)) == 2
    with pytest.warns(
        UserWarning,
        match=(
            r"stay as they are: bn \(BatchNormalization has no kernel \[inputs, "
            r"gates \* units\]\)$"
        ),
    ):
        assert len(find_kernels(model, ["l", "bn"])) == 2
    assert len(find_kernels(model, strict=False)) == 2  # and says nothing


def test_convolutional_recurrent_layers_are_refused_not_crashed_on():
    inputs = keras.Input((2, 6, 6, 1))
    x = layers.ConvLSTM2D(2, 3, return_sequences=True, name="conv")(inputs)
    model = keras.Model(inputs, layers.LSTM(3)(layers.Reshape((2, 32))(x)))
    with pytest.warns(UserWarning, match="conv"):
        assert len(find_kernels(model)) == 2


def test_a_dense_kernel_that_is_not_a_plain_variable_is_refused():
    model = sequential(layers.LSTM(4, name="l"), layers.Dense(3, name="d"))
    model.get_layer("d").enable_lora(2)
    with pytest.warns(UserWarning, match=r"d \(its kernel is not a plain float variable\)"):
        assert names(model, ["l", "d"]) == ["l/lstm_cell/kernel", "l/lstm_cell/recurrent_kernel"]


@pytest.mark.parametrize(
    ("make", "selector", "message"),
    [
        (
            lambda: sequential(layers.Dense(2, name="d")),
            None,
            "The model must have a recurrent layer (LSTM, GRU, SimpleRNN or their cells) that "
            "can be pruned. 'm' has the layers: d",
        ),
        (
            lambda: sequential(layers.LSTM(2, name="l")),
            "lstm",
            "`layers` must match layers of the model; 'lstm' matches none. It has: l",
        ),
        (
            lambda: sequential(layers.LSTM(2, name="l")),
            ["l", layers.GRU],
            f"`layers` must match layers of the model; {layers.GRU!r} matches none. It has: l",
        ),
        (
            lambda: sequential(layers.LSTM(2, name="l"), layers.BatchNormalization(name="bn")),
            "bn",
            "The model must have a kernel in 'bn' that can be pruned. 'm' has the layers: l, bn. "
            "Not these: bn (BatchNormalization has no kernel [inputs, gates * units])",
        ),
        (
            lambda: keras.Sequential([layers.LSTM(2, name="l")]),
            None,
            "The model must be built before its kernels are looked for: l/lstm_cell has no weights "
            "yet. Call the model on a batch, or `model.build(input_shape)`, first.",
        ),
        (
            lambda: sequential(layers.LSTM(2)),
            3,
            "`layers` must be a layer name or pattern, a layer type, a predicate of a layer, or "
            "a list of these. Received: layers=3",
        ),
        (
            lambda: sequential(layers.LSTM(2)),
            [],
            "`layers` must be a layer name or pattern, a layer type, a predicate of a layer, or "
            "a list of these. Received: layers=[]",
        ),
    ],
)
def test_nothing_found_says_what_there_is(make, selector, message):
    model = make()
    model.name = "m"
    with pytest.raises(ValueError) as error:
        find_kernels(model, selector)
    assert str(error.value) == message
    if selector is None:
        assert find_kernels(model, strict=False) == []
