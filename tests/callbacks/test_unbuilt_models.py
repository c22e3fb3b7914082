"""A model without an `Input` is built by its first batch, by Keras as by the callbacks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from fitting import HALF, fit

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, StrengthSchedule
from keras_sparse_rnn.regularizers import GroupLasso

layers = keras.layers


def without_input(eager=False):
    """The first model of every tutorial."""
    model = keras.Sequential([layers.LSTM(12, name="rnn"), layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=eager)
    return model


class Subclassed(keras.Model):
    """Makes its layers when it is made, and builds them when it is called."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = layers.GRU(12, name="rnn"), layers.Dense(2)

    def call(self, x):
        return self.head(self.rnn(x))


class MadeInBuild(keras.Model):
    """Makes its layers when it is built."""

    def build(self, shape):
        self.rnn, self.head = layers.GRU(12, name="rnn"), layers.Dense(2)

    def call(self, x):
        return self.head(self.rnn(x))


@pytest.mark.parametrize("eager", [True, False])
def test_a_sequential_model_without_input_is_pruned_from_its_first_batch(
    eager, data, assert_sparse
):
    model, pruning = without_input(eager), BlockPruning(HALF, (4, 4))
    history = fit(model, data, pruning, epochs=2).history
    assert history["sparsity"] == [pruning.sparsity] * 2
    assert_sparse(model.layers[0].cell.recurrent_kernel, (4, 4), 4, 0.5)
    assert all(variable.constraint is None for variable in model.trainable_variables)


@pytest.mark.parametrize("kind", [Subclassed, MadeInBuild])
@pytest.mark.quick_cases
def test_a_subclassed_model_that_nobody_has_called_is_pruned(kind, data, assert_sparse):
    model = kind()
    model.compile("adam", "mse")
    fit(model, data, BlockPruning(HALF, (4, 4)))
    assert_sparse(model.rnn.cell.recurrent_kernel, (4, 4), 3, 0.5)


def test_it_trains_as_the_model_with_input_does(data):
    results = []
    for inputs in ([], [keras.Input((2, 5))]):
        keras.utils.set_random_seed(5)
        model = keras.Sequential([*inputs, layers.LSTM(12), layers.Dense(2)])
        model.compile(keras.optimizers.Adam(0.01), "mse")
        pruning = BlockPruning(HALF, (4, 4))
        penalty = StrengthSchedule(until=3, regularizer=GroupLasso(0.01, (4, 4)))
        losses = fit(model, data, pruning, penalty, epochs=2).history["loss"]
        results.append((losses, model.get_weights(), list(pruning.masks.values())))
    (losses, weights, masks), (own_losses, own_weights, own_masks) = results
    np.testing.assert_allclose(losses, own_losses, rtol=1e-5)
    for one, other in zip(weights, own_weights):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for one, other in zip(masks, own_masks):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:Gates have lost all blocks of their recurrent kernel")
def test_the_recipe_takes_it(data):
    recipe = ksr.recipes.PruneTrained(
        steps=20, learning_rate=0.01, sparsity=0.5, block_shape=(4, 4)
    )
    model = keras.Sequential([layers.LSTM(12), layers.Dense(2)])
    model.compile(keras.optimizers.Adam(recipe.learning_rate), "mse")
    fit(model, data, *recipe.callbacks, epochs=4)
    assert recipe.callbacks[0].sparsity == pytest.approx(0.5, abs=0.05)


def test_a_dataset_of_dictionaries_builds_it_too(data, assert_sparse):
    class Named(Subclassed):
        def call(self, inputs):
            return super().call(inputs["x"])

    dataset = tf.data.Dataset.from_tensor_slices(({"x": data[0]}, data[1])).batch(8)
    model = Named()
    model.compile("adam", "mse")
    model.fit(dataset, shuffle=False, verbose=0, callbacks=[BlockPruning(HALF, (4, 4))])
    assert_sparse(model.rnn.cell.recurrent_kernel, (4, 4), 3, 0.5)


def test_what_does_not_fit_is_told_at_the_first_batch_and_leaves_the_model_usable(data):
    model = without_input()
    with pytest.raises(ValueError) as error:
        fit(model, data, BlockPruning(HALF, (4, 4), layers="gru"))
    assert str(error.value) == (
        "`layers` must match layers of the model; 'gru' matches none. It has: rnn, "
        f"{model.layers[1].name}"
    )
    fit(model, data)
    assert all((weights != 0).any() for weights in model.get_weights())


def test_a_model_that_cannot_be_called_on_symbolic_tensors_says_what_to_do(data):
    class ByHand(Subclassed):
        def call(self, x):
            return super().call(tf.convert_to_tensor(np.asarray(x)))

    model = ByHand()
    model.compile("adam", "mse", run_eagerly=True)
    with pytest.raises(ValueError) as error:
        fit(model, data, BlockPruning(HALF, (4, 4)))
    assert str(error.value) == (
        "The model must be built before its kernels are looked for: rnn/gru_cell has no weights "
        "yet. Call the model on a batch, or `model.build(input_shape)`, first. (A call on symbolic "
        "tensors, as Keras builds models, has failed: NotImplementedError: Cannot convert a "
        "symbolic tf.Tensor (Placeholder:0) to a numpy array. This error may indicate that you're "
        "trying to pass a Tensor to a NumPy call, which is not supported.)"
    )
    model(data[0][:8])
    fit(model, data, BlockPruning(HALF, (4, 4)))
