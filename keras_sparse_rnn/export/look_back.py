"""Which layer of a model reads steps that lie far before a chunk: farther than the sequence is long
that the file is compared on.

The model runs in Keras on a long sequence, and on its two halves. In the halves, layers that
remember give again what they gave on the whole. They are compared on the short sequence, and over
many steps rounding alone may change what they give.
"""

import tensorflow as tf

from keras_sparse_rnn import running
from keras_sparse_rnn.export import conversion, look_ahead
from keras_sparse_rnn.export.quiet import quiet

# Steps of the long sequence: the first of these that the model runs on; before them, the length
# that it was built for, if that is greater.
LENGTHS = 1024, 512, 256, 128
LONGEST = 16384  # which takes about a second
MOST_NUMBERS = 2**25  # that all layers together may give on it


def check(model, structure, arrays, axes, steps, own, numbers, streamed, rng):
    """Runs `model` on a long sequence and on its halves.

    Args:
        model: a built Keras model.
        structure: the structure that it takes its inputs in.
        arrays: a flat list of inputs, whose steps the long sequence has, in another order.
        axes: the places of those that are sequences.
        steps: of a chunk.
        own: the length that the model was built for, or None.
        numbers: how many of them its layers together give on `arrays`.
        streamed: its `Streamed`.
        rng: a NumPy generator.

    Raises:
        ValueError: a layer gives other outputs on the halves; the message names the first that
            does.
    """
    short = arrays[axes[0]].shape[1]
    most = min(LONGEST, MOST_NUMBERS * short // max(1, numbers))
    for length in sorted({own or 0, *LENGTHS}, reverse=True):
        length -= length % steps
        if not max(short, 2 * steps - 1) < length <= most:
            continue
        picks = rng.integers(0, short, length)
        half = length // steps // 2 * steps
        whole, *halves = (
            [array[:, part] if place in axes else array for place, array in enumerate(arrays)]
            for part in (picks, picks[:half], picks[half:])
        )
        try:
            operations, entire, pieces = _run(
                model, structure, whole, halves, streamed, half / length
            )
        except Exception:  # whatever a layer says about what it cannot take
            continue
        look_ahead.compare(model, operations, entire, pieces)
        return


def _run(model, structure, whole, halves, streamed, share):
    """The operations of the model in the order of their calls, the outputs of each on the whole,
    and those on each half, of which the first has that `share` of the steps.
    """
    operations = []

    @tf.autograph.experimental.do_not_convert
    def forward(whole, halves):
        remembered, records = _Remembered(streamed, share), []
        for number, arrays in enumerate([whole, *halves]):
            with remembered.run(number):
                record = look_ahead.Record(model)  # of what runs there
                with record.on():
                    conversion.call(model, structure, arrays)
            records.append([outputs for _, outputs in record.calls])
            operations[:] = [operation for operation, _ in record.calls]
        return records

    with (
        quiet(replay=False),
        conversion.full_precision(model),
        running.states_at_zero(model),
        conversion.exportable(model),
        running.swapped(
            [(each, "unroll", False) for each in running.recurrent_layers(model) if each.unroll]
        ),
    ):
        entire, *pieces = tf.function(forward)(whole, halves)
    return operations, entire, pieces


class _Remembered:
    """What layers that remember give on the whole sequence, for its halves, of which the first has
    that `share` of the steps.
    """

    def __init__(self, streamed, share):
        self._streamed, self._share, self._calls = streamed, share, []

    def run(self, number):
        """A context in which such layers run, and are noted, on the whole, number 0, and give what
        they gave then on half 1 and half 2.
        """
        numbers = iter(range(len(self._calls)))

        def noting(run):
            def noted(sequences, *args, **kwargs):
                result = run(sequences, *args, **kwargs)
                self._calls.append((sequences.shape[1], result))
                return result

            return noted

        def cutting(run):
            def cut(sequences, *args, **kwargs):
                length, result = self._calls[next(numbers)]
                if sequences.shape[1] == length:  # made anew, not a part of the stream
                    return run(sequences, *args, **kwargs)
                if not isinstance(result, tuple):
                    return self._part(result, number)
                last, outputs, states = result
                return last, self._part(outputs, number), states

            return cut

        def swap(layer):
            name = self._streamed.method(layer)
            run = getattr(layer, name)
            return layer, name, cutting(run) if number else noting(run)

        return running.swapped([swap(layer) for layer in self._streamed.layers])

    def _part(self, outputs, number):
        """What half `number` has of `outputs`, all of it where these are the last step's only."""
        if outputs.shape[1] == 1:
            return outputs
        middle = round(self._share * outputs.shape[1])
        return outputs[:, :middle] if number == 1 else outputs[:, middle:]
