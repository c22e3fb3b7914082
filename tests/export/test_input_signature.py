"""An `input_signature` that the model does not take is called that."""

import keras
import pytest
import tensorflow as tf

from keras_sparse_rnn import export


def spec(*shape, name=None):
    return keras.KerasTensor((None, *shape), name=name)


class Mine(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.rnn = keras.layers.SimpleRNN(2)

    def call(self, inputs):
        return self.rnn(inputs["features"] if isinstance(inputs, dict) else inputs)


@pytest.fixture
def mine():
    model = Mine()
    model(tf.ones((1, 4, 3)))
    return model


@pytest.fixture
def graph():
    a, b = keras.Input((4, 3), name="a"), keras.Input((4, 3), name="b")
    x = keras.layers.Concatenate()([a, b])
    return keras.Model({"a": a, "b": b}, keras.layers.SimpleRNN(2)(x), name="graph")


def message(model, path, signature):
    with pytest.raises(ValueError) as error:
        export.export_litert(model, path, input_signature=signature)
    assert not path.exists()
    return str(error.value)


@pytest.mark.parametrize("signature", [(1, 4, 3), [], "features", tf.TensorSpec(None), {"a": 4}])
def test_what_is_no_spec(mine, graph, signature, tmp_path):
    for model in (mine, graph):
        assert message(model, tmp_path / "model.tflite", signature) == (
            "`input_signature` must be a keras.KerasTensor or tf.TensorSpec, or a structure of "
            f"them. Received: input_signature={signature!r}"
        )


@pytest.mark.parametrize(
    "signature, said",
    [
        ([spec(4, 3)], "'list' object has no attribute 'shape'"),
        ([[spec(4, 3)]], "'list' object has no attribute 'shape'"),
        ({"other": spec(4, 3)}, "there is no 'features'"),
        (spec(4, 7), "Dimensions must be equal, but are 7 and 3"),
    ],
)
def test_what_a_subclassed_model_cannot_be_called_on(mine, signature, said, tmp_path):
    text = message(mine, tmp_path / "model.tflite", signature)
    assert text == (
        "`input_signature` must be what the model is called on, with a keras.KerasTensor or "
        "tf.TensorSpec in place of each array. Received: "
        f"input_signature={signature!r}, on which model 'mine' does not run: {said}"
    )


@pytest.mark.parametrize(
    "signature, nested",
    [
        (spec(4, 3), "a tensor"),
        ([spec(4, 3), spec(4, 3)], "[a tensor, a tensor]"),
        ({"a": spec(4, 3), "c": spec(4, 3)}, "{'a': a tensor, 'c': a tensor}"),
        ({"a": spec(4, 3), "b": [spec(4, 3)]}, "{'a': a tensor, 'b': [a tensor]}"),
    ],
)
def test_another_nesting_than_that_of_a_graph(graph, signature, nested, tmp_path):
    assert message(graph, tmp_path / "model.tflite", signature) == (
        "`input_signature` must be nested as the inputs of the model are, {'a': a tensor, 'b': a "
        f"tensor}}. Received: input_signature nested as {nested}, model='graph'"
    )


def test_right_ones_are_taken(mine, graph, tmp_path):
    path = tmp_path / "model.tflite"
    export.export_litert(mine, path, input_signature={"features": spec(4, 3, name="features")})
    export.export_litert(graph, path, input_signature={"b": spec(4, 3), "a": spec(4, 3)})
    alone = keras.Sequential([keras.Input((4, 3)), keras.layers.SimpleRNN(2)])
    export.export_litert(alone, path, input_signature=[spec(4, 3)])


def test_a_subclassed_model_of_several_inputs_needs_one(tmp_path):
    model = Mine()
    model({"features": tf.ones((1, 4, 3))})
    assert message(model, tmp_path / "model.tflite", None) == (
        "`input_signature` must be given for a model that is not functional or Sequential: a "
        "keras.KerasTensor or tf.TensorSpec, or a structure of them, as the model takes its "
        "inputs, for example keras.KerasTensor((None, None, 8)). Received: input_signature=None, "
        "model='mine'"
    )
