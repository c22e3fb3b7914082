"""The Keras cell inside a block-sparse layer: it builds itself with our kernels, and steps with
kernels that are lent to it.
"""

import contextlib
import functools

from keras_sparse_rnn import ops

WEIGHTS = ("kernel", "recurrent_kernel")


def of_cell(name, doc):
    """A property of a layer: the attribute `name` of its cell, with the docstring `doc`."""
    return property(lambda layer: getattr(layer.cell, name), doc=doc)


@contextlib.contextmanager
def weights_made_by(cell, make_weight):
    """While it lasts, `cell.add_weight(...)` is `make_weight(add_weight, ...)`: so a Keras cell
    builds itself, bias and all, with other kernels.
    """
    vars(cell)["add_weight"] = functools.partial(make_weight, cell.add_weight)
    try:
        yield
    finally:
        del vars(cell)["add_weight"]


@contextlib.contextmanager
def kernels_lent_to(cell, kernels, dtype):
    """While it lasts, `cell` has dense kernels, with which Keras's own loop over time can call
    it.
    """
    own = {name: vars(cell).get(name) for name in WEIGHTS}
    # Past `__setattr__`, which would track the tensors as state of the cell.
    dense = [ops.dense(kernel, dtype, f"{name}_blocks") for name, kernel in zip(WEIGHTS, kernels)]
    vars(cell).update(zip(WEIGHTS, dense))
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
