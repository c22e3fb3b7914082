"""A class whose `compile` is the user's own is compiled as it says or not at all, and the layers
that it holds outside of its graph are named.
"""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from pruning import data, graph, largest_difference, nested, parts, prune

from keras_sparse_rnn.substitution import substitute, to_dense


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
@pytest.mark.quick_cases
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


def later_layers_are_tracked():
    """Whether Keras tracks a layer that a functional model is given as an attribute. In Keras 3.13
    it is no part of the model, and does not train.
    """
    model = keras.Model(*graph())
    model.later = teacher()
    return model.later in model._flatten_layers()


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
    trained = largest_difference(before, sparse.teacher.get_weights()) > 1e-3
    assert trained == later_layers_are_tracked()


class Advised(keras.Model):
    """Predicts with a layer that is set later on."""

    def call(self, x, training=None, mask=None):
        return super().call(x, training=training, mask=mask) + self.adviser(x)


def test_a_layer_outside_of_the_graph_that_predictions_depend_on_is_not_left_out():
    model = Advised(*graph(), name="mine")
    model.adviser = teacher()
    prune(model)
    named = pytest.warns(UserWarning, match="'of_the_teacher' .LSTM. left as it is")
    with named if later_layers_are_tracked() else contextlib.nullcontext():
        with pytest.raises(ValueError) as error:
            substitute(model, (4, 4))
    assert str(error.value) == (
        "'mine' of class Advised cannot be rebuilt: made anew by its constructor, with the same "
        "weights, it predicts something else. What its own `call` uses must come from arguments of "
        "the constructor that stand in its get_config."
    )
