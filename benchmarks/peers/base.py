"""What every peer offers."""

import dataclasses
from collections.abc import Callable


class Unavailable(Exception):
    """A case that cannot be measured here, and why, in words."""


@dataclasses.dataclass
class Prepared:
    """A case that is ready to be timed.

    Attributes:
        call: one timed computation; it returns when the result is there.
        outputs: computes what is compared with the reference, a dict of arrays in Keras's layout.
            Called once, before `call`.
        tolerance: the largest error, relative to the largest output, with which it still counts as
            the same function.
        counted: bytes of weights, gradients and optimiser slots, where the peer can count them.
    """

    call: Callable
    outputs: Callable
    tolerance: float = 1e-4
    counted: Callable = None


class Peer:
    """A peer has a method for each mode of `benchmarks.problems.MODES` that it offers, `(problem,
    data, case) -> Prepared`.

    Args:
        threads: how many it may compute with.
    """

    def __init__(self, threads):
        self.threads = threads

    def prepare(self, problem, data, case):
        method = getattr(self, problem.mode, None)
        if method is None:
            raise Unavailable(f"it has no {problem.mode}")
        return method(problem, data, case)

    def drop(self):
        """Forgets what outlives the prepared cases."""


def reordered(kernel, order, units):
    """The gates of a kernel or bias `[..., gates * units]` in another order."""
    gates = [
        kernel[..., gate * units : (gate + 1) * units] for gate in range(kernel.shape[-1] // units)
    ]
    return [gates[index] for index in order]
