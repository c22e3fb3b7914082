"""LiteRT's interpreter for the files that `export_litert` writes."""

import os

from keras_sparse_rnn.export import arrays, checks, info, integrity, library, verification


class Interpreter:
    """Runs a file that `export_litert` wrote, and says what is wrong with one that it did not.

    Calling it runs one inference by the names of the inputs; everything that
    `ai_edge_litert.interpreter.Interpreter` has is there too. A file of `runtime="ksr"` gets the
    delegate that runs our operators; without it the stock interpreter says "Encountered unresolved
    custom op: KsrCell".

    >>> interpreter = ksr.export.Interpreter("model.tflite")                  # doctest: +SKIP
    >>> interpreter(tokens=tokens)["logits"]                                  # doctest: +SKIP

    Args:
        path: the file.
        num_threads: how many threads the runtime may use; None leaves it to the runtime.

    Attributes:
        metadata: what the file says about the model, a dict; see `export_litert`.

    Raises:
        ValueError: there is no such file, it is cut short or damaged, not a LiteRT file, or not one
            of ours; `num_threads` is not a positive integer; it has our operators, and their
            library was not built.
    """

    def __init__(self, path, num_threads=None):
        if num_threads is not None:
            checks.check_threads(num_threads)
        if not isinstance(path, (str, os.PathLike)):
            raise ValueError(f"`path` must be the path of a file. Received: path={path!r}")
        self.path, self.num_threads = os.fspath(path), num_threads
        self.metadata = info.told(info.read(check_file(self.path)))
        self.reset_states()

    def reset_states(self):
        """Sets the states of stateful layers to zero, by starting afresh: LiteRT has no call that
        does it.
        """
        try:
            self._interpreter = verification.open_file(self.path, self.num_threads)
            # which are 1 until an inference says what they are, and 1 may be too small for the
            # model
            if not self._has_open_sizes():
                self._interpreter.allocate_tensors()
        except library.LibraryError:
            raise
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"`path` must be a file that LiteRT can run. Received: path={self.path!r}, and "
                f"LiteRT says: {error}"
            ) from error

    def _has_open_sizes(self):
        return any(
            (each["shape_signature"] < 0).any() for each in self._interpreter.get_input_details()
        )

    def __call__(self, **inputs):
        """One inference; returns the outputs by name.

        Raises:
            ValueError: an input is missing, or has another shape or type than the file's.
        """
        runner = self._interpreter.get_signature_runner()
        return runner(**arrays.named("{}", inputs, arrays.wanted(runner.get_input_details())))

    def __getattr__(self, name):
        if name == "_interpreter":
            raise AttributeError(name)
        return getattr(self._interpreter, name)


def check_file(path):
    """Returns the bytes of `path`; raises a `ValueError` unless it is a whole file of
    `export_litert`'s.
    """
    if not os.path.isfile(path):
        raise ValueError(
            f"`path` must be a file that `export_litert` wrote. Received: path={path!r}, which "
            "is not a file"
        )
    with open(path, "rb") as file:
        content = file.read()
    wrong = integrity.problem(content)
    if wrong:
        raise ValueError(
            f"`path` must be a file that `export_litert` wrote. Received: path={path!r} of "
            f"{len(content)} bytes, {wrong}"
        )
    return content
