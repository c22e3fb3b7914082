"""Which dead blocks of a kernel have the largest gradients, found without a dense gradient."""

import math

import numpy as np
import tensorflow as tf

AT_ONCE = 1 << 22  # weights of a dense gradient that are there at the same time


def largest_gradients(inputs, gradients, blocks, grid, count, scope="gate"):
    """The dead blocks of the largest mean squared gradient: of the products `y = x W` of a kernel
    the gradient is `x^T dy`, and of some columns of blocks of `W` it takes the same columns of
    `dy` only. It is computed so, some columns after others, and the best blocks so far are kept.

    Args:
        inputs: a list of float tensors `[..., inputs]`, what each gate of the kernel is multiplied
            with.
        gradients: `[..., gates * units]`, of the loss in the products.
        blocks: int32 `[live]`, the numbers of the live blocks, ascending.
        grid: the `BlockGrid` of the kernel.
        count: how many dead blocks are wanted of each part.
        scope: what a part is: each `"gate"`, or the `"kernel"`.

    Returns:
        `numbers` int32 `[parts, count]`, best first, of equal ones the lower number first; their
        mean squared gradients `[parts, count]`; and those of the live blocks `[live]`. Where there
        are fewer dead blocks the numbers are -1. A gradient that is no number counts as infinite.
    """
    height, width = grid.block_shape
    gates, columns, rows = grid.shape
    at_once = max(1, min(columns, AT_ONCE // (rows * height * width)))
    turns = math.ceil(columns / at_once)
    size = at_once * rows
    dtype = gradients.dtype
    rows_in = np.minimum(height, grid.inputs - height * np.arange(rows))
    columns_in = np.minimum(width, grid.units - width * np.arange(turns * at_once))
    rows_in = tf.constant(rows_in, dtype)
    columns_in = tf.constant(np.maximum(columns_in, 1), dtype)

    def turn_of(gate, x, dy):
        def turn(number, numbers, scores, of_live):
            first = number * at_once
            stripe = tf.matmul(
                x, dy[:, first * width : (first + at_once) * width], transpose_a=True
            )
            stripe = tf.square(tf.reshape(stripe, (rows, height, at_once, width)))
            sizes = columns_in[first : first + at_once, None] * rows_in
            own = tf.reshape(tf.transpose(tf.reduce_sum(stripe, (1, 3))) / sizes, (size,))
            own = tf.where(tf.math.is_finite(own), own, tf.constant(np.inf, dtype))
            begin = gate * columns * rows + first * rows
            there = tf.minimum(size, (columns - first) * rows)
            places = blocks - begin
            lives = (places >= 0) & (places < there)
            places = tf.where(lives, places, size)
            of_live = tf.where(lives, tf.gather(tf.pad(own, [[0, 1]]), places), of_live)
            alive = tf.scatter_nd(places[:, None], tf.ones_like(places), (size + 1,))[:size] > 0
            dead = ~alive & (tf.range(size) < there)
            candidates = tf.where(dead, own, -tf.ones_like(own))
            scores, best = tf.math.top_k(tf.concat([scores, candidates], 0), count)
            candidates = tf.where(dead, begin + tf.range(size), -1)
            return number + 1, tf.gather(tf.concat([numbers, candidates], 0), best), scores, of_live

        return turn

    def fresh():
        return tf.fill((count,), -1), tf.fill((count,), tf.constant(-1, dtype))

    found, of_live = [fresh()], tf.zeros(tf.shape(blocks), dtype)
    for gate in range(gates):
        if scope == "gate" and gate:
            found.append(fresh())
        x = tf.reshape(inputs[gate], (-1, grid.inputs))
        x = tf.pad(x, ((0, 0), (0, rows * height - grid.inputs)))
        dy = tf.reshape(gradients, (-1, gates, grid.units))[:, gate]
        dy = tf.pad(dy, ((0, 0), (0, turns * at_once * width - grid.units)))
        _, *found[-1], of_live = tf.while_loop(
            lambda number, *_: number < turns,
            turn_of(gate, x, dy),
            (0, *found[-1], of_live),
            shape_invariants=(
                tf.TensorShape(()),
                tf.TensorShape((count,)),
                tf.TensorShape((count,)),
                blocks.shape,
            ),
            parallel_iterations=1,
            maximum_iterations=turns,
        )
    numbers, scores = zip(*found)
    return tf.stack(numbers), tf.stack(scores), of_live
