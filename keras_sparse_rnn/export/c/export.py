"""Exports a Keras model to C that needs nothing else, and to the file that `ksr_runtime` runs."""

import json
import os
import pathlib
import re
import tempfile

import keras
import numpy as np

import ksr_runtime
from keras_sparse_rnn import private_keras
from keras_sparse_rnn.checks import check_keras_model
from keras_sparse_rnn.export import checks
from keras_sparse_rnn.export.c import comparison, graph
from keras_sparse_rnn.export.c import folder as folders
from keras_sparse_rnn.export.c.program import Program, compiler
from keras_sparse_rnn.export.c.summary import CSummary
from keras_sparse_rnn.export.placing import placed
from keras_sparse_rnn.ops.quantization import WEIGHTS, check_activations
from keras_sparse_rnn.patterns import check_choice
from keras_sparse_rnn.version import version


def export_c(
    model,
    folder,
    weights="float32",
    activations="float32",
    *,
    name="model",
    metadata=None,
    sample=None,
    tolerance=None,
    seed=0,
):
    """Writes `model` to `folder` as C that needs a compiler and nothing else, one frame at a time.

    The folder gets `model.h` (`model_init`, `model_step`, `model_reset`, sizes as macros),
    `model.c`, the weights as a C array in `model_weights.h`, the same weights as a file
    `model.ksr`, which `ksr_runtime` runs too, the sources of the kernels that this model needs,
    `main.c`, which reads frames from standard input, `CMakeLists.txt` and `build.sh`. Where there
    is a compiler, the program is built and run once, beside `ksr_runtime`, and both are compared
    with Keras. After `model_init` nothing is allocated, locked or thrown.

    Sequential and functional models of these layers can be written: LSTM, GRU, SimpleRNN, Dense and
    their block-sparse twins, RNN around their cells, Embedding, Conv1D with causal padding,
    BatchNormalization, LayerNormalization, RMSNormalization, Rescaling, activations,
    TimeDistributed, Add, Subtract, Multiply, Average, Concatenate, operations with numbers, models
    inside models, and layers that act in training only. A model whose last recurrent layer has
    `return_sequences=False` says at each frame what it would say if the sequence ended there.

    Args:
        model: a built Keras model. It is left as it is.
        folder: where to write, a path in a folder that exists. An earlier export there, or an empty
            folder, is replaced. It is written whole or not at all.
        weights: `"float32"`, `"bfloat16"` or `"int8"`. Layers that are quantised already keep what
            they have.
        activations: `"int8"`, with int8 weights only, rounds inputs and states to integers, too,
            inputs by the largest of each frame. To calibrate ranges, use `ksr.substitute` first.
        name: what the files and functions are called instead of `model`: a C identifier.
        metadata: a dict of JSON's values to keep in the file, such as `{"sample_rate": 16000,
            "labels": [...]}`: `ksr_runtime.Model.notes` has them.
        sample: inputs to compare on, in the model's structure, for a model that random inputs do
            not suit.
        tolerance: the largest difference from Keras that is let pass, relative to the largest
            output where that is above 1. None: 1e-4 for float32 weights, 0.03 for bfloat16, 0.1 for
            int8, for random inputs say little about what rounding costs: measure that on your data;
            and outputs below 1 must be recognizable (see `keras_sparse_rnn.export.likeness`).
        seed: of the random inputs.

    Returns:
        A `CSummary`.

    Raises:
        ValueError: an argument is not as described, a layer cannot run frame by frame, or the
            outputs differ from Keras's. Nothing is left on disk then; what was at `folder` stays.
        OSError: `ksr_runtime` was installed without its native library.
    """
    check_choice(weights, WEIGHTS, "weights")
    check_activations(activations, weights)
    if tolerance is not None:
        checks.check_positive(tolerance, "tolerance")
    checks.check_seed(seed)
    _check_name(name)
    target = _check_folder(folder, name)
    check_keras_model(model)
    if not model.built:
        raise ValueError(
            "`model` must be built: give it an Input, or call it once on data. "
            f"Received: model={model.name!r}, which has no weights yet"
        )
    checks.check_finished(model)
    content = graph.write(model, weights, activations).bytes(
        _notes(model, weights, activations, metadata)
    )
    runtime = ksr_runtime.Model.from_bytes(content)
    for_all = [
        ksr_runtime.Model.from_bytes(content, one) for one, _, _ in folders.instruction_sets()
    ]
    memory = max(one.size + one.stream_size for one in for_all)
    stream = max(one.stream_size for one in for_all)
    inputs, pairs = comparison.trial(model, runtime, sample, seed)
    expected = [wanted for _, wanted in pairs[: len(runtime.outputs)]]
    command = compiler()
    with placed(target) as temporary:
        written = pathlib.Path(temporary)
        written.mkdir()
        folders.write(written, name, model.name, content, runtime, memory, stream)
        code = None
        if command:
            program = Program(written, name, command)
            try:
                pairs += comparison.of_program(
                    program.run([each[0] for each in inputs]), runtime, expected
                )
                code = program.size - len(content)
            finally:
                program.close()
        quantized = [weights, *(_own_weights(layer) for layer in private_keras.inner_layers(model))]
        most = max(quantized, key=lambda one: comparison.TOLERANCES[one])
        largest = comparison.compare(model, pairs, tolerance, most)
    return CSummary(
        folder=os.fspath(folder),
        bytes=len(content),
        dense_bytes=4 * sum(each.size for each in _dense_weights(model)),
        memory=memory + folders.OWN,
        largest_error=largest,
        code_bytes=code,
        compiler=command,
    )


def _check_name(name):
    taken = (folders.KEYWORDS | folders.TAKEN | folders.FILES) - {"model"}
    good = isinstance(name, str) and re.fullmatch("[A-Za-z][A-Za-z0-9_]{,39}", name)
    if not good or name.lower() in taken or name.lower().startswith("ksr"):
        raise ValueError(
            "`name` must be a C identifier of at most 40 letters, digits and underscores that "
            "begins with a letter and not with ksr, and no word of C or C++, nor one that the "
            f"written files, C's headers or CMake use. Received: name={name!r}"
        )


def _check_folder(folder, name):
    """The path of the folder, if it can be written there."""
    try:
        target = pathlib.Path(os.path.realpath(os.fsdecode(folder)))
    except TypeError:
        raise ValueError(
            f"`folder` must be the path of a folder. Received: folder={folder!r}"
        ) from None
    if not target.parent.is_dir():
        raise ValueError(f"`folder` must be in a folder that exists. Received: folder={folder!r}")
    if target.exists() and not target.is_dir():
        raise ValueError(f"`folder` must be no file. Received: folder={folder!r}")
    found = {path.name for path in target.iterdir()} if target.is_dir() else set()
    # A program of somebody's own may have a main.c, too.
    others = sorted(found - folders.names(name) if f"{name}.ksr" in found else found)
    if others:
        raise ValueError(
            "`folder` must be new, empty, or an earlier export of this name, which is replaced. "
            f"Received: folder={folder!r}, which has {', '.join(others)}"
        )
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ValueError(
            f"`folder` must be in a folder that can be written to ({error.strerror}). Received: "
            f"folder={folder!r}"
        ) from None
    return target


def _notes(model, weights, activations, metadata):
    """What the file says of itself."""
    kernels = [each for each in _dense_weights(model) if each.ndim > 1]
    live = sum(np.count_nonzero(each) for each in kernels)
    notes = {
        "writer": f"keras_sparse_rnn {version()}",
        "name": model.name,
        "weights": weights,
        "activations": activations,
        "sparsity": round(1 - live / max(sum(each.size for each in kernels), 1), 4),
    }
    try:
        taken = sorted(notes.keys() & (metadata or {}))
        notes |= {} if metadata is None else metadata
        json.dumps(notes, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError(
            f"`metadata` must be a dict of JSON's values. Received: metadata={metadata!r}"
        ) from None
    if taken:
        raise ValueError(
            "`metadata` must have other names than what the file says of itself: "
            f"{', '.join(taken)}. Received: metadata={metadata!r}"
        )
    return notes


def _own_weights(layer):
    return getattr(layer, "weights_choice", "float32")


def _dense_weights(model):
    """All weights of the model, float32, those of block-sparse layers dense."""
    layers = private_keras.inner_layers(model)
    sparse = [layer for layer in layers if hasattr(layer, "dense_kernels")]
    packed = {id(variable) for layer in sparse for variable in layer.weights}
    for layer in sparse:
        yield from layer.dense_kernels()
        if layer.bias is not None:
            yield np.asarray(layer.bias)
    for variable in model.weights:
        if id(variable) not in packed:
            yield np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
