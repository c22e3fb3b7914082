"""Batches of a model's inputs, from whatever `model.predict` and `model.fit` take."""

import collections.abc
import itertools

import keras
import numpy as np
import tensorflow as tf

FORMS = (
    "an array or a nest of arrays (the inputs of the model), a tf.data.Dataset, a "
    "keras.utils.PyDataset or an iterator of batches"
)


def input_batches(data, batch_size=32, batches=None):
    """Yields the inputs of a model, batch by batch; targets and sample weights are left out.

    Args:
        data: arrays, as `model.predict` takes them; or what yields batches `x`, `(x, y)` or `(x, y,
            sample_weight)`: a `tf.data.Dataset`, a `keras.utils.PyDataset` or an iterator.
        batch_size: into how many samples arrays are cut.
        batches: how many batches at most; None takes all.

    Raises:
        ValueError: `data` is none of these, holds nothing, or never ends while `batches` is None.
    """
    if data is None:
        raise ValueError(f"`data` must be {FORMS}. Received: data=None")
    taken = 0
    for batch in itertools.islice(_all_batches(data, batch_size, batches), batches):
        taken += 1
        yield batch
    if not taken:
        raise ValueError(
            f"`data` must have at least one batch. Received: data of type {type(data).__name__}, "
            "which has none"
        )


def _all_batches(data, batch_size, batches):
    if isinstance(data, keras.utils.PyDataset):
        _check_end(data.num_batches is None, batches)
        numbers = itertools.count() if data.num_batches is None else range(data.num_batches)
        return (_inputs(data[number]) for number in numbers)
    if isinstance(data, tf.data.Dataset):
        _check_end(int(data.cardinality()) == tf.data.INFINITE_CARDINALITY, batches)
        return map(_inputs, data)
    if isinstance(data, collections.abc.Iterator):
        return map(_inputs, data)
    return _slices(data, batch_size)


def _slices(data, batch_size):
    leaves = keras.tree.flatten(data)
    if not leaves or not all(
        isinstance(leaf, (np.ndarray, tf.Tensor)) and len(leaf.shape) for leaf in leaves
    ):
        raise ValueError(f"`data` must be {FORMS}. Received: data of type {type(data).__name__}")
    sizes = {len(leaf) for leaf in leaves}
    if len(sizes) > 1:
        raise ValueError(
            "`data` must have arrays of as many samples each. Received: arrays of "
            f"{sorted(sizes)} samples"
        )
    for first in range(0, sizes.pop(), batch_size):
        yield keras.tree.map_structure(lambda leaf: leaf[first : first + batch_size], data)


def _inputs(batch):
    return keras.utils.unpack_x_y_sample_weight(batch)[0]


def _check_end(endless, batches):
    if endless and batches is None:
        raise ValueError(
            "`batches` must say how many batches to take from data that never end. Received: "
            "batches=None"
        )
