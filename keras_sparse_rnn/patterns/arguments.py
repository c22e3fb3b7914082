"""The checks of arguments that many parts of the package take."""

import numbers

DEFAULT_BLOCK_SHAPE = (16, 16)


def check_block_shape(block_shape, name="block_shape"):
    """Returns `block_shape` as a tuple of two positive ints, or raises a `ValueError` that names
    `name`.
    """
    valid = isinstance(block_shape, (tuple, list)) and len(block_shape) == 2
    if valid:
        valid = all(
            isinstance(n, numbers.Integral) and not isinstance(n, bool) and n >= 1
            for n in block_shape
        )
    if not valid:
        raise ValueError(
            f"`{name}` must be (rows, columns), two integers of at least 1. Received: "
            f"{name}={block_shape!r}"
        )
    return tuple(int(n) for n in block_shape)


def check_block_or_pattern(block_shape, pattern):
    """The block shape of pruning: `block_shape`, checked; where it is None, (16, 16), or None
    beside a `pattern`.
    """
    if block_shape is None:
        return None if pattern is not None else DEFAULT_BLOCK_SHAPE
    return check_block_shape(block_shape)


def check_block_fits(block_shape, kernel_shape, kernel_name):
    """Raises a `ValueError` if a block of `block_shape` has more rows or columns than one gate
    `kernel_shape = (inputs, units)`.
    """
    if block_shape[0] > kernel_shape[0] or block_shape[1] > kernel_shape[1]:
        raise ValueError(
            "`block_shape` must not be larger than one gate of the kernel that it cuts: "
            f"{kernel_name} has (inputs, units) = {tuple(kernel_shape)} per gate. Received: "
            f"block_shape={tuple(block_shape)}"
        )


def fitted_block_shape(block_shape, kernel_shape):
    """`block_shape`, cut to one gate `kernel_shape = (inputs, units)` where it is larger."""
    return tuple(min(size, limit) for size, limit in zip(block_shape, kernel_shape))


def check_sparsity(sparsity, name="sparsity"):
    """Returns `sparsity` as a float in [0, 1), or raises a `ValueError` that names `name`."""
    valid = (
        isinstance(sparsity, numbers.Real) and not isinstance(sparsity, bool) and 0 <= sparsity < 1
    )
    if not valid:
        raise ValueError(
            f"`{name}` must be a fraction in [0, 1), 0.9 for 90 %. Received: {name}={sparsity!r}"
        )
    return float(sparsity)


def check_choice(value, choices, name):
    """Returns `value`, or raises a `ValueError` that names `name` and lists `choices`."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}"
        )
    return value


def check_flag(value, name):
    """Returns `value`, True or False, or raises a `ValueError` that names `name`."""
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return value
