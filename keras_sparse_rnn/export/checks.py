"""The checks of `export_litert`'s arguments, made before anything takes long or is written."""

import numbers
import os
import tempfile

import keras

from keras_sparse_rnn import private_keras, running
from keras_sparse_rnn.checks import check_keras_model
from keras_sparse_rnn.ops import quantization

DYNAMIC = "dynamic"
RUNTIMES = "builtin", "ksr"


def check_options(runtime, weights, activations="float32"):
    """What a runtime computes with: LiteRT's own operators have no bfloat16."""
    if runtime not in RUNTIMES:
        raise ValueError(f"`runtime` must be 'builtin' or 'ksr'. Received: runtime={runtime!r}")
    for name, value, known, ours in (
        ("weights", weights, quantization.WEIGHTS, ["bfloat16"]),
        ("activations", activations, quantization.ACTIVATIONS, ["int8"]),
    ):
        others = [each for each in known if each not in ours]
        if value not in known:
            raise ValueError(
                f"`{name}` must be one of {', '.join(map(repr, known))}. Received: {name}={value!r}"
            )
        if runtime == "builtin" and value in ours:
            raise ValueError(
                f"`{name}` must be {' or '.join(map(repr, others))} with runtime='builtin'; "
                f"runtime='ksr' has {value!r}. Received: {name}={value!r}"
            )
    if activations == "int8" and weights != "int8":
        raise ValueError(
            "`activations` must be 'float32' where weights are not int8. Received: "
            f"activations={activations!r}, weights={weights!r}"
        )


def check_positive(value, name):
    """`tolerance` and the like."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not value > 0:
        raise ValueError(f"`{name}` must be a number above 0. Received: {name}={value!r}")


def check_threads(value):
    """`num_threads`."""
    if not _is_integer(value) or value < 1:
        raise ValueError(
            f"`num_threads` must be an integer of at least 1. Received: num_threads={value!r}"
        )


def check_seed(value):
    """`seed`."""
    if not _is_integer(value) or value < 0:
        raise ValueError(f"`seed` must be an integer of at least 0. Received: seed={value!r}")


def _is_integer(value):
    """An `int` or one of NumPy's; a bool is none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_size(value, name):
    """`batch_size` and `steps`: None (as the model has it), an integer of at least 1, or
    `"dynamic"`.
    """
    if value is None or (isinstance(value, str) and value == DYNAMIC):
        return
    if not _is_integer(value) or value < 1:
        raise ValueError(
            f"`{name}` must be None, an integer of at least 1, or 'dynamic'. Received: "
            f"{name}={value!r}"
        )


def check_flag(value, name):
    """`streaming`."""
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")


def check_chunk(batch_size, steps):
    """`batch_size` and `steps` of a file that takes chunks, whose sizes are fixed."""
    for name, value in (("batch_size", batch_size), ("steps", steps)):
        if value == DYNAMIC:
            raise ValueError(
                f"`{name}` must be an integer of at least 1 with streaming=True: a stream has "
                f"states and chunks of one size. Received: {name}={value!r}"
            )


def check_path(path):
    """Returns `path` as a string if a file can be written there."""
    try:
        text = os.path.abspath(os.fsdecode(path))
    except TypeError:
        raise ValueError(f"`path` must be the path of a file. Received: path={path!r}") from None
    suffix = os.path.splitext(text)[1]
    if suffix.lower() in (".keras", ".h5", ".hdf5"):
        raise ValueError(
            f"`path` must not end in {suffix!r}, by which Keras knows its own files: what is "
            "written is a LiteRT file, which wants another ending, .tflite above all; "
            f"`model.save` writes a Keras file. Received: path={path!r}"
        )
    try:
        os.lstat(text)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (
        OSError,
        ValueError,
    ) as error:  # a name that is too long, or has a character that names cannot have
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"`path` must be a path that a file can have ({reason}). Received: path={path!r}"
        ) from None
    folder = os.path.dirname(text)
    if os.path.isdir(text):
        raise ValueError(
            f"`path` must be the path of a file, and this is a directory. Received: path={path!r}"
        )
    if not os.path.isdir(folder):
        raise ValueError(f"`path` must be in a directory that exists. Received: path={path!r}")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"`path` must be in a directory that can be written to ({error.strerror}). Received: "
            f"path={path!r}"
        ) from None
    return text


def check_finished(model):
    """A model of which no layer trains at few bits: what these layers compute, substituted ones
    do.
    """
    training = [
        layer.name
        for layer in private_keras.inner_layers(model)
        if getattr(layer, "low_precision", None) is not None
    ]
    if training:
        raise ValueError(
            "`model` must have no layer of a `low_precision`, which is for training: export "
            'ksr.substitute(model), or ksr.substitute(model, weights="int8", activations="int8"), '
            f"whose integers are those of the training. Received: model={model.name!r} with "
            f"low_precision in {', '.join(map(repr, training))}"
        )


def check_model(model):
    """A built Keras model with a recurrent layer, none of them of a `low_precision`."""
    check_keras_model(model)
    if not model.built:
        raise ValueError(
            "`model` must be built: give it an Input, or call it once on data. "
            f"Received: model={model.name!r}, which has no weights yet"
        )
    if not running.recurrent_layers(model):
        layers = [
            layer
            for layer in private_keras.inner_layers(model)[1:]
            if not isinstance(layer, keras.layers.InputLayer)
        ]
        kinds = ", ".join(dict.fromkeys(type(layer).__name__ for layer in layers))
        raise ValueError(
            "`model` must have a recurrent layer (LSTM, GRU, SimpleRNN or RNN). "
            f"Received: model={model.name!r} with layers of type {kinds or 'none'}"
        )
    check_finished(model)
