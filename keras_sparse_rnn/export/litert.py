"""Exports a Keras model with recurrent layers to a LiteRT file: one that the stock runtime runs, or
one of our operators.

`model.export(format="litert")` of a Keras 3 LSTM or GRU makes a file that the stock interpreter
refuses: it needs TensorFlow's own list operators ("Flex"). Here the recurrent layers are written as
loops of built-in operators, the zeros that pruning made are left out of the file, and what comes
out is compared with Keras before it gets its name. With `runtime="ksr"` recurrent and pruned Dense
layers become operators of our own instead, which step in a tenth of the time.

A file for a whole sequence has a loop in it. A file for a stream (`streaming=True`) takes a chunk
and the states, and has none where a chunk is one step.

>>> summary = ksr.export_litert(model, "model.tflite", steps=100)      # doctest: +SKIP
>>> print(summary)                                                            # doctest: +SKIP"""

import os

import numpy as np

from keras_sparse_rnn.export import (
    checks,
    flatbuffer,
    info,
    integrity,
    likeness,
    own_operators,
)
from keras_sparse_rnn.export.chunks import Chunks
from keras_sparse_rnn.export.integers import quantise
from keras_sparse_rnn.export.litert_summary import LiteRTSummary
from keras_sparse_rnn.export.placing import placed
from keras_sparse_rnn.export.sequences import Sequences
from keras_sparse_rnn.export.sparse_storage import FAST
from keras_sparse_rnn.export.sparsify import sparsify, sparsity_of

TOLERANCES = {"float32": 1e-4, "bfloat16": 0.02, "int8": 0.02}


def export_litert(
    model,
    path,
    runtime="builtin",
    weights="float32",
    activations="float32",
    *,
    streaming=False,
    metadata=None,
    batch_size=None,
    steps=None,
    input_signature=None,
    sample=None,
    tolerance=None,
    num_threads=1,
    seed=0,
):
    """Writes `model` to `path` as a LiteRT file, zeros stored sparse, outputs compared with Keras.

    The model is left as it is: weights, states, dtype policy and compile state. What the file
    computes with is what `weights` and `activations` say, whatever block-sparse layers have
    themselves: those of bfloat16 or int8 stand for the float32 weights that their bytes mean. A
    model of mixed precision or of float64 is compared in float32, and a float64 input becomes
    float32. A stateful layer keeps its states in the file's variables; they are zero when an
    interpreter is made.

    Args:
        model: a built Keras model with an LSTM, GRU, SimpleRNN or RNN somewhere.
        path: the file to write, `.tflite` above all, and no `.keras` or `.h5`. It is written whole
            or not at all.
        runtime: `"builtin"`: operators that every LiteRT has. `"ksr"`: our operator in the place of
            LSTM, GRU and SimpleRNN with Keras's default activations (SimpleRNN with relu, too) and
            of Dense layers with less than half of their weights live; everything else built in.
            `ksr.export.Interpreter` runs it, and others with our delegate: docs/litert.md.
        weights: `"float32"`; or `"int8"`, per output: in our operators, and for all products by a
            constant matrix of 1,024 weights or more, whose inputs are then rounded to int8, too,
            when the file runs. Embeddings and convolutions stay float32. With our operators also
            `"bfloat16"`.
        activations: `"float32"`; with int8 weights also `"int8"`: our operators round inputs and
            states to integers, too. The `input_range` of a layer with int8 activations is taken
            over, and the file is compared with what that layer gives.
        streaming: write a file for a stream: it takes the next `steps` of the sequence and the
            states, and gives the outputs and the new states; `ksr.export.Stream` keeps these. All
            sizes are fixed then, and `steps` is 1 if not given: one graph, without a loop. Each
            state, float32 and zero at the start, is an input and an output of one name,
            `<layer>_state`. A layer with `return_sequences=False` gives what it gives on all steps
            so far. Layers that read steps to come are refused by name.
        metadata: what the file says about the model: a dict with any of `"name"` (that of `model`
            if not given), `"version"`, `"sample_rate"` in hertz, `"labels"`, a list of strings. The
            `metadata` of `Interpreter` and `Stream` have it, and `"sparsity"`: the fraction of the
            weights of all matrices that is zero.
        batch_size: an integer, `"dynamic"`, or None: as the model has it, and 1 where it leaves it
            open. A Sequential model without an `Input` has the sizes of the first batch of `fit`:
            give the ones that you want.
        steps: the length of the sequences: an integer, `"dynamic"`, or None: as the model has it,
            dynamic where it leaves it open. Fixed sizes run faster.
        input_signature: a `keras.KerasTensor` or `tf.TensorSpec`, or a structure of them, nested as
            what the model is called on: needed for a subclassed model only, and for that only if it
            takes something else than one tensor. (One tensor is a float one, or int32 where there
            is an `Embedding` and no third axis; the steps are those of the first call.)
        sample: inputs to compare on, in the model's structure, for a model that random inputs do
            not suit. Their sizes must be those of the file; with `streaming`, of two chunks or
            more.
        tolerance: the largest difference from Keras that is let pass, relative to the largest
            output where that is above 1; None: 1e-4, and 0.02 where weights are not float32, and
            outputs below 1 must be recognizable (see `keras_sparse_rnn.export.likeness`).
        num_threads: of the interpreter, in the comparison and the timing.
        seed: of the random inputs, an integer.

    Returns:
        A `LiteRTSummary`.

    Raises:
        ValueError: an argument is not as described, the model cannot be converted, or the file's
            outputs differ from Keras's. Nothing is left on disk then; a file that was at `path`
            before stays.
    """
    checks.check_options(runtime, weights, activations)
    checks.check_flag(streaming, "streaming")
    checks.check_size(batch_size, "batch_size")
    checks.check_size(steps, "steps")
    judged, tolerance = tolerance is None, TOLERANCES[weights] if tolerance is None else tolerance
    checks.check_positive(tolerance, "tolerance")
    checks.check_threads(num_threads)
    checks.check_seed(seed)
    said = info.check(metadata)
    target = checks.check_path(path)
    checks.check_model(model)
    given = {"input_signature": input_signature, "batch_size": batch_size, "steps": steps}
    if streaming:
        checks.check_chunk(batch_size, steps)
    kind = Chunks if streaming else Sequences
    job = kind(model, given, sample, seed)

    own = own_operators.OwnOperators(model, weights, activations) if runtime == "ksr" else None
    with own_operators.chosen(own):
        converted = flatbuffer.unpack(job.convert())
    sparsity = sparsity_of(converted, own.kernels if own else [])
    said = {"name": model.name, **said, "sparsity": sparsity, **job.info}
    info.add(converted, said)
    integrity.add_metadata(converted, runtime)
    flatbuffer.sweep(converted)
    dense_bytes = len(flatbuffer.pack(converted)) + (own.saved_bytes if own else 0)
    forms = quantise(converted) if weights == "int8" else sparsify(converted)
    own_operators.align(converted)
    content = integrity.sealed(converted)

    with placed(target) as temporary:
        with open(temporary, "wb") as file:
            file.write(content)
        rounded = (weights, activations) != ("float32", "float32")
        integers = own.integers if own else []
        absolute, relative, another = job.compare(temporary, num_threads, rounded, integers)
        if not relative <= tolerance:
            raise ValueError(
                "`model` must give the same outputs in the file as in Keras, to a tolerance of "
                f"{tolerance:g}; nothing was written. Received: model={model.name!r}, whose "
                "outputs "
                + (f"differ by up to {absolute:.3g}" if np.isfinite(absolute) else "are not finite")
            )
        if judged and another:
            raise ValueError(likeness.REFUSAL.format(where="the file", name=model.name))
        inference, counted, what = job.milliseconds(temporary, num_threads)
    return LiteRTSummary(
        path=os.fspath(path),
        bytes=len(content),
        dense_bytes=dense_bytes,
        largest_error=absolute,
        milliseconds_per_step=inference / counted,
        timed=f"{what}, {num_threads} thread{'s' if num_threads > 1 else ''}",
        operators=flatbuffer.operator_names(converted),
        sparse_tensors=len(forms) + (len(own.kernels) if own else 0),
        computed_sparse=sum(form.kind in FAST for form in forms) + (len(own.kernels) if own else 0),
    )
