"""Runs an exported file in the interpreter and compares it with Keras."""

import statistics
import time

import keras
import numpy as np

from keras_sparse_rnn import private_keras, running
from keras_sparse_rnn.export import conversion, likeness, own_operators
from keras_sparse_rnn.export.quiet import quiet

LONGEST_TIMING = 0.5  # seconds


def random_inputs(model, specs, shapes, rng):
    """A flat list of random arrays that the model accepts.

    Integers stay below the smallest vocabulary of the model's Embedding (and one-hot) layers. Where
    the model masks steps, some inputs have steps to be masked: a few anywhere, and the last third
    of the first sequence.
    """
    layers = private_keras.inner_layers(model)
    sizes = [
        getattr(layer, name)
        for layer in layers
        for name in ("input_dim", "num_tokens")
        if _is_size(layer, name)
    ]
    vocabulary = min(sizes, default=2)
    masks = [layer.mask_value for layer in layers if isinstance(layer, keras.layers.Masking)]
    masks_zero = any(getattr(layer, "mask_zero", False) for layer in layers)
    inputs = []
    for spec, shape in zip(specs, shapes):
        kind = np.dtype(spec.dtype.as_numpy_dtype)
        whole = kind.kind in "iu"
        if kind.kind == "b":
            array = rng.random(shape) < 0.8
        elif whole:
            array = rng.integers(0, vocabulary, shape)
        else:
            array = rng.normal(size=shape)
        value = (
            0
            if whole and masks_zero
            else masks[0]
            if masks and not whole and len(shape) > 2
            else None
        )
        if value is not None and len(shape) > 1:
            array[rng.random(shape[:2]) < 0.1] = value
            array[0, shape[1] - shape[1] // 3 :] = value
        inputs.append(array.astype(kind))
    return inputs


def _is_size(layer, name):
    return isinstance(layer, (keras.layers.Embedding, keras.layers.CategoryEncoding)) and getattr(
        layer, name, None
    )


def open_file(path, num_threads):
    """A stock interpreter on the file, with our delegate where the file has our operator."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        return Interpreter(
            model_path=path,
            num_threads=None if num_threads is None else int(num_threads),
            experimental_delegates=own_operators.delegates_for(path),
        )


def run(interpreter, specs, inputs):
    """One inference by the signature; returns the outputs by name."""
    with quiet():
        return interpreter.get_signature_runner()(
            **{spec.name: array for spec, array in zip(specs, inputs)}
        )


def compare(model, structure, path, specs, names, inputs, num_threads, rounded, integers):
    """The `largest_difference` of the file's outputs from Keras's on `inputs`, where the layers
    `integers` compute with the activations that they have, others in float32.

    A stateful model is run twice, from zero states, so that what it carries over is compared too.
    """
    interpreter = open_file(path, num_threads)
    pairs = []
    with conversion.full_precision(model, integers), running.states_at_zero(model):
        for _ in range(2 if running.states_of(model) else 1):
            expected = conversion.call(
                model, structure, [keras.ops.convert_to_tensor(array) for array in inputs]
            )
            try:
                received = run(interpreter, specs, inputs)
            except RuntimeError as error:
                raise ValueError(
                    "`model` must run in LiteRT's interpreter; nothing was written. Received: "
                    f"model={model.name!r}, which on inputs of shape "
                    f"{', '.join(str(array.shape) for array in inputs)} says: {error}"
                ) from error
            pairs += [(np.asarray(one), received[name]) for name, one in zip(names, expected)]
    return largest_difference(pairs, rounded)


def largest_difference(pairs, rounded):
    """The largest difference in `pairs` of arrays, expected and received, absolute and relative to
    `max(1, largest output)`; infinite if shapes differ or something is not finite. And whether one
    of the received `likeness.is_another`.
    """
    absolute = relative = 0.0
    another = False
    for array, other in pairs:
        array, other = np.asarray(array, np.float64), np.asarray(other, np.float64)
        if array.shape != other.shape or not (
            np.isfinite(array).all() and np.isfinite(other).all()
        ):
            return np.inf, np.inf, True
        another |= likeness.is_another(array, other, rounded)
        largest = float(np.abs(array - other).max(initial=0.0))
        absolute = max(absolute, largest)
        relative = max(relative, largest / max(1.0, float(np.abs(array).max(initial=0.0))))
    return absolute, relative, another


def milliseconds(path, specs, inputs, num_threads):
    """The median time of an inference, after one to warm up: up to 20 of them, or as many as half a
    second allows.
    """
    interpreter = open_file(path, num_threads)
    run(interpreter, specs, inputs)
    with quiet():
        runner = interpreter.get_signature_runner()
        arguments = {spec.name: array for spec, array in zip(specs, inputs)}
        times, started = [], time.perf_counter()
        while len(times) < 3 or (
            len(times) < 20 and time.perf_counter() - started < LONGEST_TIMING
        ):
            before = time.perf_counter()
            runner(**arguments)
            times.append(time.perf_counter() - before)
    return 1e3 * statistics.median(times)
