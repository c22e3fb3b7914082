"""Weights that several layers use: the copy of a model has them once, too, or is refused."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from pruning import largest_difference, prune

from keras_sparse_rnn.substitution import substitute, to_dense

ADVICE = (
    "Let one layer compute both, called twice, with an argument that says which; or make the model "
    "a subclassed one, which is converted as it stands, with in_place=True"
)
EMBEDDING = None  # a Lambda reads it as a script does


class Tied(layers.Layer):
    def __init__(self, to, **kwargs):
        super().__init__(**kwargs)
        self.to = to

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.to.embeddings))

    def get_config(self):
        return {**super().get_config(), "to": self.to}


class TiedOfText(Tied):
    def get_config(self):
        return {**super().get_config(), "to": keras.saving.serialize_keras_object(self.to)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "to": keras.saving.deserialize_keras_object(config["to"])})


class OfAVariable(layers.Layer):
    def __init__(self, weight, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.weight))

    def get_config(self):
        return {**super().get_config(), "weight": self.weight}


def tied(head):
    """A model whose output layer is made by `head`, a function of the embedding and the states."""
    keras.utils.set_random_seed(0)
    tokens, embedding = keras.Input((5,), dtype="int32"), layers.Embedding(12, 8, name="embedding")
    states = layers.LSTM(8, return_sequences=True)(embedding(tokens))
    return prune(keras.Model(tokens, head(embedding, states), name="mine"))


def by_closure(embedding, x):
    return layers.Lambda(lambda x: ops.matmul(x, ops.transpose(embedding.embeddings)), name="it")(x)


def by_global(embedding, x):
    global EMBEDDING
    EMBEDDING = embedding
    return layers.Lambda(lambda x: ops.matmul(x, ops.transpose(EMBEDDING.embeddings)), name="it")(x)


REFUSED = {
    by_closure: "The layer 'it' of class Lambda cannot be copied: its copy would go on with the "
    "layer 'embedding' of the original model, which `function.__closure__` holds. ",
    by_global: "The layer 'it' of class Lambda cannot be copied: its copy would go on with the "
    "layer 'embedding' of the original model, which `function.__globals__['EMBEDDING']` holds. ",
    lambda embedding, x: OfAVariable(embedding.embeddings, name="it")(x): "The layer 'it' of class "
    "OfAVariable cannot be copied: its copy would go on with the weight 'embedding/embeddings' of "
    "the original model, which `weight` holds. ",
    lambda embedding, x: ops.einsum("btd,vd->btv", x, embedding.embeddings): "'mine' cannot be "
    "copied: its operation 'einsum' takes the weight 'embedding/embeddings' for an argument, and "
    "would go on with that of the original model. ",
}


@pytest.mark.parametrize("head, message", REFUSED.items(), ids=range(len(REFUSED)))
def test_a_copy_that_would_read_the_original_is_refused(head, message):
    model = tied(head)
    for function in (lambda model: substitute(model, (4, 4)), to_dense):
        with pytest.raises(ValueError) as error:
            function(model)
        assert str(error.value).replace("einsum_1", "einsum") == message + ADVICE


@pytest.mark.parametrize("kind", [Tied, TiedOfText])
def test_a_layer_that_holds_another_holds_the_copy_of_it(kind):
    model = tied(lambda embedding, x: kind(embedding, name="it")(x))
    sparse = substitute(model, (4, 4))
    x = np.random.default_rng(0).integers(0, 12, (6, 5))
    assert largest_difference(model(x), sparse(x)) < 1e-6
    embedding = sparse.get_layer("embedding")
    assert sparse.get_layer("it").to is embedding is not model.get_layer("embedding")
    assert to_dense(sparse).count_params() == model.count_params()
    expected = model(x)
    embedding.embeddings.assign(ops.zeros_like(embedding.embeddings))
    assert largest_difference(sparse(x), 0.0 * expected) == 0.0
    assert largest_difference(model(x), expected) == 0.0


def test_a_layer_that_is_called_twice_is_one_layer_in_the_copy():
    class Both(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.embedding = layers.Embedding(12, 8)

        def call(self, x, back=False):
            return (
                ops.matmul(x, ops.transpose(self.embedding.embeddings))
                if back
                else self.embedding(x)
            )

    tokens, both = keras.Input((5,), dtype="int32"), Both()
    states = layers.LSTM(8, return_sequences=True)(both(tokens))
    model = prune(keras.Model(tokens, both(states, back=True)))
    sparse = substitute(model, (4, 4))
    x = np.random.default_rng(0).integers(0, 12, (6, 5))
    assert largest_difference(model(x), sparse(x)) < 1e-6
    assert len(sparse.variables) == len(substitute(sparse).variables)


def test_a_wrapper_around_a_layer_that_is_called_by_itself_too_shares_the_copy():
    x, dense = keras.Input((5, 8)), layers.Dense(8)
    states = layers.LSTM(8, return_sequences=True)(layers.TimeDistributed(dense, name="it")(x))
    model = prune(keras.Model(x, dense(states)))
    sparse = substitute(model, (4, 4))
    assert sparse.get_layer("it").layer is sparse.get_layer(dense.name)
    inputs = np.random.default_rng(0).normal(size=(6, 5, 8))
    assert largest_difference(model(inputs), sparse(inputs)) < 1e-6


class Around(layers.Layer):
    """Its config hands on the layer itself, which no file could."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x):
        return x + self.inner(x)

    def get_config(self):
        return {**super().get_config(), "inner": self.inner}


@pytest.mark.filterwarnings("ignore:substitute. a Keras file of .* cannot be loaded:UserWarning")
@pytest.mark.parametrize(
    "inner",
    [
        lambda: layers.Dense(8),
        lambda: layers.LSTM(8, return_sequences=True),
        lambda: Around(layers.LSTM(8, return_sequences=True)),
    ],
    ids=["plain", "replaced", "around one that is replaced"],
)
def test_a_layer_that_a_config_hands_on_is_copied_all_the_same(inner):
    x, inner = keras.Input((5, 8)), inner()
    model = prune(keras.Model(x, layers.LSTM(8)(Around(inner, name="it")(x))))
    kinds = [type(layer) for layer in model._flatten_layers()]
    sparse = substitute(model, (4, 4))
    inputs = np.random.default_rng(0).normal(size=(6, 5, 8))
    assert largest_difference(model(inputs), sparse(inputs)) < 1e-6
    assert kinds == [type(layer) for layer in model._flatten_layers()]
    assert model.get_layer("it").inner is inner
    assert not {id(one) for one in model.variables} & {id(one) for one in sparse.variables}


def test_a_variable_that_a_config_hands_on_is_refused():
    weight = keras.Variable(np.ones((8, 8)), name="mine")
    x = keras.Input((5, 8))
    model = prune(keras.Model(x, layers.LSTM(8)(OfAVariable(weight, name="it")(x))))
    with pytest.raises(ValueError) as error:
        substitute(model, (4, 4))
    assert str(error.value) == (
        "The layer 'it' of class OfAVariable cannot be copied: its copy would go on with the "
        "weight 'mine' of the original model, which `weight` holds. Make it in the layer "
        "(`add_weight`)"
    )
