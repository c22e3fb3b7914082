"""The dense network for ONNX Runtime: its LSTM operator and a product, float32 and int8.

    python -m examples.keyword_spotting.onnx_files accuracy FOLDER FEATURES
    python -m examples.keyword_spotting.onnx_files time ROUNDS FILE ...

It runs in a process of its own, for its threads and LiteRT's would disturb each other. Needs
requirements.txt."""

import json
import pathlib
import statistics
import sys
import time

import numpy as np

ORDER = 0, 3, 1, 2  # where ONNX's gates, i o f c, stand in Keras's i f c o
NAMES = {"float32": "onnx.onnx", "int8": "onnx-int8.onnx"}
SECONDS = 0.05  # of each file in each round


def write(model, folder):
    """Writes both files of a Keras model: one frame and the states in, logits and states out.

    The int8 one is what `onnxruntime.quantization.quantize_dynamic` makes: int8 weights, and inputs
    that are rounded as they come.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    lstm, words = model.get_layer("lstm"), model.get_layer("words")
    kernel, recurrent, bias = lstm.get_weights()
    turned = lambda array: np.concatenate([np.split(array, 4, axis=-1)[gate] for gate in ORDER], -1)
    weights, offsets = words.get_weights()
    arrays = {
        "W": turned(kernel).T[None],
        "R": turned(recurrent).T[None],
        "B": np.concatenate([turned(bias), np.zeros_like(bias)])[None],
        "weights": weights,
        "offsets": offsets,
        "rows": np.array([1, -1], np.int64),
    }
    units = lstm.units
    tensor = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        [
            helper.make_node(
                "LSTM",
                ["x", "W", "R", "B", "", "h", "c"],
                ["", "next_h", "next_c"],
                hidden_size=units,
            ),
            helper.make_node("Reshape", ["next_h", "rows"], ["row"]),
            helper.make_node("MatMul", ["row", "weights"], ["products"]),
            helper.make_node("Add", ["products", "offsets"], ["y"]),
        ],
        "words",
        [tensor("x", 1, 1, kernel.shape[0]), *(tensor(name, 1, 1, units) for name in "hc")],
        [
            tensor("y", 1, len(offsets)),
            *(tensor(f"next_{name}", 1, 1, units) for name in "hc"),
        ],
        [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in arrays.items()
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    onnx.save(made, folder / NAMES["float32"])
    quantize_dynamic(folder / NAMES["float32"], folder / NAMES["int8"], weight_type=QuantType.QInt8)


class Stepper:
    """A file, its states, and its inputs and outputs in places that stay: two bindings, each of
    which reads the states where the other wrote them.
    """

    def __init__(self, path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        shapes = {each.name: each.shape for each in self._session.get_inputs()}
        shapes["y"] = self._session.get_outputs()[0].shape
        self._arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        values = lambda: {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shapes[name], np.float32))
            for name in "hc"
        }
        states = values(), values()
        self._x, self._y = (
            onnxruntime.OrtValue.ortvalue_from_numpy(self._arrays[name]) for name in "xy"
        )
        self._states, self._bindings = states, []
        for before, after in (states, states[::-1]):
            binding = self._session.io_binding()
            binding.bind_ortvalue_input("x", self._x)
            binding.bind_ortvalue_output("y", self._y)
            for name in "hc":
                binding.bind_ortvalue_input(name, before[name])
                binding.bind_ortvalue_output(f"next_{name}", after[name])
            self._bindings.append(binding)

    def reset(self):
        for each in self._states:
            for name, value in each.items():
                value.update_inplace(self._arrays[name])

    def step(self):
        """One frame; what is in `x` stays."""
        first, second = self._bindings
        self._session.run_with_iobinding(first)
        self._bindings = [second, first]

    def __call__(self, frame):
        """`[MELS]` to `[labels]`."""
        self._x.update_inplace(np.ascontiguousarray(frame[None, None]))
        self.step()
        return self._y.numpy()[0].copy()  # a view of what the next frame writes over


def logits(path, frames):
    """`[streams, steps, MELS]` to `[streams, steps, labels]`, one frame at a time."""
    stepper, result = Stepper(path), []
    for stream in frames:
        stepper.reset()
        result.append([stepper(frame) for frame in stream])
    return np.array(result)


def microseconds(steps, rounds):
    """Of each function, measured in turns: the median over the rounds."""
    times = [[] for _ in steps]
    for _ in range(rounds):
        for step, seen in zip(steps, times):
            count, begin = 0, time.perf_counter()
            while time.perf_counter() - begin < SECONDS:
                for _ in range(50):
                    step()
                count += 50
            seen.append(1e6 * (time.perf_counter() - begin) / count)
    return [statistics.median(seen) for seen in times]


def main(arguments):
    if arguments[0] == "accuracy":
        from .data import decisions

        folder = pathlib.Path(arguments[1])
        with np.load(arguments[2]) as file:
            found = {
                name: float((decisions(logits(folder / path, file["x"])) == file["y"]).mean())
                for name, path in NAMES.items()
            }
    else:
        steppers = [Stepper(path) for path in arguments[2:]]
        times = microseconds([each.step for each in steppers], int(arguments[1]))
        found = dict(zip(arguments[2:], times))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
