"""A class of the user's own is kept with all that it overrides, or nothing is done in silence."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from pruning import data, graph, largest_difference, nested, parts, prune

from keras_sparse_rnn.layers import BlockSparseLSTM
from keras_sparse_rnn.substitution import substitute, to_dense


class Scaled(keras.Sequential):
    """Has a `call` of its own, and nothing else."""

    def call(self, x, training=None, mask=None):
        return 100.0 * super().call(x, training=training, mask=mask)


class ScaledBy(keras.Sequential):
    """Has an argument that its `call` needs."""

    def __init__(self, layers=None, factor=1.0, **kwargs):
        super().__init__(layers, **kwargs)
        self.factor = factor

    def call(self, x, training=None, mask=None):
        return self.factor * super().call(x, training=training, mask=mask)


class ScaledFunctional(keras.Model):
    def __init__(self, inputs, outputs, factor=1.0, name=None):
        super().__init__(inputs, outputs, name=name)
        self.factor = factor

    def call(self, x, training=None, mask=None):
        return self.factor * super().call(x, training=training, mask=mask)


KEPT = {
    "sequential": lambda: Scaled(parts(), name="mine"),
    "sequential_with_an_argument": lambda: ScaledBy(parts(), 100.0, name="mine"),
    "functional": lambda: ScaledFunctional(*graph(), 100.0, name="mine"),
    "nested_sequential": lambda: nested(ScaledBy(parts(), 100.0, name="mine")),
    "nested_functional": lambda: nested(ScaledFunctional(*graph(), 100.0, name="mine")),
    "nested_in_sequential": lambda: keras.Sequential(
        [keras.Input((5, 6)), Scaled(parts(), name="mine"), layers.Dense(3)]
    ),
}


@pytest.mark.parametrize("make", KEPT.values(), ids=KEPT)
def test_a_class_with_a_call_of_its_own_is_kept(make):
    model = prune(make())
    x = data(model)
    sparse = substitute(model, (4, 4))
    assert any(isinstance(layer, BlockSparseLSTM) for layer in sparse._flatten_layers())
    dense = to_dense(sparse)
    for one in (sparse, dense):
        assert type(one) is type(model)
        assert largest_difference(model(x), one(x)) < 1e-4 * float(np.abs(model(x)).max())
    assert largest_difference(model.get_weights(), dense.get_weights()) == 0.0
    assert [type(layer) for layer in dense.layers] == [type(layer) for layer in model.layers]


class Fixed(keras.Sequential):
    """Makes its layers itself, so that it cannot be given others."""

    def __init__(self, units):
        super().__init__(parts(units), name="fixed")


class FixedAndScaled(Fixed):
    def call(self, x, training=None, mask=None):
        return 100.0 * super().call(x, training=training, mask=mask)

    def predict_step(self, x):
        return super().predict_step(x)


class FixedFunctional(keras.Model):
    def __init__(self, units):
        super().__init__(*graph(units), name="fixed")

    def call(self, x, training=None, mask=None):
        return 100.0 * super().call(x, training=training, mask=mask)


REFUSED = {
    "sequential": (
        FixedAndScaled,
        "'fixed' of class FixedAndScaled cannot be rebuilt: it has its own `call`, `predict_step`, "
        "on which its predictions depend, but its constructor does not take (layers). Let the "
        "constructor take (layers) and hand them to that of keras.Sequential, other arguments "
        "with a default in its get_config; or move what `call` adds into a layer.",
    ),
    "functional": (
        FixedFunctional,
        "'fixed' of class FixedFunctional cannot be rebuilt: it has its own `call`, on which its "
        "predictions depend, but its constructor does not take (inputs, outputs). Let the "
        "constructor take (inputs, outputs) and hand them to that of keras.Model, other arguments "
        "with a default in its get_config; or move what `call` adds into a layer.",
    ),
}


@pytest.mark.parametrize("outer", [lambda model: model, nested], ids=["alone", "nested"])
@pytest.mark.parametrize("make, message", REFUSED.values(), ids=REFUSED)
def test_a_class_with_a_call_of_its_own_that_cannot_be_kept_is_refused(make, message, outer):
    model = prune(outer(make(9)))
    for function in (lambda model: substitute(model, (4, 4)), to_dense):
        with pytest.raises(ValueError) as error:
            function(model)
        assert str(error.value) == message


def test_a_setting_that_the_constructor_does_not_know_is_not_lost_in_silence():
    model = prune(Scaled(parts(), name="mine"))
    assert type(substitute(model, (4, 4))) is Scaled
    model = prune(ScaledBy(parts(), name="mine"))
    model.factor = 3.0
    assert substitute(model, (4, 4)).factor == 3.0

    class Shifted(keras.Sequential):
        shift = 0.0

        def call(self, x, training=None, mask=None):
            return super().call(x, training=training, mask=mask) + self.shift

    model = prune(Shifted(parts(), name="mine"))
    assert type(substitute(model, (4, 4))) is Shifted
    model.shift = 2.0
    with pytest.raises(ValueError) as error:
        substitute(model, (4, 4))
    assert str(error.value) == (
        "'mine' of class Shifted cannot be rebuilt: made anew by its constructor, with the same "
        "weights, it predicts something else. What its own `call` uses must come from arguments "
        "of the constructor that stand in its get_config."
    )


def test_what_cannot_be_compared_is_said():
    class Random(keras.Sequential):
        def call(self, x, training=None, mask=None):
            return super().call(x, training=training, mask=mask) + tf.random.uniform(())

    with pytest.warns(UserWarning) as warned:
        substitute(prune(Random(parts(), name="mine")), (4, 4))
    assert [str(one.message) for one in warned] == [
        "'mine' of class Random is kept with its own `call`, but its predictions for random inputs "
        "could not be compared with those of the original (it predicts at random): compare them "
        "on your data."
    ]


class Trainer(keras.Sequential):
    """Trains in a way of its own, and could be kept."""

    def train_step(self, data):
        self.steps = getattr(self, "steps", 0) + 1
        return super().train_step(data)


class FixedTrainer(Fixed):
    def train_step(self, data):
        return super().train_step(data)

    def compute_loss(self, *args, **kwargs):
        return super().compute_loss(*args, **kwargs)


def test_a_class_with_a_train_step_of_its_own_is_kept():
    model = prune(Trainer(parts()))
    model.compile("adam", "mse", run_eagerly=True)
    x, y = data(model), np.zeros((6, 2), "float32")
    for one in (substitute(model, (4, 4)), to_dense(substitute(model, (4, 4)))):
        one.fit(x, y, verbose=0)
        assert type(one) is Trainer and one.steps == 1


def test_a_train_step_that_is_lost_is_named():
    model = prune(FixedTrainer(9))
    with pytest.warns(UserWarning) as warned:
        sparse = substitute(model, (4, 4))
    assert [str(one.message) for one in warned] == [
        "'fixed' of class FixedTrainer becomes a plain keras.Sequential: its constructor does not "
        "take (layers), so the class cannot be kept, and its own `compute_loss`, `train_step` "
        "are lost."
    ]
    assert type(sparse) is keras.Sequential
    assert largest_difference(model(data(model)), sparse(data(model))) < 3e-6


def test_methods_that_were_set_on_the_object_are_not_lost_in_silence():
    model = prune(keras.Sequential(parts(), name="mine"))
    own = model.train_step
    model.train_step = lambda data: own(data)
    with pytest.warns(UserWarning) as warned:
        substitute(model, (4, 4))
    assert [str(one.message) for one in warned] == [
        "'mine' loses its `train_step`, which was set on the object: set it on the new model, too."
    ]
    call = model.call
    model.call = lambda x, **kwargs: 100.0 * call(x, **kwargs)
    with pytest.raises(ValueError) as error:
        substitute(model, (4, 4))
    assert str(error.value) == (
        "'mine' cannot be rebuilt: its `call`, on which its predictions depend, was set on the "
        "object. Define it in a class of your own, whose constructor takes what that of Keras's "
        "class takes."
    )
