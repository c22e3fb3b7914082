"""What cannot be compiled like the original is left uncompiled, and a `UserWarning` says why; what
the config of a metric does not tell is shared.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from pruning import prune
from subclassing import NOT_LOADABLE, Small, built, x_of

from keras_sparse_rnn.layers import BlockSparseLSTM
from keras_sparse_rnn.substitution import substitute, to_dense

pytestmark = pytest.mark.filterwarnings(NOT_LOADABLE)
MODEL = None  # a loss reads it as a script does


class Scored(layers.Layer):
    """Like a CRF, whose loss is a method."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scale = self.add_weight(shape=(), name="scale", initializer="ones")

    def call(self, x):
        return x * self.scale

    def loss(self, y, predicted):
        return keras.ops.mean((y - predicted) ** 2) + self.scale**2


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """As in https://www.tensorflow.org/text/tutorials/transformer."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def __call__(self, step):
        return 1.0 / (self.width + tf.cast(step, tf.float32))


class Noam(keras.optimizers.Adam):
    def __init__(self, width):
        super().__init__(1.0 / width)


class Forgetful(keras.optimizers.SGD):
    def __init__(self, learning_rate=0.01, width=3, **kwargs):
        super().__init__(learning_rate / width, **kwargs)


class Above(keras.metrics.Metric):
    def __init__(self, threshold=0.5, name="above", **kwargs):
        super().__init__(name=name, **kwargs)
        self.threshold = threshold
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y, predicted, sample_weight=None):
        self.count.assign_add(keras.ops.sum(keras.ops.cast(predicted > self.threshold, "float32")))

    def result(self):
        return self.count


def scored():
    x = keras.Input((5, 9))
    return prune(keras.Model(x, Scored(name="scored")(layers.LSTM(8)(x)), name="mine"))


def global_loss(y, predicted):
    return keras.ops.mean((y - predicted) ** 2) + keras.ops.sum(MODEL.get_layer("scored").scale)


class Reading(keras.metrics.Mean):
    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer


READING = {
    "a method": lambda model: {"loss": model.get_layer("scored").loss},
    "a function of a script": lambda model: {"loss": global_loss},
    "a closure": lambda model: {
        "loss": {"scored": lambda y, p: keras.ops.mean((y - p) ** 2) + model.layers[-1].scale}
    },
    "a metric": lambda model: {"loss": "mse", "metrics": [Reading(model.get_layer("scored"))]},
}


@pytest.mark.parametrize("settings", READING.values(), ids=READING)
def test_a_loss_or_metric_that_reads_the_original_is_not_taken_over(settings):
    global MODEL
    MODEL = model = scored()
    settings = settings(model)
    model.compile("sgd", run_eagerly=True, **settings)
    name = "metrics" if "metrics" in settings else "loss"
    with pytest.warns(UserWarning) as warned:
        sparse = substitute(model, (4, 4))
    (text,) = [str(one.message) for one in warned]
    assert text.startswith(f"'mine' is not compiled: its `{name}` reads '")
    assert text.endswith(
        "`. Compile it as you did before, with one that reads the new layers; the optimizer then "
        "starts afresh."
    )
    assert warned[0].filename == __file__
    assert model.compiled and not sparse.compiled
    sparse.compile("sgd", sparse.get_layer("scored").loss)
    assert substitute(prune(scored())).get_layer("scored").scale is not None


def test_the_message_says_what_reads_what():
    model = scored()
    model.compile("sgd", model.get_layer("scored").loss)
    with pytest.warns(UserWarning) as warned:
        substitute(model, (4, 4))
    assert str(warned[0].message) == (
        "'mine' is not compiled: its `loss` reads 'scored/scale' of the layers as they were, in "
        "`loss.__self__.scale`. Compile it as you did before, with one that reads the new layers; "
        "the optimizer then starts afresh."
    )


def test_in_place_a_loss_may_read_the_model_but_not_a_layer_that_is_replaced():
    model = built(Small())
    model.compile("sgd", lambda y, p: keras.ops.mean(p) + keras.ops.sum(model.lstm.cell.bias))
    assert substitute(model, (4, 4), in_place=True).compiled
    lstm = model.lstm
    model.compile("sgd", lambda y, p: keras.ops.mean(p) + keras.ops.sum(lstm.cell.bias))
    with pytest.raises(ValueError, match="^Layers of 'mine' .* replaced: `loss.__closure__` holds"):
        to_dense(model, in_place=True)
    assert model.lstm is lstm and model.compiled


@pytest.mark.parametrize("rate", [Schedule(3.0), lambda: 0.25], ids=["schedule", "function"])
def test_a_learning_rate_without_a_config_is_shared(rate):
    model, in_place = scored(), built(Small())
    for one in (model, in_place):
        one.compile(keras.optimizers.Adam(rate), "mse", run_eagerly=True)
        one.train_on_batch(x_of(), np.zeros((6, 8)))
        prune(one)
    sparse = substitute(model, (4, 4))
    substitute(in_place, (4, 4), in_place=True)
    for one in (model, sparse, in_place, to_dense(sparse)):
        assert int(one.optimizer.iterations) == 1
        assert float(one.optimizer.learning_rate) == 0.25
        one.train_on_batch(x_of(), np.zeros((6, 8)))


@pytest.mark.parametrize(
    "optimizer, lacks", [(lambda: Noam(2.0), "width"), (lambda: Forgetful(width=2), "width")]
)
def test_an_optimizer_that_cannot_be_made_anew_leaves_the_model_uncompiled(optimizer, lacks):
    model, in_place = scored(), built(Small())
    for one in (model, in_place):
        one.compile(optimizer(), "mse", run_eagerly=True)
        one.train_on_batch(x_of(), np.zeros((6, 8)))
        prune(one)
        with pytest.warns(UserWarning) as warned:
            new = substitute(one, (4, 4), in_place=one is in_place)
        assert str(warned[0].message) == (
            f"'mine' is not compiled: its optimizer of class {type(one.optimizer).__name__} cannot "
            f"be made anew from its config: its `get_config` lacks `{lacks}`. Compile it as you "
            "did before; the optimizer then starts afresh."
        )
        assert not new.compiled
    assert model.compiled and type(in_place.lstm) is BlockSparseLSTM
    in_place.compile(optimizer(), "mse", run_eagerly=True)
    in_place.train_on_batch(x_of(), np.zeros((6, 8)))


def test_a_compile_config_that_raises_leaves_the_model_uncompiled():
    class Own(Small):
        def compile(self, optimizer):
            super().compile(optimizer, "mse")

        def get_compile_config(self):
            raise NotImplementedError("not yet")

        def compile_from_config(self, config):
            raise NotImplementedError("not yet")

    model = built(Own())
    model.compile("sgd")
    with pytest.warns(UserWarning) as warned:
        substitute(model, (4, 4), in_place=True)
    assert str(warned[0].message) == (
        "'mine' is not compiled: its class Own has its own `get_compile_config` and "
        "`compile_from_config`, which raise NotImplementedError: not yet. Compile it as you did "
        "before; the optimizer then starts afresh."
    )
    assert not model.compiled and type(model.lstm) is BlockSparseLSTM


def test_a_metric_whose_config_lacks_its_arguments_is_shared_and_begins_at_zero():
    model = scored()
    model.compile("sgd", "mse", metrics=[Above(threshold=-1.0)], run_eagerly=True)
    expected = model.evaluate(x_of(), np.zeros((6, 8)), verbose=0)[1]
    sparse = substitute(model, (4, 4))
    assert expected == 48.0 == sparse.evaluate(x_of(), np.zeros((6, 8)), verbose=0)[1]


def test_in_place_the_metrics_are_the_objects_that_they_were():
    model, metric = built(Small()), keras.metrics.MeanSquaredError()
    model.compile("sgd", "mse", metrics=[metric], run_eagerly=True)
    model.evaluate(x_of(), np.zeros((6, 8)), verbose=0)
    substitute(model, (4, 4), in_place=True)
    loss, error = model.evaluate(x_of(), np.ones((6, 8)), verbose=0)
    assert float(metric.result()) == error == pytest.approx(loss, rel=1e-5)


class Experiment:
    """Holds its model beside the numbers that its functions read."""

    def __init__(self):
        self.scale = 2.0
        self.model = keras.Sequential(
            [
                keras.Input((10, 8)),
                layers.LSTM(16),
                layers.Lambda(lambda x: x * self.scale),
                layers.Dense(2),
            ]
        )
        self.model.compile("adam", loss=self.loss, metrics=[Late()])

    def loss(self, y, predicted):
        return keras.ops.mean((y - predicted) ** 2) * self.scale


class Late(keras.metrics.Metric):
    """Has its state from the first batch on."""

    def __init__(self, name="late", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = None

    def update_state(self, y, predicted, sample_weight=None):
        if self.total is None:
            self.total = self.add_variable((), "zeros", name="total")
        self.total.assign_add(1.0)

    def result(self):
        return self.total

    def reset_state(self):
        self.total.assign(0.0)


def test_an_object_that_holds_the_model_is_looked_at_only_where_a_function_reads_it():
    experiment = Experiment()
    prune(experiment.model)
    sparse = substitute(experiment.model)
    assert sparse.compiled
    x = np.ones((4, 10, 8), "float32")
    np.testing.assert_allclose(sparse(x), experiment.model(x), atol=1e-5)
