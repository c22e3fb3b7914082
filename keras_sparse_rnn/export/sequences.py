"""What `export_litert` does for a file that runs on whole sequences."""

import numpy as np

from keras_sparse_rnn.export import conversion, signature, verification
from keras_sparse_rnn.export.samples import Trial


class Sequences:
    """The model, the inputs of the file, and those that the file is compared on.

    Args:
        model: a built Keras model.
        given: the arguments `input_signature`, `batch_size`, `steps`, by name.
        sample: the inputs to compare on, or None.
        seed: of random ones.

    Raises:
        ValueError: an argument is not as `export_litert` describes it.
    """

    info = {}

    def __init__(self, model, given, sample, seed):
        self.model = model
        self._structure, self._own = signature.inputs_of(model, given["input_signature"])
        self._specs = signature.specs_of(model, self._own, given["batch_size"], given["steps"])
        trial = Trial(model, self._own, self._structure, self._specs, given)
        self._samples = trial.samples(sample, np.random.default_rng(seed))
        names = signature.output_names(model)
        self._names = names and signature.unique(names)

    def convert(self):
        """The bytes of the file, weights dense."""
        content, self._names = conversion.convert(
            self.model, self._structure, self._specs, self._names
        )
        return content

    def compare(self, path, num_threads, rounded, integers):
        """The largest difference of the file from Keras, where the layers `integers` compute with
        the activations that they have, see `verification.largest_difference`.
        """
        differences = [
            verification.compare(
                self.model,
                self._structure,
                path,
                self._specs,
                self._names,
                inputs,
                num_threads,
                rounded,
                integers,
            )
            for inputs in self._samples
        ]
        return tuple(max(each) for each in zip(*differences))

    def milliseconds(self, path, num_threads):
        """The median time of an inference, how many steps it has, and what it is, in words."""
        inputs = self._samples[0]
        shapes = [array.shape for array in inputs]
        steps = signature.steps_in(shapes, self._own)
        batch = shapes[0][0] if shapes[0] else 1
        time = verification.milliseconds(path, self._specs, inputs, num_threads)
        return time, steps, f"one inference of {steps} steps, batch {batch}"
