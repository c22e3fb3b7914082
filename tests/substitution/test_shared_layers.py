"""A layer that cannot be copied and holds nothing is shared: Keras's captcha example."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from pruning import largest_difference, prune

from keras_sparse_rnn.layers import BlockSparseLSTM
from keras_sparse_rnn.substitution import substitute, to_dense


def ctc_batch_cost(y_true, y_pred, input_length, label_length):
    return ops.nn.ctc_loss(
        ops.cast(y_true, "int32"), ops.log(y_pred + 1e-7), label_length, input_length, mask_index=7
    )[:, None]


class CTCLayer(layers.Layer):
    """The endpoint layer of https://keras.io/examples/vision/captcha_ocr: its constructor takes
    nothing that its config has.
    """

    def __init__(self, name=None):
        super().__init__(name=name)
        self.loss_fn = ctc_batch_cost

    def call(self, y_true, y_pred):
        batch = ops.cast(ops.shape(y_true)[0], "int32")
        input_length = ops.shape(y_pred)[1] * ops.ones((batch,), "int32")
        label_length = ops.shape(y_true)[1] * ops.ones((batch,), "int32")
        self.add_loss(ops.mean(self.loss_fn(y_true, y_pred, input_length, label_length)))
        return y_pred


def captcha_model():
    """The model of the example, with fewer units."""
    image = layers.Input((16, 8, 1), name="image", dtype="float32")
    labels = layers.Input((None,), name="label", dtype="float32")
    x = layers.Conv2D(4, (3, 3), activation="relu", padding="same", name="Conv1")(image)
    x = layers.MaxPooling2D((2, 2), name="pool1")(x)
    x = layers.Reshape((8, 16), name="reshape")(x)
    x = layers.Dropout(0.2)(layers.Dense(8, activation="relu", name="dense1")(x))
    x = layers.Bidirectional(layers.LSTM(12, return_sequences=True, dropout=0.25))(x)
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True, dropout=0.25))(x)
    x = layers.Dense(8, activation="softmax", name="dense2")(x)
    output = CTCLayer(name="ctc_loss")(labels, x)
    model = keras.Model(inputs=[image, labels], outputs=output, name="ocr_model_v1")
    model.compile(keras.optimizers.Adam(), run_eagerly=True)
    return prune(model)


def test_the_captcha_example_is_substituted_and_trained():
    generator = np.random.default_rng(0)
    x = [
        generator.normal(size=(4, 16, 8, 1)).astype("float32"),
        generator.integers(0, 7, (4, 3)).astype("float32"),
    ]
    model = captcha_model()
    expected, loss = model.predict(x, verbose=0), model.evaluate(x, verbose=0)
    sparse = substitute(model, (4, 4))
    assert sum(type(layer) is BlockSparseLSTM for layer in sparse._flatten_layers()) == 4
    assert sparse.get_layer("ctc_loss") is model.get_layer("ctc_loss")
    assert largest_difference(expected, sparse.predict(x, verbose=0)) < 3e-6
    assert sparse.evaluate(x, verbose=0) == pytest.approx(loss, rel=1e-5)
    sparse.fit(x, verbose=0)
    assert largest_difference(expected, model.predict(x, verbose=0)) == 0.0
    dense = to_dense(substitute(model, (4, 4)))
    assert largest_difference(expected, dense.predict(x, verbose=0)) < 3e-6
    prediction = keras.Model(sparse.inputs[0], sparse.get_layer("dense2").output)
    assert prediction.predict(x[0], verbose=0).shape == (4, 8, 8)


def test_a_layer_that_reads_the_weights_of_another_is_not_shared():
    class Tied(layers.Layer):
        def __init__(self, embedding):
            super().__init__(name="tied")
            self.read = lambda: embedding.embeddings

        def call(self, x):
            return ops.matmul(x, ops.transpose(self.read()))

        def get_config(self):
            raise NotImplementedError("no config")

    tokens, embedding = keras.Input((5,), dtype="int32"), layers.Embedding(7, 8)
    model = prune(keras.Model(tokens, Tied(embedding)(layers.LSTM(8)(embedding(tokens)))))
    with pytest.raises(ValueError) as error:
        substitute(model, (4, 4))
    assert str(error.value) == (
        "The layer 'tied' of class Tied cannot be copied from its config: no config. Nor can it be "
        "shared by two models, for it holds layers or variables: `read.__closure__`. Give the "
        "class a `get_config` that has every argument of its constructor; or cut the model in "
        "front of this layer, substitute the part before it, and call the layer on the result"
    )
