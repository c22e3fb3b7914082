"""A substituted model goes on training as the original would have, whatever its optimizer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from pruning import largest_difference, model_and_data

from keras_sparse_rnn.slots import updates_made
from keras_sparse_rnn.substitution import substitute, to_dense

SCHEDULE = keras.optimizers.schedules.CosineDecay(0.01, 100)
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(SCHEDULE, epsilon=1e-4, clipnorm=1.0),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.3),
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.001, centered=True, momentum=0.5),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "accumulating": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "loss_scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(SCHEDULE)),
}


class Masked(keras.constraints.Constraint):
    """Keeps a pattern, as `BlockPruning` does."""

    def __init__(self, mask):
        self.mask = mask

    def __call__(self, weight):
        return weight * self.mask


def keep_zeros(model):
    """Masks the kernels of `model` as a callback would: so that it trains as its sparse twin
    must.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, (layers.LSTM, layers.SimpleRNN)):
            for variable in (layer.cell.kernel, layer.cell.recurrent_kernel):
                variable.constraint = Masked(variable.numpy() != 0)


def train(model, x, y, epochs):
    return model.fit(x, y, batch_size=4, epochs=epochs, shuffle=False, verbose=0).history["loss"]


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(one, marks=pytest.mark.slow if one in ("nadam", "rmsprop") else ())
        for one in OPTIMIZERS
    ],
)
@pytest.mark.quick_cases
def test_training_goes_on_as_if_nothing_had_happened(optimizer):
    recurrent = (
        layers.Bidirectional(layers.LSTM(9, return_sequences=True)) if optimizer == "adam" else None
    )
    model, x, y = model_and_data(recurrent)
    keep_zeros(model)
    model.compile(
        OPTIMIZERS[optimizer](), "mse", run_eagerly=recurrent is None
    )  # tracing takes longer than training
    train(model, x, y, 1)
    sparse = substitute(model, (4, 4))
    assert (
        type(sparse.optimizer) is type(model.optimizer) and sparse.optimizer is not model.optimizer
    )
    assert sparse.optimizer.get_config() == model.optimizer.get_config()
    assert updates_made(sparse.optimizer) == updates_made(model.optimizer) > 0
    before = model.get_weights()
    received = train(sparse, x, y, 2)
    assert all(
        np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True)
    )
    # Gradient clipping by norm sees the gradients of dead weights too, so it is compared loosely.
    np.testing.assert_allclose(
        received, train(model, x, y, 2), rtol=2e-2 if optimizer == "adam" else 1e-4
    )


def test_slots_are_packed_like_the_kernels():
    model, x, y = model_and_data()
    keep_zeros(model)
    model.compile(keras.optimizers.Adam(0.01, use_ema=True), "mse", run_eagerly=True)
    model.train_on_batch(x, y)
    sparse = substitute(model, (4, 4))
    dense = to_dense(sparse)
    rnn, twin = model.layers[2], sparse.layers[2]
    index = [variable.path for variable in model.trainable_variables].index(
        rnn.cell.recurrent_kernel.path
    )
    alive = twin.grids[1].expand(twin.grids[1].live(twin.dense_kernels()[1]))
    for name in ("_momentums", "_velocities", "_model_variables_moving_average"):
        slot, packed, back = (
            getattr(one.optimizer, name)[index].numpy() for one in (model, sparse, dense)
        )
        np.testing.assert_array_equal(
            packed, twin.grids[1].pack(slot, twin.recurrent_kernel_blocks.numpy())[0]
        )
        np.testing.assert_array_equal(back, slot * alive)
        assert packed.any()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda optimizer: optimizer,
        pytest.param(keras.optimizers.LossScaleOptimizer, marks=pytest.mark.slow),
    ],
)
def test_adafactor_goes_on_although_blocks_are_partial(wrap):
    model, x, y = model_and_data()
    keep_zeros(model)
    model.compile(wrap(keras.optimizers.Adafactor(0.3)), "mse", run_eagerly=True)
    train(model, x, y, 1)
    sparse = substitute(model, (4, 4))
    losses = train(sparse, 100 * x, 1e4 * y, 1) + train(sparse, x, y, 9)
    assert all(np.isfinite(weights).all() for weights in sparse.get_weights())
    assert losses[-1] < 0.9 * losses[1]
    assert (
        substitute(model, (1, 1)).optimizer.get_config() == model.optimizer.get_config()
    )  # no padding, no change


def each_optimizer():
    """One of every optimiser class that the installed Keras has."""
    classes = vars(keras.optimizers).values()
    classes = {
        one
        for one in classes
        if isinstance(one, type) and issubclass(one, keras.optimizers.Optimizer)
    }
    for one in sorted(classes - {keras.optimizers.Optimizer}, key=lambda one: one.__name__):
        if one.__name__ == "LossScaleOptimizer":
            yield one(keras.optimizers.Adam(0.01))
        elif one.__name__ == "MultiOptimizer":
            by_name = {
                ".*/kernel": keras.optimizers.Adam(0.01),
                ".*bias": keras.optimizers.SGD(0.01, momentum=0.9),
            }
            yield one(keras.optimizers.OptimizerMap(keras.optimizers.RMSprop(0.01), by_name))
        else:
            yield one(learning_rate=0.01)


def why_no_muon():
    """Why the installed Keras trains nothing with Muon; None if it does."""
    if not hasattr(keras.optimizers, "Muon"):
        return "this Keras has no Muon"
    optimizer, variable = keras.optimizers.Muon(), keras.Variable(np.ones((2, 2), "float32"))
    optimizer.build([variable])
    try:
        optimizer.apply([tf.ones((2, 2))])
    except AttributeError:  # it asks a variable of TensorFlow for the `path` of one of Keras
        return "the Muon of this Keras fails on TensorFlow, whatever the model"


needs_muon = pytest.mark.skipif(why_no_muon() is not None, reason=why_no_muon() or "")


def in_turn(optimizer):
    """The quick suite has those whose state is of its own kind; the others keep theirs as one of
    these does.
    """
    name = type(optimizer).__name__
    quick = name in ("Adafactor", "Adam", "Lamb", "MultiOptimizer", "Muon")
    marks = [] if quick else [pytest.mark.slow]
    return pytest.param(optimizer, id=name, marks=[needs_muon] if name == "Muon" else marks)


@pytest.mark.filterwarnings("ignore:substitute. Muon trains matrices only")
@pytest.mark.parametrize("optimizer", [in_turn(one) for one in each_optimizer()])
@pytest.mark.quick_cases
def test_every_optimizer_goes_on(optimizer):
    model, x, y = model_and_data()
    keep_zeros(model)
    model.compile(optimizer, "mse", run_eagerly=True)
    train(model, x, y, 1)
    sparse = substitute(model, (4, 4))
    dense = to_dense(sparse)
    assert largest_difference(model.get_weights(), dense.get_weights()) == 0.0
    masked = substitute(model, (4, 4), storage="masked")
    keep_zeros(dense)
    losses = [train(one, x, y, 1) for one in (model, dense, masked, sparse)]
    assert np.isfinite(losses).all()
    if type(optimizer).__name__ not in (
        "Muon",
        "Adafactor",
        "Lamb",
    ):  # these treat a kernel as a whole, dead weights included
        np.testing.assert_allclose(losses, losses[:1] * 4, rtol=1e-4)


@pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has no MultiOptimizer"
)
def test_each_weight_stays_with_its_optimizer():
    model, x, y = model_and_data()
    keep_zeros(model)
    fast, slow = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(
        keras.optimizers.MultiOptimizer(lambda v: slow if "bias" in v.path else fast),
        "mse",
        run_eagerly=True,
    )
    train(model, x, y, 1)
    sparse = substitute(model, (4, 4))
    adam, sgd = sparse.optimizer.optimizers
    assert (len(adam._momentums), len(sgd.momentums)) == (5, 3) and not {adam, sgd} & {fast, slow}
    assert int(adam.iterations) == 3 and sgd.momentums[0].numpy().any()


@needs_muon
def test_muon_is_said_to_train_packed_kernels_by_another_rule():
    model, x, y = model_and_data()
    keep_zeros(model)
    model.compile(keras.optimizers.Muon(0.01), "mse", run_eagerly=True)
    train(model, x, y, 1)
    with pytest.warns(
        UserWarning, match="Muon trains matrices only, so it trains packed kernels by its AdamW"
    ):
        sparse = substitute(model, (4, 4))
    old, new = model.optimizer, sparse.optimizer
    packed = [
        velocity is not None and old.adam_velocities[i] is None
        for i, velocity in enumerate(new.adam_velocities)
    ]
    assert sum(packed) == 4
    for index, was_packed in enumerate(packed):
        assert new.momentums[index].numpy().any() != was_packed


def test_exclusions_from_weight_decay_survive():
    model, x, y = model_and_data()
    model.compile(keras.optimizers.AdamW(0.0, weight_decay=10.0), "mse", run_eagerly=True)
    model.optimizer.exclude_from_weight_decay(
        var_list=[model.layers[2].cell.kernel], var_names=["bias"]
    )
    train(model, x, y, 1)
    sparse = substitute(model, (4, 4))
    excluded = [
        v.path for v in sparse.trainable_variables if not sparse.optimizer._use_weight_decay(v)
    ]
    assert [path.split("/")[-1] for path in excluded] == ["bias", "kernel_values", "bias", "bias"]


def test_an_optimizer_not_yet_used_stays_fresh():
    model, x, y = model_and_data()
    model.compile(keras.optimizers.Adam(SCHEDULE), "mse")
    sparse = substitute(model, (4, 4))
    train(sparse, x, y, 1)
    assert int(sparse.optimizer.iterations) == 3 and int(model.optimizer.iterations) == 0
