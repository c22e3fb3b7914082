"""Calls ops of the native library as any graph may call them, in a process of their own: where it
ends early, an op has crashed.

Arguments: a seed and a number of random calls, which follow the named ones. Prints one JSON string
a call: what the op said, or "ran"."""

import json
import sys

import numpy as np
import tensorflow as tf

from keras_sparse_rnn import ops

LIBRARY = ops.loader.library()
CELLS = {"simple_rnn": (1, {"relu": True}), "lstm": (4, {}), "gru": (3, {"reset_after": True})}
NONE = np.zeros(0, np.float32)
INTS = (-(2**31), -17, -1, 0, 1, 2, 3, 5, 16, 40, 1000, 3_000_000, 2**25, 2**31 - 1, 2**31, 2**40)
SIZES = (0, 1, 2, 3, 17)
SHAPES = (0, 1, 3, 16, 1000, 3_000_000, 2**25, 2**31, 2**40)
MANY = 2**20  # features that a call may have: what is larger and yet right would take the memory


def matmul(inputs, units, gates, shape, live=0, rows=3):
    """`(op, arguments)` of a product."""
    return "matmul", {
        "x": np.ones((rows, inputs), np.float32),
        "kernel_values": blocks_of(live, shape),
        "kernel_blocks": np.arange(live, dtype=np.int32),
        "kernel_scales": NONE,
        "units": units,
        "gates": gates,
    }


def prepared_matmul(inputs, units, shape, live=0, rows=3, integers=False):
    """The same of a prepared one."""
    _, arguments = matmul(inputs, units, 1, shape, live, rows)
    del arguments["gates"]
    return "prepared_matmul", {**arguments, "integers": integers, "input_range": 0.0}


def matmul_grad(inputs, units, gates, shape, live=0, rows=3):
    """The same of its gradient."""
    _, arguments = matmul(inputs, units, gates, shape, live, rows)
    del arguments["kernel_scales"]
    size = units * gates if 0 <= units * gates <= MANY else 1
    return "matmul_grad", {**arguments, "dy": np.ones((rows, size), np.float32)}


def pack(inputs, units, gates, shape, rows=None):
    """`(op, arguments)` of packing a kernel."""
    size = units * gates if 0 <= units * gates <= MANY else 1
    return "pack", {
        "kernel": np.ones((inputs, size), np.float32),
        "units": units,
        "gates": gates,
        "block_rows": shape[0],
        "block_columns": shape[1],
    }


def pack_grad(inputs, units, gates, shape, live=0):
    """The same of its gradient."""
    return "pack_grad", {
        "d_values": blocks_of(live, shape),
        "blocks": np.arange(live, dtype=np.int32),
        "inputs": inputs,
        "units": units,
        "gates": gates,
    }


def cell(name, inputs, units, shape, recurrent_shape, backward=False, batch=2, time=2, keep=True):
    """The same of a cell without a live block."""
    gates, options = CELLS[name]
    states = ["h0", "c0"] if name == "lstm" else ["h0"]
    arguments = {"x": np.ones((batch, time, inputs), np.float32)}
    arguments |= {state: np.ones((batch, units), np.float32) for state in states}
    for kernel, size in (("kernel", shape), ("recurrent", recurrent_shape)):
        arguments |= {
            f"{kernel}_values": blocks_of(0, size),
            f"{kernel}_blocks": np.zeros(0, np.int32),
        }
    arguments |= {"bias": NONE, "mask": np.zeros((0, 0), bool)}
    if backward:
        arguments |= {"reserve": NONE, "d_outputs": np.ones((batch, time, units), np.float32)}
        arguments |= {f"d_{s[0]}": np.ones((batch, units), np.float32) for s in states}
    else:
        arguments |= {"kernel_scales": NONE, "recurrent_scales": NONE}
    return name + "_grad" * backward, {**arguments, "go_backwards": False, "keep": keep, **options}


def blocks_of(live, shape):
    """Without a live block a tensor may claim any block shape."""
    return np.zeros((live, *shape), np.float32) if live else tf.zeros((0, *shape))


HUGE = (1000, 1, (2, 3_000_000))  # gates, units, blocks: what pads one unit takes an int apart

NAMED = {
    "no gates": matmul(3, 4, 0, (2, 2)),
    "no gates, many rows": matmul(3, 4, 0, (2, 2), rows=40),
    "no gates, gradient": matmul_grad(3, 4, 0, (2, 2)),
    "negative gates": matmul(3, 4, -2, (2, 2)),
    "negative gates and units": matmul(3, -4, -2, (2, 2)),
    "negative gates, gradient": matmul_grad(3, 4, -2, (2, 2)),
    "padding": matmul(5, HUGE[1], HUGE[0], HUGE[2]),
    "padding, gradient": matmul_grad(5, HUGE[1], HUGE[0], HUGE[2]),
    "padded rows": matmul(5, 2, 1, (2**31 - 1, 2)),
    "large blocks": matmul(5, 2, 1, (2**20, 2**20)),
    "many blocks": matmul(2**17, 2**17, 1, (1, 1), rows=0),
    "more than an int": matmul(5, 2**31, 1, (2, 2)),
    "prepared, no units": prepared_matmul(3, 0, (2, 2)),
    "prepared, negative units, many rows": prepared_matmul(3, -4, (2, 2), rows=40),
    "prepared, empty blocks": prepared_matmul(3, 4, (0, 2)),
    "prepared, many blocks": prepared_matmul(2**17, 2**17, (1, 1), rows=0),
    "prepared, many integers": prepared_matmul(2**16 + 1, 4, (1, 1), integers=True),
    "pack, no gates": pack(3, 4, 0, (2, 2)),
    "pack, negative gates": pack(3, -4, -2, (2, 2)),
    "pack, padding": pack(1, HUGE[1], HUGE[0], HUGE[2]),
    "unpack, no gates": pack_grad(3, 4, 0, (2, 2)),
    "unpack, negative gates": pack_grad(3, 4, -1, (2, 2)),
    "unpack, padding": pack_grad(5, HUGE[1], HUGE[0], HUGE[2]),
    "unpack, no inputs": pack_grad(0, 4, 1, (2, 2)),
    **{
        f"{name}{', gradient' * backward}": cell(
            name, 3, 4, (2, 30_000_000), (2, 2), backward=backward
        )
        for name in ("lstm", "gru")
        for backward in (False, True)
    },
    "simple_rnn": cell("simple_rnn", 3, 4, (2, 2), (2**28, 2)),
    "simple_rnn, gradient": cell("simple_rnn", 3, 4, (2, 2), (2, 2**28), backward=True),
}


def random_call(rng):
    """A call of any op with arguments that are right, odd or wrong."""

    def pick(values):
        """Mostly one of the small ones."""
        values = [one for one in values if 0 < one < 100] if rng.random() < 0.6 else values
        return values[rng.integers(len(values))]

    live = int(rng.integers(3))
    shape = (pick(SHAPES), pick(SHAPES))
    if live and shape[0] * shape[1] > MANY:
        live = 0
    inputs, units, gates = pick(SIZES), pick(INTS), pick(INTS)
    kind = int(rng.integers(7))
    if kind == 0:
        return matmul(inputs, units, gates, shape, live, pick((0, 1, 7, 33)))
    if kind == 1:
        return matmul_grad(inputs, units, gates, shape, live, pick((0, 1, 7, 33)))
    if kind == 2:
        return pack(inputs, units, gates, (pick(INTS), pick(INTS)))
    if kind == 3:
        return pack_grad(pick(INTS), units, gates, shape, live)
    if kind == 6:
        rows, integers = pick((0, 1, 7, 33)), bool(rng.integers(2))
        return prepared_matmul(inputs, units, shape, live, rows, integers)
    return cell(
        list(CELLS)[rng.integers(3)],
        inputs,
        pick(SIZES),
        shape,
        (pick(SHAPES), pick(SHAPES)),
        kind == 5,
        pick((0, 1, 3, 17)),
        pick((0, 1, 4)),
        bool(rng.integers(2)),
    )


def too_large(arguments):
    """Whether a call is right, or might be, and needs a lot of memory."""
    shapes = [tuple(one.shape) for name, one in arguments.items() if name.endswith("_values")]
    shapes += [(0, arguments.get("block_rows", 1), arguments.get("block_columns", 1))]
    inputs = arguments.get("inputs", 1)
    units, gates = arguments.get("units", 1), arguments.get("gates", 4)
    sizes = [inputs, units * gates, inputs * units * gates]
    for _, height, width in shapes:
        sizes += [height * max(1, gates), max(width, 16) * max(1, gates), height * width]
    return any(MANY < size <= 2**27 for size in sizes)


def said(call):
    """What an op says to a call."""
    name, arguments = call
    try:
        getattr(LIBRARY, f"keras_sparse_rnn_{name}")(**arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ran"


if __name__ == "__main__":
    calls = list(NAMED.values())
    rng = np.random.default_rng(int(sys.argv[1]))
    while len(calls) < len(NAMED) + int(sys.argv[2]):
        call = random_call(rng)
        if not too_large(call[1]):
            calls.append(call)
    for call in calls:
        if "-v" in sys.argv:
            described = {k: getattr(v, "shape", v) for k, v in call[1].items()}
            print(call[0], described, file=sys.stderr, flush=True)
        print(json.dumps(said(call)), flush=True)
