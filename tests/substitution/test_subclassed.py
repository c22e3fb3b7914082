"""Models and layers whose code cannot be rebuilt: their layers are replaced where they are."""

import re

import keras
import numpy as np
import pytest
from keras import layers
from pruning import data, largest_difference, prune, targets
from subclassing import NOT_LOADABLE, Small, built, x_of

import keras_sparse_rnn as ksr
from keras_sparse_rnn.layers import BlockSparseGRU, BlockSparseLSTM
from keras_sparse_rnn.substitution import substitute, to_dense

pytestmark = pytest.mark.filterwarnings(NOT_LOADABLE)


class Reader(keras.Model):
    """Has layers in attributes, lists, dicts, tuples and other layers."""

    def __init__(self):
        super().__init__(name="reader")
        self.first = layers.LSTM(8, return_sequences=True)
        self.also_first = self.first
        self.more = [layers.GRU(9, return_sequences=True), layers.Dropout(0.5)]
        self.named = {"both": layers.Bidirectional(layers.LSTM(4, return_sequences=True))}
        self.pair = (layers.Dense(8), layers.RNN(layers.SimpleRNNCell(9), return_sequences=True))
        self.encoder = keras.Sequential([layers.GRU(8, return_sequences=True), layers.Dense(6)])
        self.block = Block(7)
        self.head = layers.Dense(2)

    def call(self, x, training=None):
        x = self.first(x)
        for layer in self.more:
            x = layer(x, training=training)
        x = self.pair[1](self.pair[0](self.named["both"](x)))
        return self.head(self.block(self.encoder(x)) + self.also_first(x)[:, :1, :1])


class Block(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = layers.LSTM(units, return_sequences=True)
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.scale * self.inner(x)

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def reader():
    keras.utils.set_random_seed(0)
    model = Reader()
    model(np.zeros((2, 5, 9), "float32"))
    kernel = model.pair[1].cell.kernel
    kernel.assign(kernel * (np.arange(8) >= 4)[:, None])
    return prune(model)


def kinds(model):
    return [type(layer).__name__ for layer in model._flatten_layers()]


SPARSE = ("BlockSparseLSTM", "BlockSparseGRU", "BlockSparseSimpleRNN")


def test_a_subclassed_model_is_converted_in_place_and_back():
    model = reader()
    expected, weights, paths = model(x_of()), model.get_weights(), [w.path for w in model.weights]
    before = kinds(model)
    assert substitute(model, (4, 4), storage="masked", in_place=True) is model
    assert [kind for kind in kinds(model) if kind in ("LSTM", "GRU", "RNN")] == []
    assert model.also_first is model.first and type(model.first) is BlockSparseLSTM
    assert type(model.more[0]) is BlockSparseGRU and type(model.block.inner) is BlockSparseLSTM
    assert largest_difference(expected, model(x_of())) < 1e-5
    assert substitute(model, in_place=True) is model
    assert {layer.storage for layer in model._flatten_layers() if hasattr(layer, "storage")} == {
        "packed"
    }
    assert largest_difference(expected, model(x_of())) < 1e-5
    assert to_dense(model, in_place=True) is model
    assert kinds(model) == [kind if kind != "RNN" else "SimpleRNN" for kind in before]
    assert largest_difference(weights, model.get_weights()) == 0.0
    assert largest_difference(expected, model(x_of())) == 0.0
    # The cell of an LSTM, GRU or SimpleRNN has no number; the cells of others have.
    named = [re.sub(r"(simple_rnn_cell)_\d+", r"\1", path) for path in paths]
    assert [w.path for w in model.weights] == named


def test_training_goes_on_in_place():
    model, other = reader(), reader()
    x, y = x_of(), np.random.default_rng(1).normal(size=(6, 5, 2)).astype("float32")
    for one in (model, other):
        one.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", run_eagerly=True)
        one.more[1].rate = 0.0
        one.fit(x, y, verbose=0, batch_size=3, shuffle=False)
        prune(one)
    substitute(model, (4, 4), storage="masked", in_place=True)
    assert int(model.optimizer.iterations) == 2
    first = model.fit(x, y, verbose=0, batch_size=6).history["loss"]
    assert first == pytest.approx(other.fit(x, y, verbose=0, batch_size=6).history["loss"], 1e-4)
    assert model.fit(x, y, verbose=0, epochs=3).history["loss"][-1] < first[0]
    assert largest_difference(model.predict(x, verbose=0), model(x)) < 1e-6


def test_a_checkpoint_of_the_original_fits_after_the_way_back(tmp_path):
    model = reader()
    substitute(model, (4, 4), in_place=True)
    model.save_weights(tmp_path / "sparse.weights.h5")
    expected = model(x_of())
    to_dense(model, in_place=True).save_weights(tmp_path / "dense.weights.h5")
    again = reader()
    again.pair[1].cell.kernel.assign(2.0 * again.pair[1].cell.kernel)
    substitute(again, (4, 4), in_place=True).load_weights(tmp_path / "sparse.weights.h5")
    assert largest_difference(expected, again(x_of())) < 1e-5


def test_layers_inside_custom_layers_of_a_functional_model_are_substituted():
    x = keras.Input((5, 9))
    block = Block(8)
    y = block(layers.Dense(9)(block(layers.Dense(9)(x))))
    model = prune(keras.Model(x, [y, layers.TimeDistributed(Block(6))(x[:, None])]))
    sparse = substitute(model, (4, 4))
    inner = [layer for layer in sparse._flatten_layers() if type(layer) is BlockSparseLSTM]
    assert len(inner) == 2 and "LSTM" not in kinds(sparse)
    dense = to_dense(sparse)
    assert largest_difference(model(data(model)), sparse(data(model))) < 3e-6
    assert largest_difference(model.get_weights(), dense.get_weights()) == 0.0
    assert [w.path for w in dense.weights] == [w.path for w in model.weights]
    assert type(block.inner) is layers.LSTM


def test_masks_of_pruning_carry_on_after_a_conversion_in_place():
    model = built(Small())
    model.compile("adam", "mse", run_eagerly=True)
    substitute(model, (4, 4), storage="masked", in_place=True)
    zeros = model.lstm.cell.kernel.numpy() == 0
    model.fit(x_of(), targets(model, x_of()), verbose=0, epochs=2)
    assert (model.lstm.cell.kernel.numpy()[zeros] == 0).all()


def test_a_model_that_is_never_called_itself_is_converted_by_the_layers_that_are_built():
    """A GAN: its two models are built, and nobody uses the `call` of the whole."""

    class GAN(keras.Model):
        def __init__(self):
            super().__init__()
            self.generator = keras.Sequential(
                [keras.Input((3, 4)), keras.layers.LSTM(16, return_sequences=True)]
            )

    gan = GAN()
    ksr.prune(gan, 0.75, (4, 4))
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    expected = gan.generator(x)
    assert "keras_sparse_rnn.substitute(model, in_place=True)" in str(
        ksr.report(gan, console=False)
    )
    assert ksr.substitute(gan, (4, 4), in_place=True) is gan
    assert type(gan.generator.layers[0]) is ksr.layers.BlockSparseLSTM
    np.testing.assert_allclose(gan.generator(x), expected, atol=1e-6)


@keras.saving.register_keras_serializable("tests_of_saving")
class Inside(layers.Layer):
    """Writes the layer that it holds into its config, so that it comes back as it is."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), "inner": inner}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "inner": keras.saving.deserialize_keras_object(config["inner"])})


def with_layer(layer):
    x = keras.Input((5, 9))
    return prune(keras.Model(x, layer(layers.Dense(9)(x)), name="mine"))


NO_FILE = (
    "substitute: a Keras file of {!r} cannot be loaded again: the layers that {} makes then "
    "are Keras's. `{}` before `save`, or save the weights only (`save_weights`; "
    "`ModelCheckpoint` with `save_weights_only=True`)."
)


@pytest.mark.parametrize(
    "make, in_place, words",
    [
        (reader, True, ("reader", "Block, Reader", "to_dense(model, in_place=True)")),
        (lambda: with_layer(Block(8)), False, ("mine", "Block", "to_dense(model)")),
    ],
    ids=["model", "layer"],
)
def test_a_model_that_no_keras_file_brings_back_is_told_so_once(make, in_place, words):
    with pytest.warns(UserWarning) as warned:
        substitute(make(), (4, 4), in_place=in_place)
    assert [str(one.message) for one in warned] == [NO_FILE.format(*words)]
    assert warned[0].filename == __file__


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_layer_that_writes_its_layers_into_its_config_comes_back_from_a_file(tmp_path):
    sparse = substitute(with_layer(Inside(layers.LSTM(8, return_sequences=True))), (4, 4))
    sparse.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1].inner) is BlockSparseLSTM
    # What Keras 3.10 loads takes its one input in a list.
    assert largest_difference(loaded(data(loaded)), sparse(data(sparse))) == 0.0
