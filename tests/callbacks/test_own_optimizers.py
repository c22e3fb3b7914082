"""A `train_step` with optimizers of its own: Keras's GAN."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse_rnn.callbacks import BlockPruning, KeepMasks, Regrowth, StrengthSchedule
from keras_sparse_rnn.regularizers import GroupLasso
from keras_sparse_rnn.schedules import Constant, PolynomialDecay
from keras_sparse_rnn.slots import moving_averages

layers = keras.layers


class GAN(keras.Model):
    """As in Keras's guides: two models, two optimizers, and a `super().compile()` without one."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential(
            [keras.Input((3, 4)), layers.LSTM(8, return_sequences=True, name="g")]
        )
        self.discriminator = keras.Sequential(
            [keras.Input((3, 8)), layers.LSTM(8, name="d"), layers.Dense(1)]
        )

    def compile(self, d_optimizer, g_optimizer, run_eagerly=True):
        # tracing takes longer than training
        super().compile(run_eagerly=run_eagerly)
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

    def train_step(self, real):
        noise = tf.random.normal((tf.shape(real)[0], 3, 4))
        for part, optimizer, sign in (
            (self.discriminator, self.d_optimizer, 1.0),
            (self.generator, self.g_optimizer, -1.0),
        ):
            with tf.GradientTape() as tape:
                fake = self.discriminator(self.generator(noise))
                loss = sign * tf.reduce_mean(fake - self.discriminator(real))
            gradients = tape.gradient(loss, part.trainable_variables)
            optimizer.apply(gradients, part.trainable_variables)
        return {"loss": loss}


@pytest.fixture
def gan():
    model = GAN()
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01, use_ema=True))
    return model


REAL = np.random.default_rng(0).normal(size=(24, 3, 8)).astype("float32")


def fit(model, *callbacks):
    return model.fit(REAL, batch_size=4, verbose=0, callbacks=list(callbacks))


@pytest.mark.parametrize("run_eagerly", [True, False])
@pytest.mark.quick_cases
def test_the_schedule_counts_the_steps_of_the_optimizer_that_is_given(
    run_eagerly, gan, assert_sparse
):
    gan.run_eagerly = run_eagerly
    schedule = PolynomialDecay(0.0, 0.75, 1, 4)
    pruning = BlockPruning(schedule, (2, 2), frequency=1, layers="g", optimizer=gan.g_optimizer)
    history = fit(gan, pruning).history
    assert history["sparsity"][-1] == pytest.approx(0.75, abs=0.03)
    for layer, sparsity in (("g", 0.75), ("d", 0.0)):
        owner = gan.generator if layer == "g" else gan.discriminator
        kernel = owner.get_layer(layer).cell.recurrent_kernel
        assert_sparse(kernel, (2, 2), 4, sparsity)


def test_moving_averages_of_that_optimizer_are_masked(gan):
    pruning = BlockPruning(Constant(0.5, 2), (2, 2), layers="g", optimizer=gan.g_optimizer)
    fit(gan, pruning)
    kernel = gan.generator.get_layer("g").cell.recurrent_kernel
    (average,) = moving_averages(gan.g_optimizer, kernel)
    assert (average.numpy() == 0).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.filterwarnings("ignore:`optimizer` does not train all kernels")
def test_fisher_scores_look_at_the_optimizer_that_trains_a_kernel(gan):
    pruning = BlockPruning(Constant(0.5, 3), (2, 2), criterion="fisher", optimizer=gan.g_optimizer)
    fit(gan, pruning)
    assert len(pruning.masks) == 4 and pruning.sparsity == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "callback",
    [
        lambda: BlockPruning(Constant(0.5, 2), (2, 2)),
        lambda: StrengthSchedule(until=2, regularizer=GroupLasso(0.1, (2, 2))),
    ],
    ids=["pruning", "strength"],
)
def test_without_it_the_first_step_says_which_optimizer_moved_and_which_did_not(callback, gan):
    name = type(gan.optimizer).__name__
    with pytest.raises(ValueError) as error:
        fit(gan, callback())
    assert str(error.value) == (
        "`optimizer` must be the one that trains the model, for the schedule counts its steps: the "
        "first step was made by model.d_optimizer (Adam), model.g_optimizer (Adam), and "
        f"model.optimizer ({name}) has made none. Pass optimizer=model.d_optimizer to the "
        "callback. Received: optimizer=None"
    )
    assert all(variable.constraint is None for variable in gan.trainable_variables)


def test_masks_without_a_schedule_need_no_optimizer(gan):
    kernel = gan.generator.get_layer("g").cell.recurrent_kernel
    kernel.assign(kernel.numpy() * (np.arange(32) % 2))
    fit(gan, KeepMasks())
    assert (kernel.numpy()[:, ::2] == 0).all() and (kernel.numpy()[:, 1::2] != 0).all()


def test_an_optimizer_cannot_be_written_into_a_config(gan):
    pruning = BlockPruning(Constant(0.5, 2), optimizer=gan.g_optimizer)
    with pytest.raises(ValueError) as error:
        pruning.get_config()
    assert str(error.value) == (
        "The `optimizer` of BlockPruning cannot be written into a config. Make the callback "
        "anew instead."
    )


class Held(GAN):
    """Has its optimizers where they are not seen at once."""

    def compile(self, d_optimizer, g_optimizer):
        keras.Model.compile(self, run_eagerly=True)
        self.held = {"d": d_optimizer, "g": g_optimizer}

    @property
    def d_optimizer(self):
        return self.held["d"]

    @property
    def g_optimizer(self):
        return self.held["g"]


def test_optimizers_in_a_dict_are_found_too():
    model = Held()
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01))
    with pytest.raises(ValueError, match=r"was made by model\.held\['d'\] \(Adam\), model\.held"):
        fit(model, BlockPruning(Constant(0.5, 2), (2, 2)))


class Seldom(GAN):
    """Trains its generator with the optimizer of `compile`, and not in every batch."""

    def compile(self, d_optimizer, g_optimizer):
        keras.Model.compile(self, optimizer=g_optimizer, run_eagerly=True)
        self.d_optimizer, self.batches = d_optimizer, 0

    def train_step(self, real):
        self.batches += 1
        part, optimizer = self.discriminator, self.d_optimizer
        if self.batches % 3 == 0:
            part, optimizer = self.generator, self.optimizer
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.discriminator(self.generator(real[:, :, :4])))
        gradients = tape.gradient(loss, part.trainable_variables)
        optimizer.apply(gradients, part.trainable_variables)
        return {"loss": loss}


def test_an_optimizer_may_begin_later_than_others():
    model = Seldom()
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01))
    pruning = BlockPruning(Constant(0.5, 1), (2, 2), layers="g")
    assert fit(model, pruning).history["sparsity"][-1] == pytest.approx(0.5, abs=0.05)


def test_one_that_has_made_no_step_in_an_epoch_is_told(gan):
    strange = keras.optimizers.Adam(0.01)
    with pytest.raises(ValueError) as error:
        fit(gan, BlockPruning(Constant(0.5, 2), (2, 2), optimizer=strange))
    assert (
        "the first epoch was made by model.d_optimizer (Adam), model.g_optimizer (Adam), and "
        in (str(error.value))
    )
    assert "the Adam that was given has made none" in str(error.value)


def test_kernels_that_the_given_optimizer_does_not_train_are_named(gan):
    with pytest.warns(UserWarning) as caught:
        fit(gan, BlockPruning(Constant(0.5, 2), (2, 2), optimizer=gan.g_optimizer))
    (told,) = [str(one.message) for one in caught]
    assert told.startswith("`optimizer` does not train all kernels that follow its steps, but they")
    assert "d/lstm_cell/kernel, " in told and "g/lstm_cell" not in told


def loop(model, optimizer, pruning, steps=8):
    x, y = REAL[..., :4], REAL[:, 0, :1]
    pruning.set_model(model)
    pruning.on_train_begin()
    for step in range(steps):
        pruning.on_train_batch_begin(step)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        pruning.on_train_batch_end(step)
    pruning.on_train_end()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("options", [{"criterion": "fisher"}, {"regrowth": Regrowth()}])
def test_in_a_loop_of_ones_own_what_asks_the_optimizer_asks_the_one_that_is_given(
    options, compiled
):
    model = keras.Sequential([keras.Input((3, 4)), layers.LSTM(8), layers.Dense(1)])
    if compiled:
        model.compile(loss="mse")  # with Keras's default, which makes no step
    optimizer, schedule = keras.optimizers.Adam(0.01), PolynomialDecay(0.0, 0.5, 2, 7)
    pruning = BlockPruning(schedule, (4, 4), frequency=2, optimizer=optimizer, **options)
    loop(model, optimizer, pruning)
    assert pruning.sparsity == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "options, start",
    [
        ({"criterion": "fisher"}, "No mask can be taken from .* `criterion` Fisher needs"),
        ({"regrowth": Regrowth()}, "`regrowth` without `data` needs an optimizer with"),
    ],
)
def test_an_optimizer_that_keeps_too_little_is_named(options, start):
    model = keras.Sequential([keras.Input((3, 4)), layers.LSTM(8), layers.Dense(1)])
    model.compile("adam", "mse")
    optimizer, schedule = keras.optimizers.SGD(0.01), PolynomialDecay(0.0, 0.5, 2, 7)
    pruning = BlockPruning(schedule, (4, 4), frequency=2, optimizer=optimizer, **options)
    with pytest.raises(ValueError, match=f"{start}.* Received: SGD"):
        loop(model, optimizer, pruning)
