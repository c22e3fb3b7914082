"""How a sparsity is shared out among kernels of different sizes."""

import numbers

from keras_sparse_rnn.patterns.arguments import check_sparsity


def erdos_renyi(sparsity, shapes):
    """The sparsity of each kernel, if the links of each are as many as its inputs and units
    together, times a number that is the same for all (Mocanu et al. 2018, arXiv 1707.04780,
    equation 3; as a rule for layers Evci et al. 2020, arXiv 1911.11134): small kernels are denser
    than large ones.

        density = epsilon * (inputs + units) / (inputs * units)

    Where that is above 1 the kernel is dense, and the others share what remains.

    >>> kernel, recurrent, dense = erdos_renyi(0.9, [(64, 512, 4), (512, 512, 4), (512, 96)])
    >>> round(kernel, 3), round(recurrent, 3), round(dense, 3)
    (0.692, 0.932, 0.783)

    Args:
        sparsity: of all weights together, in [0, 1).
        shapes: `(inputs, units)` of each kernel, or `(inputs, units, gates)` of one whose gates,
            of `units` each, are kernels by themselves.

    Returns:
        tuple of fractions in [0, 1), one for each kernel.

    Raises:
        ValueError: an argument is out of its range.
    """
    sparsity = check_sparsity(sparsity)
    sizes = [_checked(shape) for shape in shapes]
    if not sizes:
        raise ValueError("`shapes` must have at least one kernel. Received: none")
    weights = [inputs * units * gates for inputs, units, gates in sizes]
    links = [(inputs + units) * gates for inputs, units, gates in sizes]
    dense = set()
    while True:
        rest = [number for number in range(len(sizes)) if number not in dense]
        wanted = (1 - sparsity) * sum(weights) - sum(weights[number] for number in dense)
        epsilon = wanted / sum(links[number] for number in rest) if rest else 0.0
        full = {number for number in rest if epsilon * links[number] >= weights[number]}
        if not full:
            break
        dense |= full
    return tuple(
        0.0 if number in dense else 1 - epsilon * own / total
        for number, (own, total) in enumerate(zip(links, weights))
    )


def _checked(shape):
    """`(inputs, units, gates)` of what was given, or a `ValueError`."""
    valid = isinstance(shape, (tuple, list)) and len(shape) in (2, 3)
    valid = valid and all(
        isinstance(size, numbers.Integral) and not isinstance(size, bool) and size > 0
        for size in shape
    )
    if not valid:
        raise ValueError(
            "`shapes` must be pairs (inputs, units) or triples (inputs, units, gates) of positive "
            f"integers. Received: {shape!r}"
        )
    return (*shape, 1) if len(shape) == 2 else tuple(shape)
