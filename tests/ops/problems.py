"""Random problems for the recurrent ops, and how they are run."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_sparse_rnn import ops, patterns

GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
SHAPES = [(1, 16), (4, 4), (8, 8), (16, 16), (32, 32), (4, 1), (1, 8), (1, 1), (3, 5), (7, 2)]
EPSILON = np.finfo(np.float32).eps


def random_packed(rng, inputs, units, gates, block_shape, density):
    """A packed kernel of about unit gain of which a fraction `density` of the blocks lives, chosen
    at random: some rows and columns are empty.
    """
    grid = patterns.BlockGrid(inputs, units, gates, block_shape)
    blocks = np.flatnonzero(rng.random(grid.count) < density).astype(np.int32)
    kernel = rng.normal(size=grid.kernel_shape) / np.sqrt(max(1.0, inputs * density))
    return ops.PackedKernel(grid.pack(kernel, blocks)[0], blocks, grid)


@dataclasses.dataclass
class Problem:
    """One call of a recurrent op on random numbers, in float64."""

    cell: str
    batch: int = 3
    time: int = 7
    inputs: int = 13
    units: int = 11
    block_shape: tuple = (4, 4)
    recurrent_block_shape: tuple = (4, 4)
    density: float = 0.5
    bias: bool = True
    mask: bool = False
    go_backwards: bool = False
    training: bool = True
    prepare: bool = False
    options: dict = dataclasses.field(default_factory=dict)
    seed: int = 0

    def __post_init__(self):
        rng = self.rng = np.random.default_rng(self.seed)
        gates = GATES[self.cell]
        bias_shape = (gates * self.units,)
        if self.cell == "gru" and self.options.get("reset_after", True):
            bias_shape = (2, 3 * self.units)
        packed = random_packed(rng, self.inputs, self.units, gates, self.block_shape, self.density)
        recurrent = random_packed(
            rng, self.units, self.units, gates, self.recurrent_block_shape, self.density
        )
        states = [
            rng.normal(size=(self.batch, self.units))
            for _ in range(2 if self.cell == "lstm" else 1)
        ]
        self.packed = packed, recurrent
        # Every differentiable input, by name.
        self.arrays = {"x": rng.normal(size=(self.batch, self.time, self.inputs)), "h0": states[0]}
        if self.cell == "lstm":
            self.arrays["c0"] = states[1]
        self.arrays["kernel"], self.arrays["recurrent_kernel"] = packed.values, recurrent.values
        if self.bias:
            self.arrays["bias"] = rng.normal(size=bias_shape)
        self.mask_array = rng.random((self.batch, self.time)) < 0.6 if self.mask else None
        state_shape = (self.batch, self.units)
        shapes = [(self.batch, self.time, self.units), *[state_shape] * len(states)]
        self.cotangents = [rng.normal(size=shape) for shape in shapes]

    def call(self, tensors, kernel):
        """The op's outputs for `tensors`, one for each of `arrays`."""
        inputs = dict(zip(self.arrays, tensors))
        values = inputs.pop("kernel"), inputs.pop("recurrent_kernel")
        bias = inputs.pop("bias", None)
        packed = [kernel._replace(values=value) for kernel, value in zip(self.packed, values)]
        op = getattr(ops, f"block_sparse_{self.cell}")
        return op(
            *inputs.values(),
            *packed,
            bias,
            mask=self.mask_array,
            go_backwards=self.go_backwards,
            kernel=kernel,
            training=self.training,
            prepare=self.prepare,
            **self.options,
        )

    def run(self, kernel, dtype="float32", wrap=lambda function: function):
        """Outputs and the gradients of every input for random cotangents: `(outputs, {name:
        gradient})`, as arrays.
        """

        def forward_and_backward(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                outputs = self.call(tensors, kernel)
                pairs = zip(outputs, self.cotangents)
                loss = sum(
                    tf.reduce_sum(output * tf.constant(cotangent, dtype))
                    for output, cotangent in pairs
                )
            return outputs, tape.gradient(
                loss, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )

        tensors = [tf.constant(array, dtype) for array in self.arrays.values()]
        outputs, gradients = wrap(forward_and_backward)(*tensors)
        return [o.numpy() for o in outputs], {n: g.numpy() for n, g in zip(self.arrays, gradients)}


def assert_close(actual, expected, name, epsilons=32):
    """`actual` float32 differs from `expected` float64 by at most a few epsilons of the largest
    magnitude.
    """
    assert actual.shape == expected.shape, name
    error = np.abs(actual - expected).max(initial=0)
    magnitude = np.abs(expected).max(initial=0)
    assert error <= epsilons * EPSILON * magnitude + 1e-30, (
        f"{name}: off by {error} at magnitude {magnitude}"
    )


def assert_native_is_right(problem):
    outputs, gradients = problem.run("native")
    expected_outputs, expected_gradients = problem.run("reference", "float64")
    for index, (actual, expected) in enumerate(zip(outputs, expected_outputs)):
        assert_close(actual, expected, f"output {index}")
    for name, expected in expected_gradients.items():
        assert_close(gradients[name], expected, f"gradient of {name}")
