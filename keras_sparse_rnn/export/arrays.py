"""Checks what a file is called on, before the runtime sees it: its own words name numbers of nodes,
or nothing at all.
"""

import numpy as np


def named(argument, given, wanted):
    """The arrays of the dict `given` as the file takes them, by name.

    Args:
        argument: what they are called in messages, `{}` standing for the name.
        given: a dict of arrays.
        wanted: `{name: (shape, dtype)}`; a size of -1 may be any.

    Raises:
        ValueError: a name, a shape or a type is another.
    """
    if given.keys() != wanted.keys():
        raise ValueError(
            f"`{argument.format('inputs')}` must be a dict with the inputs {list(wanted)}. "
            f"Received: {list(given)}"
        )
    return {
        name: _array(argument.format(name), name, array, *wanted[name])
        for name, array in given.items()
    }


def wanted(details):
    """What `named` wants, of the input details of a signature."""
    return {
        name: (tuple(map(int, each["shape_signature"])), np.dtype(each["dtype"]))
        for name, each in details.items()
    }


def _array(argument, name, array, shape, dtype):
    sizes = str(tuple(None if size < 0 else size for size in shape))
    try:
        array = np.asarray(array)
    except ValueError as error:  # a list of lists of several lengths
        raise ValueError(
            f"`{argument}` must be an array of shape {sizes} for the input {name!r}. Received: "
            f"what is no array: {error}"
        ) from None
    if len(array.shape) != len(shape) or any(
        size >= 0 and own != size for own, size in zip(array.shape, shape)
    ):
        raise ValueError(
            f"`{argument}` must have the shape {sizes} for the input {name!r}. Received: an array "
            f"of shape {array.shape}"
        )
    fits = np.can_cast(array.dtype, dtype, "same_kind")
    if fits and dtype.kind in "iu" and array.size:
        bounds = np.iinfo(dtype)
        fits = bounds.min <= array.min() and array.max() <= bounds.max
    if not fits:
        raise ValueError(
            f"`{argument}` must have numbers that {dtype} can hold for the input {name!r}. "
            f"Received: an array of {array.dtype}"
        )
    return array.astype(dtype, copy=False)
