"""What Evolution refuses, in words, before anything changes."""

import keras
import numpy as np
import pytest
from evolving import fit, model

import keras_sparse_rnn as ksr
from keras_sparse_rnn import layers
from keras_sparse_rnn.callbacks import Evolution
from keras_sparse_rnn.slots import fresh_slots

ARGUMENTS = [
    (
        {"fraction": 0},
        "`fraction` must be a number between 0 and 1, the share of live blocks that is exchanged "
        "at first. Received: fraction=0",
    ),
    (
        {"fraction": 1.0},
        "`fraction` must be a number between 0 and 1, the share of live blocks that is exchanged "
        "at first. Received: fraction=1.0",
    ),
    ({"growth": "rigl"}, "`growth` must be one of 'gradient', 'random'. Received: growth='rigl'"),
    ({"drop": "set"}, "`drop` must be one of 'magnitude', 'signs'. Received: drop='set'"),
    ({"scope": "model"}, "`scope` must be one of 'gate', 'kernel'. Received: scope='model'"),
    (
        {"frequency": 10, "end_step": 10},
        "`end_step` must be larger than `frequency`, or no block is ever exchanged. Received: "
        "end_step=10, frequency=10",
    ),
    (
        {"keep_diagonal": 1},
        "`keep_diagonal` must be True or False. Received: keep_diagonal=1",
    ),
]


@pytest.mark.parametrize("arguments, message", ARGUMENTS)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        Evolution(**arguments)
    assert str(error.value) == message


def refused(made, evolution, kind=ValueError, **options):
    """The message with which `fit` refuses; the weights are what they were."""
    before = [np.array(one.numpy()) for one in made.weights]
    with pytest.raises(kind) as error:
        fit(made, evolution, epochs=1, **options)
    assert all(np.array_equal(one, other.numpy()) for one, other in zip(before, made.weights))
    return str(error.value)


def of(*made, optimizer="adam"):
    """A compiled model of layers, after inputs of `[batch, 3, 7]`."""
    whole = keras.Sequential([keras.Input((3, 7)), *made], name="network")
    whole.compile(optimizer, "mse", run_eagerly=True)
    return whole


def test_a_model_without_a_packed_layer():
    message = refused(of(keras.layers.LSTM(2)), Evolution(1, end_step=9))
    assert message == (
        "The model must have a packed layer with dead blocks that is trained, such as "
        "ksr.layers.BlockSparseLSTM(units, sparsity=0.9). Received: the model 'network', "
        "layers=None, with block-sparse layers: none"
    )


def test_layers_all_of_whose_blocks_live():
    message = refused(of(layers.BlockSparseGRU(2, (1, 1), name="full")), Evolution(1, end_step=9))
    assert message == (
        "The model must have a packed layer with dead blocks that is trained, such as "
        "ksr.layers.BlockSparseLSTM(units, sparsity=0.9). Received: the model 'network', "
        "layers=None, with block-sparse layers: full"
    )


def test_a_layer_without_live_blocks():
    empty = layers.BlockSparseSimpleRNN(2, (1, 1), live_blocks=(3, 0), name="empty")
    message = refused(of(empty), Evolution(1, end_step=9))
    assert message == (
        "A kernel must have a live block to evolve. Received: empty/recurrent_kernel without one; "
        "lower its sparsity, or leave the layer out with `layers`"
    )


@pytest.mark.parametrize("selected", [None, "wide"])
def test_masked_storage(selected):
    made = layers.BlockSparseSimpleRNN(2, (1, 1), sparsity=0.5, storage="masked", name="wide")
    message = refused(of(made), Evolution(1, end_step=9, layers=selected))
    assert message == (
        'Blocks evolve in layers of storage="packed"; in those of storage="masked" a BlockPruning '
        'with a Regrowth exchanges them. Received: storage="masked" in wide'
    )


def test_a_selector_that_matches_nothing():
    message = refused(model(), Evolution(1, end_step=9, layers="lstm_*"))
    assert message == (
        "`layers` must match block-sparse layers of the model; 'lstm_*' matches none. It has: "
        "rnn, head"
    )


def test_a_layer_that_is_not_trained():
    made = model("simple_rnn")
    made.get_layer("rnn").trainable = False
    message = refused(made, Evolution(1, end_step=9, layers="rnn"))
    assert message == (
        "Only kernels that are trained evolve. Received: rnn/kernel, which is not trainable, of "
        "weights='float32'"
    )


class Own(keras.optimizers.SGD):
    """An optimizer with a slot more than SGD has."""

    def build(self, variables):
        super().build(variables)
        (self.speeds,) = (self.add_optimizer_variables(variables, "speed"),)


KNOWN = (
    "The optimizer must keep for each weight what a new one can begin with: Adadelta, Adagrad, "
    "Adam, Adamax, Ftrl, Lamb, Lion, Nadam, RMSprop, SGD do, and one of your own that says so in "
    "`fresh_slots`, a dict from the names of its slots to numbers. Received: "
)


def test_optimizers_whose_slots_are_not_known():
    message = refused(
        model("simple_rnn", optimizer=keras.optimizers.Adafactor()), Evolution(1, end_step=9)
    )
    assert message == KNOWN + "Adafactor, an optimizer of which that is not known"
    message = refused(model("simple_rnn", optimizer=Own(0.1)), Evolution(1, end_step=9))
    assert message.startswith(KNOWN + "Own, one that keeps 'speeds' of shape (")


def test_an_optimizer_of_ones_own_says_what_a_new_weight_begins_with():
    optimizer = Own(0.1)
    optimizer.fresh_slots = {"speeds": 0.5}
    made = model("simple_rnn", optimizer=optimizer)
    optimizer.build(made.trainable_variables)
    values = made.get_layer("rnn").cell.kernel_values
    assert [fresh for _, fresh in fresh_slots(optimizer, values)] == [0.5]
    adagrad = keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.3, use_ema=True)
    adagrad.build(made.trainable_variables)
    assert sorted(fresh for _, fresh in fresh_slots(adagrad, values)) == [0, 0.3]


def test_gradients_of_dead_blocks_that_cannot_be_had():
    made = layers.BlockSparseLSTM(2, (1, 1), sparsity=0.5, recurrent_dropout=0.1, name="it")
    message = refused(of(made), Evolution(1, end_step=9))
    assert message == (
        '`growth` must be "random" for a layer that trains in Keras\'s own loop '
        "(`recurrent_dropout`, or `dropout` with `implementation=1`): gradients of dead blocks are "
        "those of whole sequences. Received: growth='gradient', the layer 'it'"
    )


def test_a_fit_too_short_for_an_exchange_and_one_of_which_nobody_knows_the_length():
    assert refused(model("simple_rnn"), Evolution()) == (
        "`end_step` must be larger than `frequency`, or no block is ever exchanged. Received: "
        "end_step=3, of the 4 steps of this fit, frequency=100"
    )
    made, evolution = model("simple_rnn"), Evolution(1)
    evolution.set_model(made)
    with pytest.raises(ValueError) as error:
        evolution.on_train_begin()
    assert str(error.value) == (
        "`end_step` must be given where nobody knows how many steps there will be: in a loop of "
        "your own, and in a `fit` of data without a length. Received: end_step=None"
    )


def test_weights_that_are_no_numbers():
    made = model("simple_rnn")
    values = made.get_layer("rnn").cell.kernel_values
    values.assign(np.full(values.shape, np.nan))
    with pytest.raises(ValueError) as error:
        fit(made, Evolution(1, end_step=9, growth="random"), epochs=1)
    assert str(error.value) == (
        "Weights must be finite when blocks are exchanged: training has diverged. Received: NaN "
        "or infinity in rnn/kernel"
    )


def test_a_step_that_was_traced_without_the_callback():
    made, evolution = model("simple_rnn"), Evolution(1, end_step=9)
    evolution.set_model(made)
    evolution.on_train_begin()
    evolution.on_train_batch_begin(0)
    for layer in (made.get_layer("rnn"), made.get_layer("head")):
        watch, layer.watch = layer.watch, None
    made.optimizer.iterations.assign(1)
    made.get_layer("rnn").watch = made.get_layer("head").watch = watch
    with pytest.raises(RuntimeError) as error:
        evolution.on_train_batch_end(0)
    assert str(error.value) == (
        "`growth=\"gradient\"` has seen no gradient of the layer 'head' at step 1: the training "
        "step was traced before the callback was told that training begins, or does not go "
        "through the layer with training=True"
    )


def test_gradients_of_a_layer_of_few_bits():
    low = ksr.quantization.LowPrecision(4)
    rnn = layers.BlockSparseGRU(4, (2, 2), sparsity=0.5, low_precision=low, name="few")
    message = refused(of(rnn), Evolution(1, end_step=9))
    assert message == (
        '`growth` must be "random" for a layer that trains at few bits: the gradient of a dead '
        "block is that of float weights. Received: growth='gradient', the layer 'few' with "
        f"low_precision={low!r}"
    )


@pytest.mark.parametrize(
    "end_step, message",
    [
        (None, "made 12 steps .* from step 9 on, three quarters of the steps of this fit"),
        (10, "made 12 steps before this training and nothing is exchanged from step 10 on"),
    ],
)
def test_a_training_that_begins_after_the_last_exchange_says_so(end_step, message):
    made = model()
    fit(made, Evolution(3, end_step=end_step))
    with pytest.warns(UserWarning, match=message):
        fit(made, again := Evolution(3, end_step=end_step))
    assert again.exchanged == 0


def test_several_fits_with_one_end_step_go_on():
    made, counts = model(), []
    for _ in range(3):
        evolution = Evolution(3, end_step=20)
        counts += fit(made, evolution, epochs=1).history["exchanged"]
    assert all(counts)


@pytest.mark.parametrize("schedule", [False, True])
def test_plain_sgd_keeps_no_slots(schedule):
    rate = keras.optimizers.schedules.CosineDecay(0.1, 100) if schedule else 0.1
    made = keras.Sequential([keras.Input((7,)), layers.BlockSparseDense(4, (2, 2), sparsity=0.5)])
    made.compile(keras.optimizers.SGD(rate), "mse")  # as many variables of its own as weights
    x = np.random.default_rng(0).normal(size=(32, 7))
    history = made.fit(x, x[:, :4], 8, 3, verbose=0, callbacks=[Evolution(3)])
    assert history.history["exchanged"][0]


def test_layers_that_are_left_out_since_they_are_frozen_are_said_to_be():
    made = model()
    for layer in made.layers:
        layer.trainable = False
    made.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"rnn \(not trainable\), head \(not trainable\)"):
        fit(made, Evolution(3))


def test_the_share_of_a_fit_that_has_not_begun():
    with pytest.raises(ValueError) as error:
        Evolution().share(10)
    assert str(error.value) == (
        "`end_step` must be given before `fit` has told how many steps there will be. Received: "
        "end_step=None"
    )
