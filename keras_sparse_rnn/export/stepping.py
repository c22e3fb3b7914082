"""Runs a file of `export_litert(streaming=True)` chunk by chunk, and checks nothing."""

import numpy as np

from keras_sparse_rnn.export import verification
from keras_sparse_rnn.export.quiet import quiet


class Stepper:
    """The stock interpreter on such a file, and the states of one stream.

    Args:
        path: the file.
        states: the names of the states, each an input and an output of the signature.
        outputs: the names of the other outputs, in the order in which they are wanted.
        num_threads: how many threads the runtime may use; None leaves it to the runtime.

    Attributes:
        interpreter: LiteRT's.
        inputs: `{name: details}` as the interpreter gives them, without the states.
    """

    def __init__(self, path, states, outputs, num_threads):
        self.interpreter = verification.open_file(path, num_threads)
        with quiet():
            self.interpreter.allocate_tensors()
            runner = self.interpreter.get_signature_runner()
        self.inputs, ends = dict(runner.get_input_details()), runner.get_output_details()
        self._states = [(self.inputs.pop(name)["index"], ends[name]["index"]) for name in states]
        self._outputs = {name: ends[name]["index"] for name in outputs}
        self._zeros = [
            np.zeros_like(self.interpreter.get_tensor(begin)) for begin, _ in self._states
        ]
        self.reset()

    def reset(self):
        """Lets the next chunk be the first of a stream."""
        self._next = self._zeros

    def set(self, arrays):
        """Sets the inputs, by name, and the states that the chunk before left."""
        for name, array in arrays.items():
            self.interpreter.set_tensor(self.inputs[name]["index"], array)
        for (begin, _), state in zip(self._states, self._next):
            self.interpreter.set_tensor(begin, state)

    def step(self, arrays):
        """One chunk of each input, by name, to the outputs, by name."""
        self.set(arrays)
        self.interpreter.invoke()
        self._next = [self.interpreter.get_tensor(end) for _, end in self._states]
        return {name: self.interpreter.get_tensor(end) for name, end in self._outputs.items()}
