"""LiteRT: the file that `keras_sparse_rnn.export` writes, in the stock interpreter with XNNPACK;
weights all dense, or the zeros stored sparse.

The exporter stores zeros sparse where it can. So the dense form has weights without zeros."""

import os
import tempfile

import keras
import numpy as np

from benchmarks.peers.base import Prepared, Unavailable
from benchmarks.peers.keras_peer import LAYERS, ZEROS, KerasPeer
from keras_sparse_rnn import export

LARGEST, LARGEST_TARGET = 1024, 2048


class LiteRTPeer(KerasPeer):
    """Inference only. What is timed is the interpreter, inputs in place."""

    def opened(self, problem, data, case, length, **options):
        """`(set x, invoke, get outputs)` of the exported layer."""
        largest = LARGEST_TARGET if problem.group == "targets" else LARGEST
        if problem.units > largest:
            raise Unavailable(f"exporting layers of more than {largest} units takes too long here")
        layer = LAYERS[problem.cell](problem.units, **ZEROS, **options)
        model = keras.Sequential(
            [keras.Input(batch_shape=(problem.batch, length, problem.units)), layer]
        )
        model.set_weights([*data.kernels(case.pattern), data.bias])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "layer.tflite")
            export.export_litert(model, path, num_threads=self.threads)
            interpreter = export.Interpreter(path, num_threads=self.threads)
        (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()
        return (
            lambda x: interpreter.set_tensor(inputs["index"], x),
            interpreter.invoke,
            lambda: interpreter.get_tensor(outputs["index"]),
        )

    def forward(self, problem, data, case):
        put, invoke, get = self.opened(problem, data, case, problem.steps, return_sequences=True)
        put(data.x)

        def outputs():
            invoke()
            return {"outputs": get()}

        return Prepared(invoke, outputs)

    def step(self, problem, data, case):
        put, invoke, get = self.opened(problem, data, case, 1, stateful=True)

        def outputs():
            found = []
            for step in range(problem.length):
                put(np.ascontiguousarray(data.x[:, step : step + 1]))
                invoke()
                found.append(get())
            return {"outputs": np.stack(found, axis=1)}

        return Prepared(invoke, outputs)

    gradient = train = steps = loop = None
