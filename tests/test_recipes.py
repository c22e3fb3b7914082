import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.recipes import PruneTrained


@pytest.mark.parametrize("options, scope", [({}, None), ({"scope": "gate"}, "gate")])
def test_steps_are_divided_as_described(options, scope):
    recipe = PruneTrained(
        steps=1000,
        learning_rate=0.3,
        sparsity=0.75,
        block_shape=(4, 8),
        layers="encoder",
        **options,
    )
    rates = [float(recipe.learning_rate(step)) for step in (0, 25, 50, 525, 1000)]
    np.testing.assert_allclose(rates, [0, 0.15, 0.3, 0.15, 0], atol=1e-6)
    assert [recipe.schedule(step) for step in (19, 20, 300, 1000)] == [0.0, 0.0, 0.75, 0.75]
    (pruning,) = recipe.callbacks
    config = ksr.callbacks.BlockPruning(
        recipe.schedule, (4, 8), frequency=20, criterion="fisher", scope=scope, layers="encoder"
    ).get_config()
    assert pruning.get_config() == config


def test_blocks_are_compared_by_another_criterion():
    (pruning,) = PruneTrained(steps=100, learning_rate=0.3, criterion="l2").callbacks
    assert pruning.criterion == "l2"


def test_a_lasso_is_there_until_the_pruning_ends():
    recipe = PruneTrained(
        steps=1000, learning_rate=0.3, block_shape=(4, 8), layers="encoder", lasso=0.5
    )
    _, strengths = recipe.callbacks
    lasso = ksr.regularizers.GroupLasso(0.5, (4, 8))
    assert (
        strengths.get_config()
        == ksr.callbacks.StrengthSchedule(
            until=recipe.schedule, regularizer=lasso, layers="encoder"
        ).get_config()
    )


def test_a_trained_model_is_pruned_and_still_knows_what_it_knew():
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(256, 6, 4)).astype("float32")
    y = x.sum(axis=(1, 2))[:, None] / 3
    model = keras.Sequential([keras.Input((6, 4)), keras.layers.GRU(32), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x, y, epochs=8, verbose=0)
    recipe = PruneTrained(steps=80, learning_rate=0.01, sparsity=0.75, block_shape=(4, 4))
    model.compile(keras.optimizers.Adam(recipe.learning_rate), "mse")
    losses = model.fit(x, y, epochs=10, callbacks=recipe.callbacks, verbose=0).history["loss"]
    kernels = [
        keras.ops.convert_to_numpy(one)
        for one in (model.layers[0].cell.kernel, model.layers[0].cell.recurrent_kernel)
    ]
    assert 1 - sum(map(np.count_nonzero, kernels)) / sum(
        one.size for one in kernels
    ) == pytest.approx(0.75, abs=0.005)
    assert losses[-1] < 0.1


def test_by_magnitude_it_takes_an_optimizer_without_squared_gradients():
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.LSTM(8)])
    recipe = PruneTrained(
        steps=20, learning_rate=0.1, sparsity=0.5, block_shape=(4, 4), criterion="l2"
    )
    model.compile(keras.optimizers.SGD(recipe.learning_rate), "mse")
    model.fit(
        np.ones((20, 3, 4)), np.zeros((20, 8)), batch_size=1, verbose=0, callbacks=recipe.callbacks
    )
    assert recipe.callbacks[0].sparsity == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"steps": 19}, "`steps` must be an integer of at least 20. Received: steps=19"),
        (
            {"learning_rate": 0},
            "`learning_rate` must be a number above 0. Received: learning_rate=0",
        ),
        (
            {"sparsity": 90},
            "`sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: sparsity=90",
        ),
        ({"lasso": -1e-5}, "`lasso` must be a number of at least 0. Received: lasso=-1e-05"),
        (
            {"criterion": "big"},
            "`criterion` must be one of 'max', 'mean', 'l2', 'fisher', or a Criterion of "
            "keras_sparse_rnn.criteria. Received: criterion='big'",
        ),
        (
            {"scope": "layer"},
            "`scope` must be one of 'gate', 'kernel', 'model', None. Received: scope='layer'",
        ),
        (
            {"block_shape": 16},
            "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
            "block_shape=16",
        ),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError) as error:
        PruneTrained(**{"steps": 100, "learning_rate": 1e-3, **arguments})
    assert str(error.value) == message


def trained(recipe, callbacks, epochs=(5,), wrap=lambda optimizer: optimizer, **arguments):
    """The history and the weights after `fit`s of so many epochs of 4 steps."""
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(64, 3, 4)).astype("float32"), generator.normal(size=(64, 1))
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.GRU(16), keras.layers.Dense(1)])
    optimizer = wrap(keras.optimizers.Adam(recipe.learning_rate))
    model.compile(optimizer, "mse", run_eagerly=True)
    for count in epochs:
        fit = model.fit(
            x, y, batch_size=16, epochs=count, callbacks=callbacks, verbose=0, **arguments
        )
    return fit.history, model.get_weights()


OPTIONS = dict(steps=20, learning_rate=0.01, sparsity=0.5, block_shape=(4, 4), lasso=1e-4)


@pytest.fixture(scope="module")
def by_callbacks():
    """The history and the weights of a training that was given the callbacks of the recipe."""
    return trained(recipe := PruneTrained(**OPTIONS), recipe.callbacks)


@pytest.mark.parametrize(
    "given", [lambda r: r, lambda r: [r], lambda r: [*r], lambda r: r.callbacks]
)
@pytest.mark.quick_cases
def test_fit_takes_the_recipe_itself_or_what_is_in_it(given, by_callbacks):
    expected, weights = by_callbacks
    history, own = trained(recipe := PruneTrained(**OPTIONS), given(recipe))
    assert history == expected and history["sparsity"][-1] == pytest.approx(0.5, abs=0.05)
    for one, other in zip(weights, own):
        np.testing.assert_array_equal(one, other)


def test_other_steps_than_fit_runs_are_told():
    recipe = PruneTrained(steps=40, learning_rate=0.01, sparsity=0.5, block_shape=(4, 4))
    with pytest.warns(UserWarning) as caught:
        trained(recipe, recipe)
    assert [str(one.message) for one in caught] == [
        "PruneTrained was made for steps=40 and `fit` runs 20: 5 epochs of 4 steps. Its learning "
        "rate, which is to end at zero, and its pruning go by its own steps: make it with "
        "steps=20, "
        "unless other fits are to follow"
    ]


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer])
@pytest.mark.quick_cases
def test_a_training_that_goes_on_is_not_asked_for_its_steps(wrap):
    recipe = PruneTrained(steps=20, learning_rate=0.01, sparsity=0.5, block_shape=(4, 4))
    trained(recipe, recipe, epochs=(5, 1), wrap=wrap)  # a warning would be an error


def test_epochs_that_fit_leaves_out_do_not_count():
    recipe = PruneTrained(steps=20, learning_rate=0.01, sparsity=0.5, block_shape=(4, 4))
    trained(recipe, recipe, epochs=(15,), initial_epoch=10)  # a warning would be an error


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer])
@pytest.mark.quick_cases
def test_an_optimizer_that_accumulates_gradients_needs_a_learning_rate_of_batches(wrap):
    recipe = PruneTrained(steps=20, learning_rate=0.25, sparsity=0.5, block_shape=(4, 4))

    def accumulating(rate):
        return wrap(keras.optimizers.Adam(rate, gradient_accumulation_steps=4))

    with pytest.raises(ValueError) as error:
        trained(recipe, recipe, wrap=lambda _: accumulating(recipe.learning_rate))
    assert str(error.value) == (
        "`gradient_accumulation_steps` must be None with the `learning_rate` of PruneTrained, "
        "which Keras evaluates by batches, and not by steps: it would be zero after 1/4 of the "
        "training. Give the optimizer learning_rate=ksr.recipes.warm_cosine(80, 0.25), which has "
        "as many batches as steps=20 take. Received: gradient_accumulation_steps=4"
    )
    rates = []
    optimizer = accumulating(ksr.recipes.warm_cosine(80, 0.25))
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: rates.append(float(optimizer.learning_rate))
    )
    history, _ = trained(recipe, [recipe, note], epochs=(20,), wrap=lambda _: optimizer)
    np.testing.assert_allclose(rates[0], 0.25, atol=0.01)
    assert rates[-1] == 0 and rates[9] > 0.1
    assert history["sparsity"][-1] == pytest.approx(0.5, abs=0.05)


def test_batches_that_make_one_step_are_told():
    recipe = PruneTrained(steps=20, learning_rate=0.01, sparsity=0.5, block_shape=(4, 4))
    optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)
    with pytest.warns(UserWarning, match="`fit` runs 30: 15 epochs of 4 batches, 2 a step. Its"):
        trained(recipe, recipe, epochs=(15,), wrap=lambda _: optimizer)
