"""How large the inputs of layers get while a model runs over data once."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn.running import mask_of_steps, states_at_zero, swapped
from keras_sparse_rnn.substitution.kinds import owner_of

BATCH = 32  # samples that an array is cut into, where the model leaves it open


def input_ranges(model, layers, calibration):
    """The largest input in absolute value that each of `layers` gets while `model` predicts.

    Steps that a mask leaves out do not count. The model is left as it is, the states of stateful
    layers included.

    Args:
        model: a built `keras.Model`.
        layers: recurrent or `Dense` layers in it.
        calibration: see `substitute`.

    Returns:
        A dict from `id(layer)` to a float; without the layers that the model does not call.

    Raises:
        ValueError: `calibration` is no data, has none, or has a number that is not finite; or
            numbers that are not finite reach a layer.
    """
    heard = {id(layer): tf.Variable(-1.0, trainable=False) for layer in layers}
    empty = True
    with contextlib.ExitStack() as stack:
        stack.enter_context(states_at_zero(model))
        for layer in layers:
            stack.enter_context(_listening(layer, heard[id(layer)]))
        for batch in _batches(model, calibration):
            _check_finite(batch)
            model(batch, training=False)
            empty = False
    if empty:
        raise ValueError(f"{WANTED} Received: no sample")
    for layer in layers:
        if np.isinf(heard[id(layer)].numpy()):
            raise ValueError(
                f"Numbers that are not finite reach the layer {layer.name!r} when the model runs "
                "over `calibration`: no range can be told"
            )
    found = {key: float(variable.numpy()) for key, variable in heard.items()}
    return {key: largest for key, largest in found.items() if largest >= 0}


WANTED = (
    "`calibration` must be inputs of the model with at least one sample: an array, a list or dict "
    "of arrays as the model takes them, or a tf.data.Dataset of batches that ends."
)


def check_calibration(calibration, activations):
    """Raises a `ValueError` if there is something to calibrate on, and nothing to calibrate."""
    if calibration is not None and activations != "int8":
        raise ValueError(
            '`calibration` must be None without `activations="int8"`, for inputs are not rounded '
            f"then. Received: calibration of type {type(calibration).__name__}, "
            f"activations={activations!r}"
        )


def _batches(model, calibration):
    if isinstance(calibration, tf.data.Dataset):
        if calibration.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(f"{WANTED} Received: an infinite dataset; `take` some of it")
        for element in calibration:
            yield keras.utils.unpack_x_y_sample_weight(element)[0]
        return
    arrays = keras.tree.flatten(calibration)
    lengths = [array.shape[0] for array in arrays if len(getattr(array, "shape", ()))]
    if not arrays or len(lengths) < len(arrays):
        raise ValueError(f"{WANTED} Received: {type(calibration).__name__}")
    if len(set(lengths)) > 1:
        raise ValueError(f"{WANTED} Received: arrays of {lengths} samples")
    first = keras.tree.flatten(getattr(model, "inputs", None) or [None])[0]
    size = getattr(first, "shape", (None,))[0] or BATCH
    for start in range(0, lengths[0], size):
        yield keras.tree.map_structure(
            lambda array: tf.convert_to_tensor(array[start : start + size]), calibration
        )


def _check_finite(batch):
    for number, array in enumerate(keras.tree.flatten(batch)):
        if array.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(array)):
            raise ValueError(
                "`calibration` must hold finite numbers. Received: NaN or infinity in input "
                f"{number}"
            )


@contextlib.contextmanager
def _listening(layer, largest):
    """While it lasts, `largest` follows the inputs of a layer: infinity, if one is not finite."""

    def hear(inputs, mask=None):
        sizes = tf.abs(tf.cast(inputs, tf.float32))
        sizes = tf.where(tf.math.is_finite(sizes), sizes, np.inf)
        if mask is not None:
            sizes = tf.where(mask_of_steps(mask)[..., None], sizes, 0.0)
        largest.assign(tf.maximum(largest, tf.reduce_max(sizes)))

    looping = []

    def inner_loop(sequences, initial_state, mask, training=False):
        hear(sequences, mask)
        looping.append(True)
        try:
            return over_time(sequences, initial_state, mask)
        finally:
            looping.pop()

    def call(inputs, *args, **kwargs):
        if not looping:  # whose inputs have been heard
            hear(inputs)
        return own(inputs, *args, **kwargs)

    # Keras's loop takes several times as long outside of a graph.
    @tf.function(reduce_retracing=True, autograph=False)
    def over_time(sequences, initial_state, mask):
        return type(layer).inner_loop(layer, sequences, initial_state, mask, training=False)

    # The cell of a layer may be called by itself, too.
    stepped = owner_of(layer) if isinstance(layer, keras.layers.RNN) else layer
    own, swaps = stepped.call, [(stepped, "call", call)]
    if stepped is not layer:
        swaps.append((layer, "inner_loop", inner_loop))
    with swapped(swaps):
        yield
