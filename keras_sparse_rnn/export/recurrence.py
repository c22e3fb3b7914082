"""Runs a recurrent layer as a graph that LiteRT executes well.

Keras's own loop, converted, multiplies by the input kernel once per step and copies the outputs of
all steps in each step (LiteRT has no list to append to: a loop that collects outputs copies them).
Here

- the input kernel multiplies all steps at once, before the loop;
- the loop runs over pieces of the sequence, and a long sequence in pieces of pieces, so that what
  is copied stays small;
- a piece is a run of steps written out one after the other where the recurrent kernel is sparse. A
  dense one is not repeated, because the runtime packs a copy of dense weights for each time they
  are used.

A length that no good piece divides is padded at the *front* with steps that leave the states alone.
"""

import dataclasses
import math

import tensorflow as tf

from keras_sparse_rnn.export.sparse_storage import FAST, choose

LONGEST_PIECE = 10
LONGEST_LOOP = 32


@dataclasses.dataclass(frozen=True)
class Plan:
    """How `steps` are cut: loops of `loops[0]`, in these `loops[1]`, ... rounds, `piece` steps
    written out, `padding` steps before the first.
    """

    loops: tuple
    piece: int
    padding: int


def plan(steps, written_out):
    """The `Plan` for a sequence of `steps`; steps are written out if `written_out`."""
    sizes = (
        range(min(steps, LONGEST_PIECE), max(1, min(steps, LONGEST_PIECE) // 2), -1)
        if written_out
        else [1]
    )
    if steps == 1:
        return Plan((), 1, 0)
    best = None
    for piece in sizes:
        rounds = math.ceil(steps / piece)
        for loops in _loops(rounds):
            padding = math.prod(loops) * piece - steps
            if best is None or padding < best.padding:
                best = Plan(loops, piece, padding)
    return best


def _loops(rounds):
    """Ways to nest `rounds` rounds in loops."""
    if rounds == 1:
        return [()]
    if rounds <= LONGEST_LOOP:
        return [(rounds,)]
    root = math.isqrt(rounds)
    return [(math.ceil(rounds / inner), inner) for inner in range(root, max(1, root // 2), -1)]


def run(
    cell,
    sequences,
    states,
    mask,
    *,
    go_backwards,
    return_sequences,
    zero_output_for_mask,
    previous=None,
):
    """Runs `cell` (see `cells`) over `sequences` `[batch, steps, inputs]`, as `keras.backend.rnn`
    would. `mask` is of booleans `[batch, steps]`, or None. `previous`, zeros if not given, is the
    output that a masked first step repeats.

    Returns:
        `(last output [batch, units], outputs [batch, steps or 1, units], states)`, as Keras's
        `RNN.inner_loop`.
    """
    repeats = mask is not None and not zero_output_for_mask
    carry = [
        *states,
        tf.zeros_like(states[0]) if previous is None else previous,
    ]  # the last one: the output that a masked step repeats

    def step(piece, live, carry):
        old, previous = carry[:-1], carry[-1]
        new = cell.step(piece, old)
        output = new[0]
        if live is not None:
            output = tf.where(live, output, previous if repeats else tf.zeros_like(output))
            new = [tf.where(live, *pair) for pair in zip(new, old)]
        return [*new, output]

    if sequences.shape[1] == 1:
        cell = cell.map(tf.constant)
        only = tf.reshape(sequences, [sizes(sequences)[0], sequences.shape[2]])
        *states, last = step(_projected(cell, only), mask, carry)
        return last, tf.expand_dims(last, 1), states
    written_out = all(choose(matrix.T).kind in FAST for matrix in cell.recurrent)
    cell = cell.map(tf.constant)  # each weight once, however often it is used
    projected = _projected(cell, _time_major(sequences, go_backwards))
    if mask is not None:
        mask = _time_major(tf.expand_dims(mask, -1), go_backwards)
    cut = None if sequences.shape[1] is None else plan(sequences.shape[1], written_out)
    padding = cut.padding if cut else 0
    if padding:
        if mask is None:
            mask = tf.fill(tf.concat([tf.shape(projected)[:2], [1]], 0), True)
        mask = tf.concat([tf.fill(tf.concat([[padding], tf.shape(mask)[1:]], 0), False), mask], 0)
        projected = tf.pad(projected, [[padding, 0], [0, 0], [0, 0]])

    if cut is None:
        carry, outputs = _loop(step, projected, mask, carry, None, return_sequences)
    else:
        carry, outputs = _rounds(
            step, _cut(projected, cut), _cut(mask, cut), carry, cut.loops, return_sequences
        )
    last = carry[-1]
    if outputs is None:
        outputs = last[:, None]
    else:
        outputs = tf.reshape(outputs, [padding + sequences.shape[1] if cut else -1, *sizes(last)])[
            padding:
        ]
        outputs = tf.transpose(outputs, [1, 0, 2])
    return last, outputs, list(carry[:-1])


def _projected(cell, inputs):
    projected = tf.matmul(inputs, cell.kernel)
    return projected if cell.bias is None else projected + cell.bias


def _time_major(sequences, go_backwards):
    swapped = tf.transpose(sequences, [1, 0, 2])
    return tf.reverse(swapped, [0]) if go_backwards else swapped


def sizes(tensor):
    """The shape of a tensor, static where it is known."""
    dynamic = tf.shape(tensor)
    return [dynamic[n] if size is None else size for n, size in enumerate(tensor.shape)]


def _cut(sequence, cut):
    """`[steps, batch, n]` as `[*loops, piece, batch, n]`."""
    if sequence is None:
        return None
    return tf.reshape(sequence, [*cut.loops, cut.piece, *sizes(sequence)[1:]])


def _rounds(step, pieces, masks, carry, loops, collect):
    """Runs `pieces` `[*loops, piece, batch, n]`; returns the carry and, if `collect`, the outputs
    `[*loops, piece, batch, units]`.
    """
    if loops:

        def inside(piece, live, carry):
            return _rounds(step, piece, live, carry, loops[1:], collect)

        return _loop(inside, pieces, masks, carry, loops[0], collect, nested=True)
    outputs = []
    masks = [None] * pieces.shape[0] if masks is None else tf.unstack(masks)
    for piece, live in zip(tf.unstack(pieces), masks):
        carry = step(piece, live, carry)
        outputs.append(carry[-1])
    return carry, tf.stack(outputs) if collect else None


def _loop(body, pieces, masks, carry, count, collect, nested=False):
    """A `tf.while_loop` over the first axis of `pieces`.

    The outputs go through a shift register: a tensor with a place for each round, whose first place
    drops out when a new output comes in at the end. After the last round nothing is left of what it
    began with, so it may begin with anything of the right shape. (A `TensorArray` needs a batch
    size that is known, becomes three copies where this is two, and puts its zeros into the file.)
    """
    count = tf.shape(pieces)[0] if count is None else count
    units = carry[-1].shape[-1]
    register = [pieces[..., :units]] if collect else []

    def round_(number, *variables):
        variables = list(variables)
        register = variables.pop() if collect else None
        piece = tf.gather(pieces, number)
        live = None if masks is None else tf.gather(masks, number)
        result = body(piece, live, variables)
        new, outputs = result if nested else (result, result[-1])
        return [
            number + 1,
            *new,
            *([tf.concat([register[1:], outputs[None]], 0)] if collect else []),
        ]

    final = tf.while_loop(
        lambda number, *_: number < count, round_, [tf.constant(0), *carry, *register]
    )
    return (list(final[1:-1]), final[-1]) if collect else (list(final[1:]), None)
