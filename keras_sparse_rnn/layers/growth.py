"""The gradients of dead blocks, caught at one step of a training.

A packed layer computes no gradients of dead blocks. A `GradientWatch` sits behind the product or
the recurrence of a layer: forwards and backwards everything goes through it unchanged. At the step
that it waits for it takes the gradient that comes back, and from it the gradients of the sums that
enter the activations, by one more run of the layer forwards and backwards. Of these and of what the
kernels are multiplied with follow the gradients of all blocks, a stripe of the kernel at a time. At
other steps it costs a comparison of two numbers.
"""

import numpy as np
import tensorflow as tf

from keras_sparse_rnn import ops
from keras_sparse_rnn.patterns import BlockGrid

RECORD = "evolution"


class GradientWatch:
    """Finds the dead blocks of the largest gradients, of each kernel of a layer, at one step.

    Args:
        name: of the layer, for errors.
        counts: how many blocks are wanted of each part of each kernel; 0: it is left alone.
        lives: how many blocks of each kernel live.
        scope: what a part is, `"gate"` or `"kernel"`.
        grids: the `BlockGrid`s of the kernels.
        step: a function that gives the number of the step that is being made.

    Attributes:
        due: a variable, the step to wait for.
        armed: its value.
        caught: a variable, the step at which gradients were caught last; -1: none.
        found: for each kernel three variables: what `ops.largest_gradients` returns.
    """

    def __init__(self, name, counts, lives, scope, grids, step):
        self.name, self.counts, self.scope, self.step = name, counts, scope, step
        self.due, self.caught = (tf.Variable(-1, dtype=tf.int64, trainable=False) for _ in range(2))
        self.armed, self._graph = -1, None
        self.found = []
        for count, live, grid in zip(counts, lives, grids):
            shape = (grid.gates if scope == "gate" else 1, count)
            self.found.append(
                (
                    tf.Variable(tf.zeros(shape, tf.int32), trainable=False),
                    tf.Variable(tf.zeros(shape), trainable=False),
                    tf.Variable(tf.zeros((live,)), trainable=False),
                )
            )

    def arm(self, step):
        """Waits for `step`; -1: for none."""
        self.armed, self._graph = step, None
        self.due.assign(step)

    def check(self):
        """Raises a `RuntimeError` unless gradients were caught at the step that was waited for."""
        if int(self.caught.numpy()) != self.armed:
            raise RuntimeError(
                f'`growth="gradient"` has seen no gradient of the layer {self.name!r} at step '
                f"{self.armed + 1}: the training step was traced before the callback was told that "
                "training begins, or does not go through the layer with training=True"
            )

    def of(self, results, kernels, factors):
        """Passes `results`, tensors, through.

        Args:
            results: what comes out of the layer's op.
            kernels: its `ops.PackedKernel`s.
            factors: a function of the gradients in the results; returns for each kernel what each
                gate of it is multiplied with, and the gradients of the products.

        Raises:
            ValueError: it is the second call of the layer in one step: the gradient of a block is
                then a sum that neither call knows.
        """
        graph = tf.compat.v1.get_default_graph()
        if not tf.executing_eagerly() and graph is self._graph:
            raise ValueError(
                f'`growth` must be "random" for the layer {self.name!r}, which is called more than '
                "once in a step: no single call knows the gradients of its dead blocks. Received: "
                'growth="gradient"'
            )
        self._graph = graph

        def catch(*gradients):
            step = tf.cast(self.step(), tf.int64)
            for kernel, own, count, found in zip(
                kernels, factors(*gradients), self.counts, self.found
            ):
                if not count:
                    continue
                largest = ops.largest_gradients(*own, kernel.blocks, kernel.grid, count, self.scope)
                for variable, value in zip(found, largest):
                    variable.assign(tf.cast(value, variable.dtype))
            self.caught.assign(step)
            return tf.constant(True)

        @tf.custom_gradient
        def through(*results):
            def gradient(*gradients):
                due = tf.equal(tf.cast(self.step(), tf.int64), self.due)
                tf.cond(due, lambda: catch(*gradients), lambda: tf.constant(False))
                return gradients

            return [tf.identity(result) for result in results], gradient

        return through(*results)


def watched(layer, results, x, states, *weights, training):
    """The `results` of the op of a recurrent `layer`, through its watch if it has one.

    Args:
        layer: a block-sparse recurrent layer.
        results: `outputs, *states`.
        x, states, weights: what its op was called with: the kernels, the bias and the options.
        training: whether it is called for training.
    """
    if not training or layer.watch is None:
        return results
    *kernels, bias, options = weights
    inputs, outputs = x, results[0]

    def factors(*gradients):
        x, mask = inputs, options["mask"]
        if options["go_backwards"]:
            x, mask = tf.reverse(x, (1,)), None if mask is None else tf.reverse(mask, (1,))
        run = {**options, "mask": mask, "go_backwards": False, "prepare": False}
        sums = _gradients_of_sums(layer, gradients, x, states, kernels, bias, run)
        previous = _states_before(outputs, states[0], mask)
        recurrent = layer.recurrent_factors(x, previous, sums, kernels, bias)
        return [([x] * layer.gates, sums), recurrent]

    return layer.watch.of(results, kernels, factors)


def _gradients_of_sums(layer, gradients, x, states, kernels, bias, options):
    """The gradients in the sums that enter the activations of `layer`, `[batch, time, gates *
    units]`, of those in its results: those of one more input for each of them, which is zero.
    """
    packed, recurrent = kernels
    grid, height = packed.grid, packed.grid.block_shape[0]
    probed = _with_probes(packed)
    x = tf.pad(x, ((0, 0), (0, 0), (0, grid.rows * height - grid.inputs)))
    probes = tf.zeros(
        (*tf.unstack(tf.shape(x)[:2]), probed.grid.inputs - grid.rows * height), x.dtype
    )
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(probes)
        inputs = tf.concat([x, probes], -1)
        results = layer._run(inputs, states, probed, recurrent, bias, options)
    found = tape.gradient(results, probes, output_gradients=list(gradients))
    found = tf.reshape(found, (*tf.unstack(tf.shape(x)[:2]), grid.gates, -1))[..., : grid.units]
    return tf.reshape(found, (*tf.unstack(tf.shape(x)[:2]), grid.gates * grid.units))


def _with_probes(packed):
    """A packed kernel with one more input for each of its columns, gate after gate, each gate's
    padded to whole blocks: the identity, below the kernel.
    """
    grid = packed.grid
    height, width = grid.block_shape
    square = BlockGrid(grid.units, grid.units, 1, grid.block_shape)
    larger = BlockGrid(
        (grid.rows + grid.gates * square.rows) * height, grid.units, grid.gates, grid.block_shape
    )
    column, row = np.divmod(square.diagonal, square.rows)
    ones = (row[:, None, None] * height + np.arange(height)[:, None]) == (
        column[:, None, None] * width + np.arange(width)
    )
    gate = np.arange(grid.gates)[:, None]
    added = (gate * grid.columns + column) * larger.rows + grid.rows + gate * square.rows + row
    ones = np.tile(ones, (grid.gates, 1, 1))
    moved = packed.blocks // grid.rows * larger.rows + packed.blocks % grid.rows
    blocks = tf.concat([moved, tf.constant(added.ravel(), tf.int32)], 0)
    values = tf.concat([packed.values, tf.constant(ones, packed.values.dtype)], 0)
    order = tf.argsort(blocks)
    return ops.PackedKernel(tf.gather(values, order), tf.gather(blocks, order), larger)


def _states_before(outputs, first, mask):
    """The state before each step, `[batch, time, units]`, of the outputs of all steps. Where a
    `mask` has let no step count yet the outputs are zero, and the state is the `first`.
    """
    before = tf.concat([first[:, None], outputs[:, :-1]], 1)
    if mask is None:
        return before
    counted = tf.cumsum(tf.cast(mask, tf.int32), axis=1, exclusive=True) > 0
    return tf.where(counted[..., None], before, first[:, None])


class Evolving:
    """What block-sparse layers have for `callbacks.Evolution`.

    Attributes:
        watch: a `GradientWatch`, while blocks grow by their gradients, else None.
        evolution: with what options blocks have been exchanged, a tuple of numbers that is saved
            with the weights; None if they never were.
    """

    watch = None
    evolution = None

    def save_own_variables(self, store):
        super().save_own_variables(store)
        save_record(self, store)

    def load_own_variables(self, store):
        super().load_own_variables(take_record(self, store))


def save_record(layer, store):
    """Writes into `store`, of a file of weights, with what options the blocks of `layer` have been
    evolving, if they have.
    """
    if layer.evolution is not None:
        store[RECORD] = np.asarray(layer.evolution, np.float64)


def take_record(layer, store):
    """Reads from `store` what `save_record` has written. Returns a store without it."""
    names = list(store.keys())
    layer.evolution = None
    if RECORD not in names:
        return store
    layer.evolution = tuple(np.asarray(store[RECORD], np.float64).tolist())
    return {name: store[name] for name in names if name != RECORD}
