"""A class of the user's own is kept with all that it overrides, or nothing is done in silence."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from pruning import data, largest_difference, prune

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


def parts(units=9):
    return [keras.Input((5, 6)), layers.LSTM(units), layers.Dense(2)]


def graph(units=9):
    x = keras.Input((5, 6))
    return x, layers.Dense(2)(layers.LSTM(units)(x))


def nested(inner):
    x = keras.Input((5, 6))
    return keras.Model(x, layers.Dense(3)(inner(x)))


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


class Distiller(keras.Sequential):
    def compile(self, optimizer, teacher=None, **kwargs):
        super().compile(optimizer, loss="mse", **kwargs)
        self.teacher = teacher


class SavedDistiller(Distiller):
    def get_compile_config(self):
        return {"optimizer": self.optimizer, "teacher": self.teacher}

    def compile_from_config(self, config):
        optimizer = type(config["optimizer"]).from_config(config["optimizer"].get_config())
        self.compile(optimizer, teacher=config["teacher"])


@pytest.mark.parametrize("outer", [lambda model: model, nested], ids=["alone", "nested"])
def test_a_compile_of_its_own_is_never_called_with_guessed_arguments(outer):
    model = prune(outer(Distiller(parts(), name="mine")))
    inner = model if outer is not nested else model.get_layer("mine")
    inner.compile("adam", teacher="somebody")
    if outer is nested:
        model.compile("adam", "mse")
        assert substitute(model, (4, 4)).compiled
        return
    for function in (lambda model: substitute(model, (4, 4)), to_dense):
        with pytest.warns(UserWarning) as warned:
            new = function(model)
        assert [str(one.message) for one in warned] == [
            "'mine' is not compiled: its class Distiller has its own `compile`, whose arguments "
            "are not known. Call it as you did before; the optimizer then starts afresh. (A class "
            "that has its own `get_compile_config` and `compile_from_config`, too, is compiled by "
            "them.)"
        ]
        assert type(new) is Distiller and not new.compiled


def test_a_class_that_says_how_it_is_compiled_is_compiled_so_and_goes_on():
    model = prune(SavedDistiller(parts(), name="mine"))
    model.compile(keras.optimizers.Adam(0.0), teacher="somebody", run_eagerly=True)
    x, y = data(model), np.zeros((6, 2), "float32")
    model.fit(x, y, verbose=0)
    sparse = substitute(model, (4, 4))
    assert sparse.teacher == "somebody" and sparse.optimizer is not model.optimizer
    assert int(sparse.optimizer.iterations) == 1
    bias = [variable.path.endswith("bias") for variable in model.trainable_variables].index(True)
    for one in (model, sparse):
        assert one.optimizer._momentums[bias].numpy().any()
    np.testing.assert_array_equal(
        sparse.optimizer._momentums[bias].numpy(), model.optimizer._momentums[bias].numpy()
    )


class Taught(keras.Model):
    def compile(self, optimizer, teacher=None, **kwargs):
        super().compile(optimizer, loss="mse", **kwargs)
        self.teacher = teacher


def teacher():
    lstm = layers.LSTM(7, name="of_the_teacher")
    return keras.Sequential([keras.Input((5, 6)), lstm, layers.Dense(2)])


def frozen(model):
    model.trainable = False
    return model


UNKNOWN_COMPILE = (
    "'mine' is not compiled: its class {} has its own `compile`, whose arguments are not known. "
    "Call it as you did before; the optimizer then starts afresh. (A class that has its own "
    "`get_compile_config` and `compile_from_config`, too, is compiled by them.)"
)
LOST = (
    "'mine' loses its `teacher`, layers outside of its graph: call what has set them, a `compile` "
    "of its own for example, on the new model, too."
)


@pytest.mark.parametrize(
    "make, several",
    [
        (lambda: Taught(*graph(), name="mine"), False),
        (lambda: Taught(*graph(), name="mine"), True),
        (lambda: Distiller(parts(), name="mine"), False),
    ],
    ids=["functional", "functional with a list", "sequential"],
)
def test_a_teacher_that_a_compile_has_stored_is_left_to_the_next_compile(make, several):
    model = prune(make())
    theirs = [frozen(teacher()), frozen(teacher())] if several else frozen(teacher())
    model.compile("adam", teacher=theirs)
    for function in (lambda model: substitute(model, (4, 4)), to_dense):
        with pytest.warns(UserWarning) as warned:
            new = function(model)
        assert [str(one.message) for one in warned] == [
            UNKNOWN_COMPILE.format(type(model).__name__),
            LOST,
        ]
        assert warned[-1].filename == __file__
        assert type(new) is type(model) and not hasattr(new, "teacher")
        assert largest_difference(new(data(model)), model(data(model))) < 1e-5
        new.compile("adam", teacher=theirs)
        new.fit(data(model), np.zeros((6, 2), "float32"), verbose=0)


class SavedTaught(Taught):
    """Trains its teacher with it."""

    get_compile_config = SavedDistiller.get_compile_config
    compile_from_config = SavedDistiller.compile_from_config

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return tf.reduce_mean((self.teacher(x) - y_pred) ** 2)


def test_a_teacher_of_a_class_that_says_how_it_is_compiled_is_shared_and_trains_on():
    model = prune(SavedTaught(*graph(), name="mine"))
    model.compile(keras.optimizers.Adam(0.01), teacher=teacher())
    x, y = data(model), np.zeros((6, 2), "float32")
    model.fit(x, y, verbose=0)
    sparse = substitute(prune(model), (4, 4))
    assert sparse.teacher is model.teacher and int(sparse.optimizer.iterations) == 1
    before = model.teacher.get_weights()
    sparse.fit(x, y, verbose=0)
    assert int(sparse.optimizer.iterations) == 2
    assert largest_difference(before, sparse.teacher.get_weights()) > 1e-3


class Advised(keras.Model):
    """Predicts with a layer that is set later on."""

    def call(self, x, training=None, mask=None):
        return super().call(x, training=training, mask=mask) + self.adviser(x)


def test_a_layer_outside_of_the_graph_that_predictions_depend_on_is_not_left_out():
    model = Advised(*graph(), name="mine")
    model.adviser = teacher()
    prune(model)
    with pytest.warns(UserWarning, match="'of_the_teacher' .LSTM. left as it is"):
        with pytest.raises(ValueError) as error:
            substitute(model, (4, 4))
    assert str(error.value) == (
        "'mine' of class Advised cannot be rebuilt: made anew by its constructor, with the same "
        "weights, it predicts something else. What its own `call` uses must come from arguments of "
        "the constructor that stand in its get_config."
    )
