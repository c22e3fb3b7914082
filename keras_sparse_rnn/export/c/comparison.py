"""What an exported model says, beside what Keras says."""

import keras
import numpy as np

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.export import conversion, signature

FRAMES = 24  # of a sequence whose length is open


def trial(model, runtime, sample, seed):
    """Inputs, a list of float32 arrays `[batch, steps, width]`, and what Keras makes of them."""
    structure, specs = signature.inputs_of(model, None)
    if sample is None:
        rng, sample = np.random.default_rng(seed), []
        for spec, port in zip(specs, runtime.inputs):
            shape = (spec.shape[0] or 2, spec.shape[1] or FRAMES, *spec.shape[2:])
            whole = rng.integers(0, port.tokens, shape) if port.tokens else rng.normal(size=shape)
            sample.append(whole.astype("int32" if port.tokens else "float32"))
    else:
        sample = [np.asarray(each) for each in keras.tree.flatten(sample)]
    arrays = runtime.checked(sample)
    changed = [
        layer
        for layer in conversion.layers_of(model)
        if layer.compute_dtype not in (None, "float32")
    ]
    with private_keras.computing_in_float32(changed), conversion.states_at_zero(model):
        tensors = [keras.ops.convert_to_tensor(each) for each in sample]
        outputs = [np.asarray(each) for each in conversion.call(model, structure, tensors)]
    return arrays, outputs


def of_program(printed, runtime, expected):
    """What the program printed beside what Keras says, for the first sequence."""
    ends = np.cumsum([port.width for port in runtime.outputs])[:-1]
    for port, result, wanted in zip(runtime.outputs, np.split(printed, ends, axis=1), expected):
        yield result[-1] if port.last else result, wanted[0]


def compare(model, pairs, tolerance):
    """The largest difference."""
    largest = 0.0
    for result, wanted in pairs:
        if result.shape != wanted.shape:
            difference = relative = np.inf
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
