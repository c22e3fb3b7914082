"""Sequences that come in chunks."""

import ctypes
import threading

import numpy as np

from ksr_runtime import library, memory


class Stream:
    """One sequence, or a batch of them, that a model runs chunk by chunk. `Model.stream` makes it.

    >>> stream = model.stream()                                    # doctest: +SKIP
    >>> for chunk in chunks: y = stream(chunk)                     # doctest: +SKIP
    >>> stream.reset()                                             # doctest: +SKIP

    It is one thread's at a time; several streams of one model run in several threads.
    """

    def __init__(self, model, batch=1):
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise ValueError(f"`batch` must be an integer of at least 1. Received: batch={batch!r}")
        self._prepare(model)
        self._memory = memory.aligned(batch * model.stream_size)
        first, handle = self._memory.ctypes.data, ctypes.c_void_p()
        for number in range(batch):
            begin = first + number * model.stream_size
            _check(self._native.ksr_stream_init(model._handle, begin, model.stream_size, handle))
        self._streams = _pointers([first + n * model.stream_size for n in range(batch)])
        self.batch = batch

    @classmethod
    def together(cls, model, streams):
        """A stream that stands for `streams`, of one sequence each, in their order."""
        for stream in streams:
            if not isinstance(stream, Stream) or stream._model is not model or stream.batch != 1:
                raise ValueError(
                    "`streams` must be streams of this model, of one sequence each. Received: "
                    f"{stream!r}"
                )
        if not streams or len({id(stream) for stream in streams}) < len(streams):
            raise ValueError(
                f"`streams` must be one stream or more, each once. Received: {len(streams)} streams"
            )
        all_of_them = cls.__new__(cls)
        all_of_them._prepare(model)
        all_of_them._memory = list(streams)
        all_of_them._locks = [stream._locks[0] for stream in streams]
        all_of_them._streams = _pointers([stream._streams[0] for stream in streams])
        all_of_them.batch = len(streams)
        return all_of_them

    def _prepare(self, model):
        self._model, self._native = model, library.library()
        self._handle = model._handle
        self._one = model.inputs[0].width if len(model.inputs) == 1 else 0
        self._locks = [threading.Lock()]
        self._shape = None

    def __call__(self, chunk):
        """The outputs of the next steps of the sequences.

        Args:
            chunk: `[batch, steps, features]`, tokens `[batch, steps]`; several inputs as in
                `Model.run`. The number of steps may change from call to call.

        Returns:
            As `Model.run`: float32 `[batch, steps, units]`; `[batch, units]`, of the last of these
            steps, where the Keras model gives the last step's only.

        Raises:
            ValueError: the shape is another, or a token is not one of the model's. The stream is as
                it was then.
            RuntimeError: another thread is using the stream.
        """
        if type(chunk) is np.ndarray and chunk.shape == self._shape and self._one:
            return self._run([chunk])
        return self.run(self._model.checked(chunk))

    def run(self, arrays):
        """As a call, on what `Model.checked` returns."""
        if arrays[0].shape[0] != self.batch:
            raise ValueError(
                f"the batch must be {self.batch}, one for each sequence of the stream. Received: "
                f"{arrays[0].shape[0]}"
            )
        return self._run(arrays)

    def _run(self, arrays):
        self._lock()
        try:
            if arrays[0].shape != self._shape:
                self._make_room(*arrays[0].shape[:2])
            for buffer, array in zip(self._inputs, arrays):
                buffer[...] = array
            status = self._call(*self._arguments)
            if status:
                _check(status)
            results = [view.copy() for view in self._views]
        finally:
            self._release(self._locks)
        if len(results) == 1:
            return results[0]
        return {port.name: result for port, result in zip(self._model.outputs, results)}

    def _make_room(self, batch, steps):
        """Buffers for so many steps, which are used again while their number stays."""
        ports = self._model.inputs, self._model.outputs
        self._inputs, outputs = (
            [np.zeros((batch, steps, port.width), np.float32) for port in each] for each in ports
        )
        self._views = [
            output[:, -1] if port.last else output for port, output in zip(ports[1], outputs)
        ]
        self._outputs = outputs
        inside = _pointers([array.ctypes.data for array in self._inputs])
        outside = _pointers([array.ctypes.data for array in outputs])
        self._call = self._native.ksr_streams_run
        # ctypes converts what it is given at each call; these objects need none.
        self._arguments = (
            ctypes.c_void_p(self._handle),
            self._streams,
            ctypes.c_int64(batch),
            inside,
            ctypes.c_int64(steps),
            outside,
        )
        self._shape = self._inputs[0].shape

    def reset(self):
        """Begins anew: the next chunk is the first of its sequences."""
        self._lock()
        try:
            for stream in self._streams:
                _check(self._native.ksr_stream_reset(self._handle, stream))
        finally:
            self._release(self._locks)

    def _lock(self):
        for number, lock in enumerate(self._locks):
            if not lock.acquire(blocking=False):
                self._release(self._locks[:number])
                raise RuntimeError(
                    "the stream is in use in another thread: give each thread a stream of its own"
                )

    @staticmethod
    def _release(locks):
        for lock in locks:
            lock.release()


def _pointers(addresses):
    """An array of pointers for C."""
    return (ctypes.c_void_p * len(addresses))(*addresses)


def _check(status):
    """Raises what the status says is wrong."""
    if status == library.BAD_VALUE:
        raise ValueError(
            "tokens must be whole numbers from 0 to one less than the model has. Received: others"
        )
    if status:
        raise ValueError(f"the native library refused: {library.status_text(status)}")
