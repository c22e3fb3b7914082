"""The weights of the layers whose units can be counted, as dense float64 arrays."""

import keras
import numpy as np

from keras_sparse_rnn.substitution.kinds import owner_of, twin_class
from keras_sparse_rnn.substitution.twins import dense_kernels
from keras_sparse_rnn.units.channels import VARIES


def is_cut(layer):
    """Whether a `Dense`, `Conv1D` or `Embedding` layer has plain weights, of which channels can be
    taken out.
    """
    return not (
        getattr(layer, "quantization_mode", None)
        or getattr(layer, "lora_enabled", False)
        or getattr(layer, "groups", 1) != 1
        or getattr(layer, "data_format", "channels_last") != "channels_last"
    )


def gates(layer):
    """How many gates a layer has; 1 if there are none."""
    twin = twin_class(layer)
    return 1 if twin is None else twin.gates


def units(layer):
    """How many units a layer has, by whatever name."""
    owner = owner_of(layer)
    return next(
        getattr(owner, name) for name in ("units", "filters", "output_dim") if hasattr(owner, name)
    )


def weights(layer):
    """The kernels, float64 `[taps, inputs, gates * units]`: that of the inputs and, of a recurrent
    layer, that of the states.
    """
    if isinstance(layer, keras.layers.Embedding):
        found = [layer.embeddings.numpy()]
    elif twin_class(layer) is None:
        return [np.asarray(layer.kernel.numpy(), np.float64)]
    else:
        found = dense_kernels(layer)
    return [np.asarray(one, np.float64)[None] for one in found]


def biases(layer):
    """The biases of the inputs and of the states, float64 `[2, gates * units]`, 0 where there is
    none.
    """
    owner = owner_of(layer)
    both = np.zeros((2, gates(layer) * units(layer)))
    if owner.use_bias:
        bias = np.asarray(owner.bias.numpy(), np.float64)
        both[: bias.ndim] = bias  # a GRU with `reset_after` has two rows
    return both


def initial_states(layer):
    """What is known of the states with which a recurrent layer begins that is given none, a list of
    float64 `[units]`.
    """
    if not layer.stateful:
        return [np.zeros(layer.cell.units)]
    return [np.where((one.numpy() == 0).all(axis=0), 0.0, VARIES) for one in layer.states]
