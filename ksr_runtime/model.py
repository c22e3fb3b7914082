"""A model that `keras_sparse_rnn` exported, ready to run."""

import ctypes
import dataclasses
import json
import os
import tempfile

import numpy as np

from ksr_runtime import library, memory
from ksr_runtime.stream import Stream


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or an output of a model.

    Attributes:
        name: its name in the Keras model.
        width: the numbers of a frame.
        tokens: of an input of whole numbers, how many there are, from 0 on; else 0.
        last: of an output, whether it has the last frame's numbers only.
    """

    name: str
    width: int
    tokens: int
    last: bool


class Model:
    """A model in a file `model.ksr`, prepared for this processor.

    It never changes, and any number of threads may use it: each stream is one sequence's, or one
    batch's, and one thread's at a time. While the native code runs, other Python threads run, too.

    >>> model = ksr_runtime.Model("model.ksr")                     # doctest: +SKIP
    >>> y = model.run(x)              # [batch, steps, features]   # doctest: +SKIP
    >>> stream = model.stream()                                    # doctest: +SKIP
    >>> y = stream(x[:1, :1])         # frame by frame             # doctest: +SKIP

    Args:
        path: a file that `keras_sparse_rnn.export_c` or `Model.save` wrote.
        processor: the instruction set to prepare for, such as `"avx2"`; None: the best that this
            machine has. A file that `save` wrote is prepared already.

    Attributes:
        inputs, outputs: tuples of `Port`.
        notes: what stands in the file about the model, a dict.
        processor: the name of the instruction set.
        needs: which kernels it runs, `ksr_needs` of `ksr_model.h`.

    Raises:
        OSError: the file cannot be read, or the native library is missing.
        ValueError: it is no model's file, or damaged, cut short, of another version, or prepared
            for another processor.
    """

    def __init__(self, path, processor=None):
        self._received = f"path={os.fspath(path)!r}"
        self._open(memory.file_in_memory(path), processor)

    @classmethod
    def from_bytes(cls, content, processor=None):
        """The model of a file's bytes."""
        model = cls.__new__(cls)
        model._received = f"{len(content)} bytes"
        array = memory.aligned(len(content))[: len(content)]
        array[:] = np.frombuffer(content, np.uint8)
        model._open(array, processor)
        return model

    def _open(self, file, processor):
        native = library.library()
        name = None if processor is None else str(processor).encode()
        error, handle, size = library.Error(), ctypes.c_void_p(), ctypes.c_size_t()
        address = file.ctypes.data
        prepared = len(file) > memory.HEAD and file[memory.PREPARED] == 1
        if prepared:
            self._memory = file
            status = native.ksr_model_open(address, len(file), handle, error)
        else:
            status = native.ksr_model_size(address, len(file), name, size, error)
            if not status:
                self._memory = memory.aligned(size.value)
                status = native.ksr_model_prepare(
                    address, len(file), name, self._memory.ctypes.data, size.value, handle, error
                )
        if status == library.NO_MEMORY:
            raise MemoryError(error.text.decode())
        if status == library.NO_PROCESSOR and not prepared:
            raise ValueError(
                "`processor` must be None, or an instruction set by its name: "
                f"{error.text.decode(errors='replace')}. Received: processor={processor!r}"
            )
        if status:
            raise ValueError(
                "the file must be one that keras_sparse_rnn wrote, whole and for this machine: "
                f"{error.text.decode(errors='replace')}. Received: {self._received}"
            )
        self._handle, facts = handle.value, library.Facts()
        native.ksr_model_describe(self._handle, facts)
        self.processor = facts.processor.decode()
        self._stream_size = facts.stream_size
        self.needs = facts.needs
        self.notes = _json(ctypes.string_at(facts.notes, facts.notes_size))
        self.inputs = self._ports(native.ksr_model_input, facts.inputs)
        self.outputs = self._ports(native.ksr_model_output, facts.outputs)

    def _ports(self, describe, count):
        port, ports = library.Port(), []
        for number in range(count):
            describe(self._handle, number, port)
            name = port.name.decode(errors="replace")
            ports.append(Port(name, port.width, port.tokens, bool(port.last)))
        return tuple(ports)

    @property
    def size(self):
        """The bytes of the prepared model."""
        return len(self._memory)

    @property
    def stream_size(self):
        """The bytes of a stream."""
        return self._stream_size

    def stream(self, batch=1):
        """A new `Stream` of `batch` sequences, at their begin."""
        return Stream(self, batch)

    def run(self, x):
        """What the model makes of whole sequences, each from its begin.

        Args:
            x: `[batch, steps, features]`, tokens `[batch, steps]`; for several inputs a dict by
                their names, or a list in their order. Numbers are computed with as float32.

        Returns:
            float32 `[batch, steps, units]`, or `[batch, units]` of an output that Keras gives for
            the last step only; for several outputs a dict by their names.

        Raises:
            ValueError: the shape is another, or a token is not one of the model's.
        """
        arrays = self.checked(x)
        return self.stream(len(arrays[0])).run(arrays)

    def step(self, streams, x):
        """Runs streams whose frames have come together, in one call, in which a few of them at a
        time share each weight.

        Args:
            streams: a list of streams of this model, of one sequence each.
            x: as in `run`, where the batch are the streams, in their order.

        Returns:
            As `run`.
        """
        return Stream.together(self, streams).run(self.checked(x))

    def save(self, path):
        """Writes the prepared model to a file: it is mapped, not prepared, where it is opened, so
        that it is there at once, and processes share its memory. It is for machines with the same
        instruction set.
        """
        folder = os.path.dirname(os.path.abspath(path))
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as beside:
            temporary = os.path.join(beside, "new")
            with open(temporary, "wb") as file:
                file.write(self._memory)
            os.replace(temporary, path)

    def __reduce__(self):
        """Copies, and pickles for other processes, are prepared models of the same bytes."""
        return type(self).from_bytes, (self._memory.tobytes(),)

    def checked(self, x):
        """The inputs `x` as a list of float32 arrays `[batch, steps, width]`, one for each."""
        if isinstance(x, dict):
            if set(x) != {port.name for port in self.inputs}:
                raise ValueError(
                    f"`x` must have the inputs {', '.join(port.name for port in self.inputs)}. "
                    f"Received: {', '.join(map(str, x)) or 'none'}"
                )
            x = [x[port.name] for port in self.inputs]
        elif len(self.inputs) == 1 and not isinstance(x, (list, tuple)):
            x = [x]
        if len(x) != len(self.inputs):
            raise ValueError(
                f"`x` must have {len(self.inputs)} inputs, "
                f"{', '.join(port.name for port in self.inputs)}. Received: {len(x)}"
            )
        arrays = [self._array(port, one) for port, one in zip(self.inputs, x)]
        if any(array.shape[:2] != arrays[0].shape[:2] for array in arrays):
            raise ValueError(
                "`x` must have as many sequences, and steps, in each input. Received: shapes "
                f"{', '.join(str(array.shape) for array in arrays)}"
            )
        if 0 in arrays[0].shape[:2]:
            raise ValueError(
                "`x` must have at least one sequence and one step. Received: shape "
                f"{arrays[0].shape}"
            )
        return arrays

    @staticmethod
    def _array(port, x):
        array = np.ascontiguousarray(x, np.float32)
        if port.width == 1 and array.ndim == 2:
            array = array[:, :, None]
        if array.ndim != 3 or array.shape[2] != port.width:
            wanted = "[batch, steps]" if port.tokens else f"[batch, steps, {port.width}]"
            raise ValueError(
                f"the input {port.name!r} must be {wanted}. Received: shape {np.shape(x)}"
            )
        return array


def _json(text):
    """The notes of a file, whose writer may have been another."""
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}
