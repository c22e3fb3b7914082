"""What an exported model says, beside what Keras says."""

import keras
import numpy as np

from keras_sparse_rnn import private_keras, running
from keras_sparse_rnn.export import conversion, likeness, signature

FRAMES = 24  # of a sequence whose length is open
SHORT = (1, 2)  # of more sequences, which have not forgotten how they began
TOLERANCES = {"float32": 1e-4, "bfloat16": 3e-2, "int8": 0.1}


def trial(model, runtime, sample, seed):
    """Inputs, a list of float32 arrays `[batch, steps, width]`, and pairs of what the file and what
    Keras makes of them and, where their length is open, of their first steps.
    """
    structure, specs = signature.inputs_of(model, None)
    if sample is None:
        rng, sample = np.random.default_rng(seed), []
        for spec, port in zip(specs, runtime.inputs):
            shape = (spec.shape[0] or 2, spec.shape[1] or FRAMES, *spec.shape[2:])
            whole = port.tokens or "int" in str(spec.dtype)  # numbers that Keras would cut off
            array = rng.integers(0, port.tokens or 5, shape) if whole else rng.normal(size=shape)
            sample.append(array.astype("int32" if port.tokens else "float32"))
    else:
        sample = [np.asarray(each) for each in keras.tree.flatten(sample)]
    arrays = runtime.checked(sample)
    steps = arrays[0].shape[1]
    lengths = [steps]
    if all(spec.shape[1] is None for spec in specs):
        lengths += [length for length in SHORT if length < steps]
    with private_keras.computing_in_float32(private_keras.inner_layers(model)):
        pairs = []
        for length in lengths:
            tensors = [keras.ops.convert_to_tensor(each[:, :length]) for each in sample]
            with running.states_at_zero(model):
                outputs = conversion.call(model, structure, tensors)
            expected = [np.asarray(each) for each in outputs]
            results = runtime.run([each[:, :length] for each in arrays])
            results = list(results.values()) if isinstance(results, dict) else [results]
            pairs += zip(results, expected, strict=True)
    return arrays, pairs


def of_program(printed, runtime, expected):
    """What the program printed beside what Keras says, for the first sequence."""
    ends = np.cumsum([port.width for port in runtime.outputs])[:-1]
    results = np.split(printed, ends, axis=1)
    for port, result, wanted in zip(runtime.outputs, results, expected, strict=True):
        yield result[-1] if port.last else result, wanted[0]


def compare(model, pairs, tolerance, rounded):
    """The largest difference.

    Args:
        tolerance: how large it may be, or None: that of the `rounded` weights, and outputs that are
            small must be those that are expected, too.
        rounded: the weights that have been rounded most.
    """
    judged, tolerance = tolerance is None, tolerance or TOLERANCES[rounded]
    largest = 0.0
    for result, wanted in pairs:
        if result.shape != wanted.shape:
            difference = relative = np.inf
        elif judged and likeness.is_another(wanted, result, rounded != "float32"):
            raise ValueError(likeness.REFUSAL.format(where="C", name=model.name))
        else:
            difference = float(np.abs(result.astype(np.float64) - wanted).max(initial=0.0))
            relative = difference / max(1.0, float(np.abs(wanted).max(initial=0.0)))
        if not relative <= tolerance:
            raise ValueError(
                "`model` must give the same outputs in C as in Keras, to a tolerance of "
                f"{tolerance:g}; nothing was written. Received: model={model.name!r}, whose "
                "outputs "
                + (
                    f"differ by up to {difference:.3g}"
                    if np.isfinite(difference)
                    else "are not finite or have another shape"
                )
            )
        largest = max(largest, difference)
    return largest
