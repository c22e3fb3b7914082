"""What is done to each number of a frame, or to a frame as a whole, as steps of a model's file."""

import functools

import keras
import numpy as np

from keras_sparse_rnn.activations import AllReLU
from keras_sparse_rnn.export.c import file
from keras_sparse_rnn.export.c.writer import Refused, native_name
from keras_sparse_rnn.export.cell_file import ACTIVATIONS
from keras_sparse_rnn.export.cells import array
from keras_sparse_rnn.ops.choice import activation_name

K = keras.layers
# What they do, they do in training.
NOTHING = (
    K.ActivityRegularization,
    K.AlphaDropout,
    K.Dropout,
    K.GaussianDropout,
    K.GaussianNoise,
    K.Identity,
    K.SpatialDropout1D,
)


def leaky(writer, source, slope):
    """`x` above zero and `slope * x` below, without rounding; `slope`: a number, or one for each
    number of a frame.
    """
    below = writer.activate("relu", writer.affine(-1.0, 0.0, source))
    return writer.add(writer.activate("relu", source), writer.affine(-slope, 0.0, below))


def hard_silu(writer, source):
    return writer.multiply(source, writer.activate("hard_sigmoid", source))


COMPOSED = {
    "hard_silu": hard_silu,
    "hard_tanh": lambda writer, source: writer.clip(-1.0, 1.0, source),
    "leaky_relu": lambda writer, source: leaky(writer, source, 0.2),  # Keras's default
    "relu6": lambda writer, source: writer.clip(0.0, 6.0, source),
}


def activate(writer, function, source):
    """Writes an activation: a function of Keras, an `AllReLU`, or a layer that is one."""
    if (native := native_name(function)) is not None:
        return writer.activate(native, source)
    if isinstance(function, AllReLU):
        return leaky(writer, source, function.slope if function.layer % 2 else -function.slope)
    if type(function) in NOTHING:
        return source
    if type(function) in WRITERS:
        if not function.built:
            raise Refused(
                f"its activation {function.name!r} has no weights yet; call the model once on data"
            )
        return WRITERS[type(function)](writer, function, source)
    if activation_name(function) not in COMPOSED:
        raise unknown(function, (*ACTIVATIONS, *sorted(COMPOSED)))
    return COMPOSED[activation_name(function)](writer, source)


def unknown(function, known):
    """The `Refused` of an activation that is not among `known`."""
    if isinstance(function, keras.Layer):
        what = f"{type(function).__name__}, a layer"
    elif activation_name(function) is None:
        what = f"{getattr(function, '__name__', function)}, which is none of Keras's"
    else:
        what = activation_name(function)
    return Refused(f"it has the activation {what}; use one of {', '.join(known)}")


def activation(writer, layer, source):
    return activate(writer, layer.activation, source)


def relu(writer, layer, source):
    """Of a layer or an operation."""
    if layer.threshold:
        raise Refused(f"it has threshold={layer.threshold:g}; use a ReLU without one")
    slope = float(layer.negative_slope)
    most = np.inf if layer.max_value is None else float(layer.max_value)
    limited = most != np.inf
    if slope and limited:
        raise Refused("it has a negative_slope and a max_value; use one of them")
    if slope:
        return leaky(writer, source, slope)
    return writer.clip(0.0, most, source) if limited else writer.activate("relu", source)


def leaky_relu(writer, layer, source):
    return leaky(writer, source, float(layer.negative_slope))


def prelu(writer, layer, source):
    slopes = array(layer.alpha)
    if slopes.size != slopes.shape[-1]:
        raise Refused("it has slopes for each step; use shared_axes=[1], the same at all steps")
    return leaky(writer, source, slopes.reshape(-1))


def softmax(writer, layer, source):
    _check_last(layer)
    return writer.activate("softmax", source)


def rescaling(writer, layer, source):
    return writer.affine(layer.scale, layer.offset, source)


def batch_normalization(writer, layer, source):
    _check_last(layer)
    mean, variance = (np.asarray(x, np.float64) for x in (layer.moving_mean, layer.moving_variance))
    scale = 1 / np.sqrt(variance + layer.epsilon)
    scale = scale * np.asarray(layer.gamma, np.float64) if layer.scale else scale
    offset = -mean * scale
    offset = offset + np.asarray(layer.beta, np.float64) if layer.center else offset
    return writer.affine(scale, offset, source)


def layer_normalization(writer, layer, source):
    _check_last(layer)
    if layer.rms_scaling:
        raise Refused("it has rms_scaling=True, against which Keras advises; use RMSNormalization")
    scale = array(layer.gamma) if layer.scale else 1.0
    offset = array(layer.beta) if layer.center else 0.0
    return writer.normalize(file.LAYER_NORM, (scale, offset), layer.epsilon, source)


def rms_normalization(writer, layer, source):
    _check_last(layer)
    return writer.normalize(file.RMS_NORM, (array(layer.scale),), layer.epsilon, source)


def _check_last(layer):
    axis = layer.axis
    if isinstance(axis, (list, tuple)) and len(axis) == 1:
        (axis,) = axis
    if axis not in (-1, 2):
        raise Refused(f"it has axis={axis}; use axis=-1")


FUNCTIONS = {
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Softmax": "softmax",
    "Tanh": "tanh",
}
RECTIFIERS = {"LeakyRelu": leaky_relu, "ReLU": relu}
# What `x + y`, `keras.ops.subtract` and so on are.
ARITHMETIC = ("Add", "Divide", "Multiply", "Negative", "Subtract", "TrueDivide")


def operation(writer, one, arguments, sources):
    """Writes an operation of `keras.ops`, of `keras.activations` or of Python's operators: of
    tensors, the registers `sources`, and of numbers among its `arguments`.
    """
    name = type(one).__name__
    if not type(one).__module__.startswith("keras."):
        raise Refused("it is an operation of your own; use those of Keras")
    if name in FUNCTIONS:
        if getattr(one, "axis", -1) != -1:
            raise Refused(f"it has axis={one.axis}; use axis=-1")
        return activate(writer, getattr(keras.activations, FUNCTIONS[name]), sources[0])
    if name in RECTIFIERS:
        return RECTIFIERS[name](writer, one, sources[0])
    if name not in ARITHMETIC:
        known = ", ".join(sorted((*FUNCTIONS, *RECTIFIERS, *ARITHMETIC)))
        raise Refused(f"it is not among the operations that are known here: {known}")
    if name == "Negative":
        return writer.affine(-1.0, 0.0, sources[0])
    divides = name.endswith("Divide")
    if len(sources) == 2 and not divides:
        return {"Add": add, "Subtract": subtract, "Multiply": multiply}[name](writer, one, sources)
    first = isinstance(arguments[0], keras.KerasTensor)
    if divides and not (first and len(sources) == 1):
        raise Refused("it divides by a tensor; multiply by what a layer gives")
    tensor, value = arguments[:2] if first else arguments[1::-1]
    number = _number(value, tensor.shape)
    if divides:
        if np.any(number == 0):
            raise Refused("it divides by zero")
        return writer.affine(1.0 / number, 0.0, sources[0])
    if name == "Multiply":
        return writer.affine(number, 0.0, sources[0])
    if name == "Subtract":
        return writer.affine(*((1.0, -number) if first else (-1.0, number)), sources[0])
    return writer.affine(1.0, number, sources[0])


def _number(value, shape):
    """A number, or one for each number of the frames of a tensor of this shape, in float64."""
    given = np.asarray(keras.ops.convert_to_numpy(value), np.float64)
    if (
        given.size not in (1, shape[-1])
        or given.ndim > len(shape)
        or (given.size > 1 and given.shape[-1] != shape[-1])
    ):
        raise Refused(
            f"it has an array of shape {given.shape} beside frames of {shape[-1]} numbers; use one "
            f"number, or {shape[-1]}"
        )
    return given.reshape(-1)


def _merged(writer, step, sources):
    """The register of `step` of the first two, of that and the third, and so on."""
    widths = [writer.width(source) for source in sources]
    if len(set(widths)) > 1:
        raise Refused(f"its inputs have {widths} numbers in a frame; give them the same")
    return functools.reduce(step, sources)


def add(writer, layer, sources):
    return _merged(writer, writer.add, sources)


def average(writer, layer, sources):
    return writer.affine(1 / len(sources), 0.0, add(writer, layer, sources))


def subtract(writer, layer, sources):
    return _merged(writer, writer.subtract, sources)


def multiply(writer, layer, sources):
    return _merged(writer, writer.multiply, sources)


def concatenate(writer, layer, sources):
    _check_last(layer)
    widths = [writer.width(source) for source in sources]
    out = writer.file.register(sum(widths))
    for number, source in enumerate(sources):
        place = sum(widths[:number])
        writer.file.step(file.COPY, source, sum(widths), out=out, place=place)
    return out


MERGING = {
    K.Add: add,
    K.Average: average,
    K.Concatenate: concatenate,
    K.Multiply: multiply,
    K.Subtract: subtract,
}
FLOATING = K.BatchNormalization, K.Rescaling  # they give float32, whatever they read
WRITERS = {
    K.Activation: activation,
    K.BatchNormalization: batch_normalization,
    K.LayerNormalization: layer_normalization,
    K.LeakyReLU: leaky_relu,
    K.PReLU: prelu,
    K.ReLU: relu,
    K.Rescaling: rescaling,
    K.Softmax: softmax,
}
if hasattr(K, "RMSNormalization"):  # from Keras 3.9 on
    WRITERS[K.RMSNormalization] = rms_normalization
