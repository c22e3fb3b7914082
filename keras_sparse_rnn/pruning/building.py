"""Building a model that has no `Input`, as Keras does it: by its first batch."""

import re
import warnings

import keras


def build(model, iterator):
    """Builds `model` for the batches of `iterator`, by a call on symbolic tensors of their shapes.

    Returns:
        None, or what has gone wrong, in a line. A model need not be callable to be trained, and may
        have all that matters built.
    """
    try:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(iterator.element_spec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Keras warns of is raised right after
            model(keras.tree.map_structure(_symbolic, x))
    except Exception as error:
        return f"{type(error).__name__}: {_cause(str(error))}"
    return None


def _cause(text):
    """The line of an error that says what it is, without the frame that Keras puts around it."""
    text = re.sub(r"\x1b\[\d*m", "", text.split("Error encountered:")[-1])  # bold type, too
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "Exception encountered when calling" not in line), text)


def _symbolic(spec):
    return keras.KerasTensor(spec.shape, dtype=spec.dtype.name)
