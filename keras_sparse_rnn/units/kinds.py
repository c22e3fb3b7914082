"""Which layers treat the channels of what they are given alike, and which one by one.

*Alike*: what goes in in another order comes out in that order. *One by one*: each channel of the
output is a function of that channel alone, so a channel can be left out, too."""

import inspect

import keras

from keras_sparse_rnn.activations import AllReLU

# Alike, but the channels are looked at together.
TOGETHER = ("Masking", "Softmax", "UnitNormalization")
_ONE_BY_ONE = (
    "Activation ActivityRegularization AlphaDropout Dropout ELU GaussianDropout GaussianNoise "
    "GlobalAveragePooling1D GlobalMaxPooling1D Identity LeakyReLU ReLU SpatialDropout1D"
).split()
_OVER_TIME = (
    "AveragePooling1D Cropping1D MaxPooling1D RepeatVector UpSampling1D ZeroPadding1D"
).split()
_MERGES = "Add Average Maximum Minimum Multiply Subtract".split()


def _layers(names):
    return tuple(getattr(keras.layers, name) for name in names if hasattr(keras.layers, name))


ALIKE = _layers([*_ONE_BY_ONE, *TOGETHER])
ONE_BY_ONE = _layers([*_ONE_BY_ONE, *_OVER_TIME])
POOLINGS = _layers(name for name in (*_ONE_BY_ONE, *_OVER_TIME) if "Pooling" in name)
MERGES = _layers(_MERGES)
# Keras puts something else in the place of a step that a mask leaves out: 1, or the other input.
MASKED_MERGES = _layers(["Maximum", "Minimum", "Multiply"])
# The activations that do so: element by element, or a normalization over all of them.
_NORMALIZING = ("log_softmax", "softmax", "sparsemax")
ALIKE_ACTIVATIONS = tuple(
    name
    for name in (
        "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear "
        "log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus "
        "softsign sparse_plus sparse_sigmoid sparsemax squareplus tanh tanh_shrink"
    ).split()
    if hasattr(keras.activations, name)
)


def is_alike(activation):
    """Whether `activation` is known to treat all channels alike."""
    known = (getattr(keras.activations, name) for name in ALIKE_ACTIVATIONS)
    return any(activation is one for one in known) or type(activation) is AllReLU


def is_one_by_one(activation):
    """Whether `activation`, None for none, is known to treat each channel by itself."""
    together = (getattr(keras.activations, name, None) for name in _NORMALIZING)
    return activation is None or (
        is_alike(activation) and not any(activation is one for one in together)
    )


def calls_as(layer, kinds):
    """Whether `layer` is of one of the `kinds` and has its `call`: a subclass with another one may
    do anything.
    """
    return any(isinstance(layer, kind) and type(layer).call is kind.call for kind in kinds)


def given_to_rnn(layer, node):
    """What a recurrent layer (or a `Bidirectional`) with the `call` of Keras is given in a `node`
    of the graph, by position or by name: a list of its inputs and its initial states, and a list
    of the other tensors, such as masks.
    """
    given = inspect.signature(type(layer).call).bind(
        layer, *node.arguments.args, **node.arguments.kwargs
    )
    states = given.arguments.get("initial_state")
    wanted = [given.arguments["sequences"], *keras.tree.flatten(() if states is None else states)]
    ids = {id(one) for one in wanted}
    return wanted, [one for one in node.arguments.keras_tensors if id(one) not in ids]


def keeps_last_axis(operation, key, rank):
    """Whether an operation is `x[key]` of a tensor of this `rank`, with all of its last axis."""
    if type(operation).__name__ != "GetItem":
        return False
    keys = key if isinstance(key, tuple) else (key,)
    return len(keys) < rank and all(isinstance(one, (int, slice)) for one in keys)
