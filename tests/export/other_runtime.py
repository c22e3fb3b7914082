"""Runs a file of our operator in the LiteRT of the Python that runs this script, by every front
door that it has, and prints how far the outputs are from those that Keras gave. It takes numpy and
ai_edge_litert alone:

    python other_runtime.py FOLDER

`own_files.py` writes the folder. Prints one line for each front door: its name, the difference, or
why there is none, and what it says of a damaged file. It fails where a difference is above 1e-5."""

import contextlib
import ctypes
import importlib.metadata
import pathlib
import re
import sys
import tempfile

import numpy as np

NAME, VERSION, CPU, HOST_MEMORY, FLOAT32, READ, WRITE = b"KsrCell", 1, 1, 1, 1, 0, 1


class Layout(ctypes.Structure):
    _fields_ = [
        ("rank", ctypes.c_uint, 7),
        ("has_strides", ctypes.c_uint, 1),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    ]


class RankedTensorType(ctypes.Structure):
    _fields_ = [("element_type", ctypes.c_int), ("layout", Layout)]


def in_interpreter(library, path, inputs):
    """The delegate, in the Interpreter."""
    from ai_edge_litert.interpreter import Interpreter, load_delegate

    interpreter = Interpreter(path, experimental_delegates=[load_delegate(library)])
    (output,) = interpreter.get_signature_runner()(**inputs).values()
    return output


class CompiledModel:
    """LiteRT's CompiledModel by its C interface, with our kernel as an option."""

    def __init__(self, library, path):
        import ai_edge_litert

        folder = pathlib.Path(ai_edge_litert.__file__).parent
        found = [*folder.glob("libLiteRt.so"), *folder.glob("libLiteRtRuntimeCApi.so")]
        if not found:
            raise LookupError("the wheel has no library of the C interface")
        self.runtime = ctypes.CDLL(str(found[0]), mode=ctypes.RTLD_GLOBAL)
        self.ours = ctypes.CDLL(library)
        for name in ("ksr_compiled_create", "ksr_compiled_kernel"):
            getattr(self.ours, name).restype = ctypes.c_void_p
        self.ours.ksr_compiled_error.restype = ctypes.c_char_p
        self.operators = ctypes.c_void_p(self.ours.ksr_compiled_create())
        self.environment = self._new("CreateEnvironment", 0, None)
        # From 2.1.6 on models belong to an environment.
        version = tuple(map(int, importlib.metadata.version("ai_edge_litert").split(".")))
        own = (self.environment,) if version >= (2, 1, 6) else ()
        self.model = self._new("CreateModelFromFile", *own, path.encode())
        options = self._new("CreateOptions")
        self._call("SetOptionsHardwareAccelerators", options, CPU)
        kernel = ctypes.c_void_p(self.ours.ksr_compiled_kernel())
        self._call("AddCustomOpKernelOption", options, NAME, VERSION, kernel, self.operators)
        self.compiled = self._new("CreateCompiledModel", self.environment, self.model, options)

    def _call(self, name, *arguments):
        status = getattr(self.runtime, f"LiteRt{name}")(*arguments)
        if status:
            raise RuntimeError(f"LiteRt{name} returns {status}")

    def _new(self, name, *arguments):
        made = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(made))
        return made

    def _buffer(self, array):
        kind = RankedTensorType(FLOAT32)
        kind.layout.rank = array.ndim
        kind.layout.dimensions[: array.ndim] = array.shape
        size = ctypes.c_size_t(array.nbytes)
        kind = ctypes.byref(kind)
        return self._new("CreateManagedTensorBuffer", self.environment, HOST_MEMORY, kind, size)

    @contextlib.contextmanager
    def _memory(self, buffer, array, mode):
        memory = ctypes.c_void_p()
        self._call("LockTensorBuffer", buffer, ctypes.byref(memory), mode)
        yield memory
        self._call("UnlockTensorBuffer", buffer)

    def __call__(self, x, output):
        """One run of a model of one input and one output, of the size of `output`."""
        buffers = [self._buffer(x), self._buffer(output)]
        with self._memory(buffers[0], x, WRITE) as memory:
            ctypes.memmove(memory, np.ascontiguousarray(x).ctypes.data, x.nbytes)
        lists = [(ctypes.c_void_p * 1)(buffer) for buffer in buffers]
        one, signature = ctypes.c_size_t(1), ctypes.c_size_t(0)
        self._call("RunCompiledModel", self.compiled, signature, one, lists[0], one, lists[1])
        received = np.empty_like(output)
        with self._memory(buffers[1], output, READ) as memory:
            ctypes.memmove(received.ctypes.data, memory, received.nbytes)
        return received

    def error(self):
        """What our kernel says was wrong."""
        return self.ours.ksr_compiled_error(self.operators).decode()


def in_compiled_model(library, path, inputs, expected):
    """Our kernel, as an option of a CompiledModel: two runs, of which the second finds the cells
    that the first has prepared.
    """
    model = CompiledModel(library, path)
    (x,) = inputs.values()
    first, second = (model(x, np.zeros_like(expected)) for _ in range(2))
    if not np.array_equal(first, second, equal_nan=True):
        raise RuntimeError("two runs differ")
    if model.error():
        raise RuntimeError(model.error())
    return second


def refusal(path, run):
    """What a front door says of the file with another byte in its first cell."""
    content = bytearray(pathlib.Path(path).read_bytes())
    content[content.index(b"ksr-file") + 400] ^= 1
    with tempfile.TemporaryDirectory() as folder:
        wrong = pathlib.Path(folder, "wrong.tflite")
        wrong.write_bytes(content)
        try:
            run(str(wrong))
        except RuntimeError as error:
            return re.search("KsrCell: checksum is 0x[0-9a-f]{16}", str(error))[0]
    raise AssertionError("a damaged file ran")


def main(folder):
    library, path = (
        str(pathlib.Path(folder, name).absolute()) for name in ("_ksr_delegate.so", "own.tflite")
    )
    inputs = dict(np.load(pathlib.Path(folder, "own.npz")))
    expected, largest = inputs.pop("expected"), 0.0
    for name, run in (
        ("Interpreter", lambda path: in_interpreter(library, path, inputs)),
        ("CompiledModel", lambda path: in_compiled_model(library, path, inputs, expected)),
    ):
        try:
            difference = np.abs(run(path) - expected).max()
            largest = max(largest, difference)
            said = refusal(path, run)
            print(f"{name}: {difference:.1e}, damaged: {said}", flush=True)
        except LookupError as error:
            print(f"{name}: none, {error}", flush=True)
    return 0 if largest < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
