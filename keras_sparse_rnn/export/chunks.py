"""What `export_litert(streaming=True)` does: a file that takes a chunk and the states, and gives
the outputs and the new states.
"""

import operator
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import running
from keras_sparse_rnn.export import (
    conversion,
    flatbuffer,
    look_ahead,
    look_back,
    signature,
    streaming,
    verification,
)
from keras_sparse_rnn.export.quiet import quiet
from keras_sparse_rnn.export.samples import said
from keras_sparse_rnn.export.stepping import Stepper

FEWEST, MOST = 4, 64  # chunks of the sequence that a file is compared on
REPEATS = 50


class Chunks:
    """The model, the chunk that the file takes, and the sequence that the file is compared on.

    Args:
        model: a built Keras model.
        given: the arguments `input_signature`, `batch_size`, `steps`, by name.
        sample: the inputs to compare on, of several chunks, or None.
        seed: of random ones.

    Raises:
        ValueError: an argument is not as `export_litert` describes it, or the model cannot be
            streamed.
    """

    def __init__(self, model, given, sample, seed):
        self.model = model
        self._steps = 1 if given["steps"] is None else operator.index(given["steps"])
        self._structure, own = signature.inputs_of(model, given["input_signature"])
        self._streamed = streaming.Streamed(model)
        self._axes = _sequences(model, own)
        open_ = signature.specs_of(model, own, given["batch_size"], None)
        self._specs = self._sized(open_, self._steps)
        if sample is None:
            whole = self._that_runs(open_, [own[place].shape[1] for place in self._axes])
            shapes = [tuple(spec.shape) for spec in whole]
            rng = np.random.default_rng(seed)
            self._whole = verification.random_inputs(model, whole, shapes, rng)
        else:
            self._whole = self._given(sample)
        self._chunks = self._cut()
        numbers = look_ahead.check(
            model, self._structure, self._whole, self._chunks, self._streamed
        )
        look_back.check(
            model,
            self._structure,
            self._whole,
            self._axes,
            self._steps,
            own[self._axes[0]].shape[1],
            numbers,
            self._streamed,
            np.random.default_rng(seed),
        )
        names = signature.output_names(model)
        if names is None:
            count = len(conversion.call(model, self._structure, self._tensors(self._whole)))
            names = [f"output_{number}" for number in range(count)]
        self._names = signature.unique(names)
        self._streamed.name_states([*(spec.name for spec in self._specs), *self._names])

    @property
    def info(self):
        """What `Stream` must know of the file."""
        return {
            "streaming": {
                "steps": self._steps,
                "inputs": [spec.name for spec in self._specs],
                "outputs": self._names,
                "states": [state.name for state in self._streamed.states],
            }
        }

    def convert(self):
        """The bytes of the file, weights dense."""
        count = len(self._specs)
        begin = [tf.TensorSpec(one.shape, name=one.name) for one in self._streamed.states]
        module = tf.Module()
        module.weights = [variable.value for variable in self.model.variables]
        kept = running.states_of(self.model)

        @tf.autograph.experimental.do_not_convert
        def forward(*tensors):
            self._streamed.begin(tensors[count:])
            # What a stateful layer keeps itself is neither read nor written.
            with keras.StatelessScope(state_mapping=[(one, tf.zeros(one.shape)) for one in kept]):
                outputs = conversion.call(self.model, self._structure, tensors[:count])
            names = [*self._names, *(state.name for state in self._streamed.states)]
            return {
                name: tf.identity(one) for name, one in zip(names, [*outputs, *self._streamed.new])
            }

        with (
            quiet(),
            conversion.full_precision(self.model),
            self._streamed.continuing(),
        ):
            traced = tf.function(
                forward, input_signature=[*self._specs, *begin]
            ).get_concrete_function()
        content = flatbuffer.unpack(conversion.converted(self.model, traced, module))
        flatbuffer.part_outputs(content)
        return flatbuffer.pack(content)

    def compare(self, path, num_threads, rounded, integers):
        """The largest difference of the file from Keras, as `Sequences.compare`: outputs that have
        the steps against those of the whole sequence, others against those of the sequence up to
        the end of each chunk.
        """
        names = [spec.name for spec in self._specs]
        try:
            stepper = self._open(path, num_threads)
            received = [stepper.step(dict(zip(names, chunk))) for chunk in self._chunks]
        except (RuntimeError, ValueError) as error:
            shapes = ", ".join(str(tuple(spec.shape)) for spec in self._specs)
            raise ValueError(
                "`model` must run in LiteRT's interpreter; nothing was written. Received: "
                f"model={self.model.name!r}, which on chunks of shape {shapes} says: {error}"
            ) from error
        last = self._keras(len(self._chunks), integers)
        pairs, others = [], {}
        for place, (name, whole) in enumerate(zip(self._names, last)):
            arrays = [each[name] for each in received]
            if whole.ndim > 1 and whole.shape[1] != arrays[0].shape[1]:
                pairs.append((whole, np.concatenate(arrays, axis=1)))
            else:
                others[place] = arrays
        if others:
            counts = range(1, len(self._chunks))
            ends = [self._keras(number, integers) for number in counts]
            for place, arrays in others.items():
                pairs += zip((end[place] for end in [*ends, last]), arrays)
        return verification.largest_difference(pairs, rounded)

    def milliseconds(self, path, num_threads):
        """The median time of the inference of a chunk, its steps, and what it is, in words."""
        stepper = self._open(path, num_threads)
        for chunk in self._chunks[:2]:  # LiteRT skips products with zeros, as the first states are
            named = dict(zip((spec.name for spec in self._specs), chunk))
            stepper.step(named)
        stepper.set(named)
        times = []
        for _ in range(REPEATS):
            before = time.perf_counter()
            stepper.interpreter.invoke()
            times.append(time.perf_counter() - before)
        plural = "s" if self._steps > 1 else ""
        batch = self._specs[self._axes[0]].shape[0]
        what = f"a chunk of {self._steps} step{plural}, batch {batch}"
        return 1e3 * statistics.median(times), self._steps, what

    def _open(self, path, num_threads):
        states = [state.name for state in self._streamed.states]
        return Stepper(path, states, self._names, num_threads)

    def _that_runs(self, specs, own):
        """The specs of a sequence of several chunks that the model runs on: a short one or, for a
        model that knows one length, of its `own`, if that has whole chunks.
        """
        reach = streaming.reach(self.model)
        short = self._steps * min(MOST, max(FEWEST, 2 + -(-reach // self._steps)))
        fixed = [size for size in own if size and size % self._steps == 0 and size > self._steps]
        causes = []
        for length in (short, *fixed[:1]):
            whole = self._sized(specs, length)
            try:
                conversion.try_shapes(self.model, self._structure, whole)
                return whole
            except Exception as error:  # whatever a layer says about what it cannot take
                causes.append(error)
        shapes = ", ".join(str(tuple(spec.shape)) for spec in self._sized(specs, short))
        raise ValueError(
            "`model` must run on sequences of several chunks, to be streamed. Received: "
            f"model={self.model.name!r}, which does not run on inputs of shape {shapes}: "
            f"{said(causes[0])}"
        ) from causes[0]

    def _sized(self, specs, steps):
        """`specs` with `steps` steps in those that are sequences."""
        return [
            tf.TensorSpec([spec.shape[0], steps, *spec.shape[2:]], spec.dtype, spec.name)
            if place in self._axes
            else spec
            for place, spec in enumerate(specs)
        ]

    def _given(self, sample):
        """`sample` as a flat list of arrays, if it has several chunks of what the file takes."""
        flat = [np.asarray(array) for array in keras.tree.flatten(sample)]
        lengths = {flat[place].shape[1:2] for place in self._axes if place < len(flat)}
        (length,) = lengths.pop() if len(lengths) == 1 and () not in lengths else (0,)
        whole = self._sized(self._specs, length)
        if (
            len(flat) != len(whole)
            or length % self._steps
            or length < 2 * self._steps
            or any(tuple(spec.shape) != array.shape for spec, array in zip(whole, flat))
        ):
            wanted = ", ".join(
                f"{spec.name} {tuple(spec.shape)}" for spec in self._sized(self._specs, None)
            )
            shapes = ", ".join(str(array.shape) for array in flat)
            raise ValueError(
                f"`sample` must have an array for each input of the file, {wanted}, with at least "
                f"two chunks of {self._steps} steps, and whole ones, in place of None. Received: "
                f"arrays of shape {shapes}"
            )
        return [array.astype(spec.dtype.as_numpy_dtype) for spec, array in zip(whole, flat)]

    def _cut(self):
        """The sequence as a list of chunks, each a flat list of arrays."""
        length = self._whole[self._axes[0]].shape[1]
        return [
            [
                array[:, start : start + self._steps] if place in self._axes else array
                for place, array in enumerate(self._whole)
            ]
            for start in range(0, length, self._steps)
        ]

    def _tensors(self, arrays):
        return [keras.ops.convert_to_tensor(array) for array in arrays]

    def _keras(self, count, integers):
        """What Keras gives on the first `count` chunks, with the activations of the layers
        `integers` as they are.
        """
        arrays = [
            array[:, : count * self._steps] if place in self._axes else array
            for place, array in enumerate(self._whole)
        ]
        with conversion.full_precision(self.model, integers), running.states_at_zero(self.model):
            outputs = conversion.call(self.model, self._structure, self._tensors(arrays))
        return [np.asarray(output) for output in outputs]


def _sequences(model, own):
    """Which of the inputs `own` are sequences: those with an open axis of steps, or, where none is
    open, those with as many steps as the first that has features behind them.
    """
    found = [
        place for place, spec in enumerate(own) if len(spec.shape) > 1 and spec.shape[1] is None
    ]
    if not found:
        rank = 3 if any(len(spec.shape) > 2 for spec in own) else 2
        fixed = [place for place, spec in enumerate(own) if len(spec.shape) >= rank]
        found = [place for place in fixed if own[place].shape[1] == own[fixed[0]].shape[1]]
    if not found:
        raise ValueError(
            "`model` must have an input with an axis of steps, `[batch, steps, ...]`, to be "
            f"streamed. Received: model={model.name!r} with inputs of shape "
            f"{', '.join(str(tuple(spec.shape)) for spec in own)}"
        )
    return found
