"""The inputs that a file is compared with Keras on, and the proof that the model runs on inputs of
these shapes: said here, in words, before anything is converted.
"""

import re

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import running
from keras_sparse_rnn.export import conversion, signature, verification


class Trial:
    """What was asked of `export_litert`, to try and to tell what does not go.

    Args:
        model: the model.
        own: the flat list of the inputs as the model, or `input_signature`, has them.
        structure: the structure that `model` takes its inputs in.
        specs: the flat list of `tf.TensorSpec` of the file.
        given: the arguments `input_signature`, `batch_size`, `steps`, by name; None if not given.
    """

    def __init__(self, model, own, structure, specs, given):
        self.model, self.own, self.structure, self.specs = model, own, structure, specs
        self.given = {name: value for name, value in given.items() if value is not None}
        self.overridden = signature.overridden(own, specs)

    def samples(self, sample, rng):
        """The inputs to compare on, a list of flat lists of arrays: `sample`, or else random ones,
        a second time on other sizes if any are open.

        Raises:
            ValueError: `sample` does not fit the file, or the model does not run on any of the
                shapes.
        """
        if sample is not None:
            return [self._given(sample)]
        return [
            self._that_runs(candidates, rng) for candidates in signature.sizes_to_try(self.specs)
        ]

    def _given(self, sample):
        flat = [np.asarray(array) for array in keras.tree.flatten(sample)]
        fits = len(flat) == len(self.specs) and all(
            spec.shape.is_compatible_with(array.shape) for spec, array in zip(self.specs, flat)
        )
        if not fits:
            wanted = ", ".join(f"{spec.name} {tuple(spec.shape)}" for spec in self.specs)
            raise ValueError(
                f"`sample` must have an array for each input of the file, {wanted}. "
                f"Received: arrays of shape {_listed(flat)}"
            )
        if self._needs_trying():
            self._that_can_be([[array.shape for array in flat]])
        return [array.astype(spec.dtype.as_numpy_dtype) for spec, array in zip(self.specs, flat)]

    def _that_runs(self, candidates, rng):
        """Random inputs of the first of the `candidates`, which are lists of shapes, that the model
        runs on.
        """
        tried = len(candidates) > 1 or "steps" in self.given or self._needs_trying()
        shapes = self._that_can_be(candidates) if tried else candidates[0]
        return verification.random_inputs(self.model, self.specs, shapes, rng)

    def _needs_trying(self):
        """Whether the shapes are not the model's own."""
        return self.overridden or "input_signature" in self.given

    def _that_can_be(self, candidates):
        dtypes = [spec.dtype for spec in self.specs]
        for shapes in candidates:
            try:
                conversion.try_shapes(
                    self.model,
                    self.structure,
                    [tf.TensorSpec(*each) for each in zip(shapes, dtypes)],
                )
                return shapes
            except Exception as error:  # whatever a layer says about what it cannot take
                cause = error
        raise ValueError(self._complaint(candidates, said(cause))) from cause

    def _complaint(self, candidates, said):
        name = self.model.name
        if self.overridden:
            return self._contradiction(candidates, said)
        if "input_signature" in self.given:
            return (
                "`input_signature` must be what the model is called on, with a keras.KerasTensor "
                "or tf.TensorSpec in place of each array. Received: "
                f"input_signature={self.given['input_signature']!r}, on which model {name!r} does "
                f"not run: {said}"
            )
        tried = ", ".join(
            str(length)
            for length in dict.fromkeys(
                signature.steps_in(shapes, self.own) for shapes in candidates
            )
        )
        return (
            "`steps` must be a length that the model can run; if it is open, give `sample`, inputs "
            f"that the model runs on. Received: steps={self.given.get('steps')!r}, and model "
            f"{name!r} does not run on {tried} steps: {said}"
        )

    def _contradiction(self, candidates, said):
        asked = {key: self.given[key] for key in ("batch_size", "steps") if key in self.given}
        tried = "; ".join(", ".join(map(str, shapes)) for shapes in candidates)
        shapes = [list(spec.shape) for spec in self.specs]
        if running.states_of(self.model):  # of a batch that must be fixed
            shapes = [[shape[0] or 1, *shape[1:]] for shape in shapes]
        wanted = ", ".join(str(tuple(shape)) for shape in shapes)
        one_input = getattr(self.model, "inputs", None) and len(shapes) == 1
        how = f"keras.Input(batch_shape={wanted})" if one_input else f"inputs of shape {wanted}"
        return (
            f"{' and '.join(f'`{key}`' for key in asked)} must be "
            f"{'a size' if len(asked) == 1 else 'sizes'} that the model runs on. Received: "
            f"{', '.join(f'{key}={value!r}' for key, value in asked.items())}, and model "
            f"{self.model.name!r}, built for {_listed(self.own)}, does not run on {tried}: "
            f"{said.rstrip('.')}. Build the same model on {how} and, where its weights have the "
            "same shapes then, copy them: new.set_weights(model.get_weights())"
        )


def _listed(tensors):
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or "none"


def said(error):
    """The line of an error that says what it is, without Keras's frame around it and its bold type,
    and TensorFlow's graph node.
    """
    # A KeyError prints what it is about as Python would write it.
    missing = isinstance(error, KeyError) and len(error.args) == 1
    text = str(error.args[0]) if missing else str(error)
    frame = r"\x1b\[\d*m|\{\{function_node [^}]*\}\} ?| for '\{\{node.*| \[Op:.*"
    lines = [re.sub(frame, "", line).strip() for line in text.splitlines()]
    said = next(
        (
            line
            for line in lines
            if line and not line.startswith("Exception encountered when calling")
        ),
        repr(error),
    )
    return f"there is no {said!r}" if missing else said
