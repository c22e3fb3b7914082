"""The Keras cell inside a block-sparse layer: it builds itself with our kernels, and steps as the
layer does, or with dense kernels that are lent to it.
"""

import contextlib
import functools

import keras

from keras_sparse_rnn import ops

WEIGHTS = ("kernel", "recurrent_kernel")


def of_cell(name, doc):
    """A property of a layer: the attribute `name` of its cell, with the docstring `doc`."""
    return property(lambda layer: getattr(layer.cell, name), doc=doc)


@contextlib.contextmanager
def built_with(layer, make_weight):
    """While it lasts, `add_weight(...)` of the cell of `layer` is `make_weight(add_weight, ...)`:
    so a Keras cell builds itself, bias and all, with other kernels. From then on whoever calls the
    cell has a `step` of the layer: the cell has no kernels to multiply with, or dense ones whose
    dead blocks would learn.
    """
    own = vars(layer.cell)  # past `__setattr__`: nothing here is state of the cell
    own["add_weight"] = functools.partial(make_weight, layer.cell.add_weight)
    try:
        yield
    finally:
        del own["add_weight"]
    own["call"] = functools.partial(step, layer)


def step(layer, inputs, states, training=False):
    """What a Keras cell's `call` returns: `output` and the states in the structure of `states`. It
    is one call of the op of `layer`, of a sequence of one step.
    """
    if training and layer.watch is not None:
        raise ValueError(
            f'`growth` must be "random" for the layer {layer.name!r}, whose cell takes a step by '
            "itself: gradients of dead blocks are those of whole sequences. Received: "
            'growth="gradient"'
        )
    nested = keras.tree.is_nested(states)
    output, _, new = layer.inner_loop(
        inputs[:, None, :], list(states) if nested else [states], mask=None, training=training
    )
    output, new = keras.tree.map_structure(
        lambda one: keras.ops.cast(one, layer.compute_dtype), (output, list(new))
    )
    return output, new if nested else new[0]


@contextlib.contextmanager
def kernels_lent_to(cell, kernels, dtype):
    """While it lasts, `cell` has dense kernels, with which Keras's own loop over time can call
    it.
    """
    own = {name: vars(cell).get(name) for name in (*WEIGHTS, "call")}
    # Past `__setattr__`, which would track the tensors as state of the cell.
    dense = [ops.dense(kernel, dtype, f"{name}_blocks") for name, kernel in zip(WEIGHTS, kernels)]
    vars(cell).update(zip(WEIGHTS, dense))
    del vars(cell)["call"]
    try:
        yield
    finally:
        vars(cell).update(own)


@contextlib.contextmanager
def cudnn_chosen(layer):
    """While it lasts, the path of the Keras parent sees the `use_cudnn` that was chosen."""
    if not hasattr(layer, "cudnn_choice"):  # a SimpleRNN has none
        yield
        return
    layer.use_cudnn = layer.cudnn_choice
    try:
        yield
    finally:
        layer.use_cudnn = False
