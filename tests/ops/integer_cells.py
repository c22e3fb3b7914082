"""int8 weights times int8 activations in NumPy and float64, one sample, one step and one output
after the other: written from the words of native/core/ksr.h, to test the reference against.
"""

import math

import numpy as np


def widest_pair(packed):
    """The largest |w + w'| of two int8 weights that a processor may add up in 16 bits, looked for
    weight by weight.
    """
    grid, values, numbers = packed.grid, np.asarray(packed.values), np.asarray(packed.blocks)
    height, width = grid.block_shape
    dense, live = np.zeros((2, grid.inputs, grid.gates, grid.units), int)
    for block, number in zip(values, numbers):
        gate, column, row = np.unravel_index(number, (grid.gates, grid.columns, grid.rows))
        for i in range(height):
            for j in range(width):
                place = (row * height + i, gate, column * width + j)
                if place[0] < grid.inputs and place[2] < grid.units:
                    dense[place], live[place] = block[i, j], 1
    widest = 0
    for gate in range(grid.gates):
        for unit in range(grid.units):
            first = unit // 16 * 16
            by_rows = list(range(grid.inputs))
            by_list = [i for i in by_rows if live[i, gate, first : first + 16].any()]
            for order in (by_rows, by_list):
                for one, other in zip(order[::2], order[1::2]):
                    widest = max(widest, abs(dense[one, gate, unit] + dense[other, gate, unit]))
    return widest


def rounded(vector, largest):
    """Integers, as a list, and what 1 stands for; `largest`: what 127 stands for, or 0."""
    if not largest:
        finite = [min(abs(x), 3.0e38) for x in vector if not math.isnan(x)]
        largest = max(finite, default=0.0)
    if largest < 1e-30:
        return [0] * len(vector), 0.0
    steps = [127.0 / largest * x for x in vector]
    steps = [-127.0 if math.isnan(step) else max(-127.0, min(127.0, step)) for step in steps]
    return [round(step) for step in steps], largest / 127.0


def product(vector, largest, packed, outputs=slice(None)):
    """`vector` times an int8 kernel, of the `outputs` asked for."""
    grid = packed.grid
    integers = grid.unpack(np.asarray(packed.values, np.int64), packed.blocks)[:, outputs]
    scales = np.asarray(packed.scales, np.float64).reshape(grid.gates, -1)[:, : grid.units]
    inputs, unit = rounded(vector, largest)
    sums = np.array(inputs, np.int64) @ integers
    return sums * scales.ravel()[outputs] * unit


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(cell, options, x, states, kernels, bias, input_range):
    """The new states of one sample."""
    packed, recurrent = kernels
    units = packed.grid.units
    projected = product(x, input_range, packed)
    h = states[0]
    if cell == "simple_rnn":
        relu = options.get("activation") == "relu"
        sums = projected + bias + product(h, 0.0 if relu else 1.0, recurrent)
        return [np.maximum(sums, 0) if relu else np.tanh(sums)]
    if cell == "lstm":
        i, f, g, o = np.split(projected + bias + product(h, 1.0, recurrent), 4)
        c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]
    if options.get("reset_after", True):
        z, r, n = np.split(projected + bias[0], 3)
        inner_z, inner_r, inner_n = np.split(product(h, 1.0, recurrent) + bias[1], 3)
        candidate = n + sigmoid(r + inner_r) * inner_n
    else:
        z, r, n = np.split(projected + bias, 3)
        inner_z, inner_r = np.split(product(h, 1.0, recurrent, slice(0, 2 * units)), 2)
        reset = sigmoid(r + inner_r) * h
        candidate = n + product(reset, 1.0, recurrent, slice(2 * units, None))
    z = sigmoid(z + inner_z)
    return [z * h + (1 - z) * np.tanh(candidate)]


def run(problem, kernels, input_range):
    """`outputs, *states` of a `Problem` with the int8 `kernels` in the place of its own."""
    arrays = problem.arrays
    names = [name for name in ("h0", "c0") if name in arrays]
    last = [arrays[name].copy() for name in names]
    outputs = np.zeros((problem.batch, problem.time, problem.units))
    bias = arrays.get("bias", np.zeros(()))
    if problem.cell == "gru" and "bias" not in arrays:
        bias = np.zeros(2) if problem.options.get("reset_after", True) else bias
    for sample in range(problem.batch):
        states, output = [state[sample] for state in last], np.zeros(problem.units)
        times = range(problem.time)
        for number, time in enumerate(reversed(times) if problem.go_backwards else times):
            if problem.mask_array is None or problem.mask_array[sample, time]:
                x = arrays["x"][sample, time]
                states = step(problem.cell, problem.options, x, states, kernels, bias, input_range)
                output = states[0]
            outputs[sample, number] = output
        for state, value in zip(last, states):
            state[sample] = value
    return [outputs, *last]
