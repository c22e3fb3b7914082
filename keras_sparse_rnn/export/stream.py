"""A stream through a file that `export_litert(streaming=True)` wrote."""

import os

from keras_sparse_rnn.export import arrays, checks, info, library
from keras_sparse_rnn.export.interpreter import check_file
from keras_sparse_rnn.export.stepping import Stepper


class Stream:
    """Runs a file of `export_litert(streaming=True)` chunk by chunk, and keeps the states between
    them.

    >>> ksr.export_litert(model, "model.tflite", streaming=True, steps=1)     # doctest: +SKIP
    >>> stream = ksr.export.Stream("model.tflite")                            # doctest: +SKIP
    >>> for frame in frames:                                                  # doctest: +SKIP
    ...     outputs = stream(frame)  # [batch, 1, features] to [batch, 1, units]

    One object is one stream, for one thread at a time; open the file once more for another one. A
    frame that is NaN is not refused: it makes the states NaN, and so all outputs until `reset`.

    Args:
        path: the file.
        num_threads: how many threads the runtime may use; None leaves it to the runtime.

    Attributes:
        path: the file.
        steps: how many steps a chunk has.
        metadata: what the file says about the model, a dict; see `export_litert`.

    Raises:
        ValueError: there is no such file, it is cut short or damaged, not one of ours, or not one
            for streams; `num_threads` is not a positive integer.
    """

    def __init__(self, path, num_threads=None):
        if num_threads is not None:
            checks.check_threads(num_threads)
        if not isinstance(path, (str, os.PathLike)):
            raise ValueError(f"`path` must be the path of a file. Received: path={path!r}")
        self.path = os.fspath(path)
        said = info.read(check_file(self.path))
        self.metadata, found = info.told(said), said.get("streaming")
        if found is None:
            raise ValueError(
                "`path` must be a file that `export_litert(streaming=True)` wrote. Received: "
                f"path={self.path!r}, which runs on whole sequences: open it with "
                "`ksr.export.Interpreter`, or export the model again with streaming=True"
            )
        try:
            self.steps, self._outputs = found["steps"], found["outputs"]
            self._stepper = Stepper(self.path, found["states"], self._outputs, num_threads)
        except library.LibraryError:
            raise
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(
                f"`path` must be a file that LiteRT can run. Received: path={self.path!r}, and "
                f"LiteRT says: {error}"
            ) from error
        self._inputs = arrays.wanted(self._stepper.inputs)

    def __call__(self, chunk):
        """The outputs of the next chunk.

        An output that has the steps is `[batch, steps, ...]`, that of the chunk. Any other, such as
        that of a last layer with `return_sequences=False`, is what Keras gives on all steps since
        the stream began.

        Args:
            chunk: `[batch, steps, features]`, or `[batch, steps]` of integers, as the file takes
                it; where the model has several inputs, a dict of them by name.

        Returns:
            The output; where the model has several, a dict of them by name.

        Raises:
            ValueError: a chunk has another shape or type; the states are as they were then.
        """
        outputs = self._stepper.step(self._checked(chunk))
        return outputs if len(self._outputs) > 1 else outputs[self._outputs[0]]

    def reset(self):
        """Begins a new stream: all states are zero."""
        self._stepper.reset()

    def _checked(self, chunk):
        """The arrays of a chunk, by name."""
        if len(self._inputs) == 1 and not isinstance(chunk, dict):
            chunk = dict.fromkeys(self._inputs, chunk)
        if not isinstance(chunk, dict):
            raise ValueError(
                f"`chunk` must be a dict with the inputs {list(self._inputs)}. Received: a "
                f"{type(chunk).__name__}"
            )
        return arrays.named("chunk", chunk, self._inputs)
