"""Builds ONNX's graphs of a case, in a Python that has `onnx` and `onnxruntime`:

    python -m benchmarks.deploy.onnx_files FOLDER

reads `weights.npz` there and writes `dense.onnx`, one LSTM or GRU operator, and `dense-int8.onnx`,
what ONNX Runtime's dynamic quantisation makes of it. That does not know the GRU operator, so a
GRU is written out for it, as two products and what lies between them."""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.peers.base import reordered
from benchmarks.peers.onnxruntime_peer import ORDERS


def operator(cell, kernel, recurrent, bias):
    """The graph of one operator: x [1, 1, inputs] and states [1, 1, units] in, y and states out."""
    units, states = recurrent.shape[0], ["h", "c"] if cell == "lstm" else ["h"]
    if cell == "lstm":
        bias = np.stack([bias, np.zeros_like(bias)])
    kernel, recurrent, bias = (
        np.concatenate(reordered(array, ORDERS[cell], units), axis=-1)
        for array in (kernel, recurrent, bias)
    )
    weights = {"W": kernel.T, "R": recurrent.T, "B": bias.ravel()}
    options = {"linear_before_reset": 1} if cell == "gru" else {}
    after = [f"next_{name}" for name in states]
    inputs, outputs = ["x", "W", "R", "B", "", *states], ["y", *after]
    node = helper.make_node(cell.upper(), inputs, outputs, hidden_size=units, **options)
    weights = {name: array[None] for name, array in weights.items()}
    return model([node], weights, kernel.shape[0], units, states, (1, 1, 1, units))


def written_out(kernel, recurrent, bias):
    """A GRU in products, sums and functions, whose gates are z, r and the candidate."""
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["xW"]),
        helper.make_node("MatMul", ["h", "R"], ["hR"]),
        helper.make_node("Add", ["xW", "bx"], ["from_x"]),
        helper.make_node("Add", ["hR", "bh"], ["from_h"]),
        helper.make_node("Split", ["from_x"], ["xz", "xr", "xn"], axis=-1, num_outputs=3),
        helper.make_node("Split", ["from_h"], ["hz", "hr", "hn"], axis=-1, num_outputs=3),
        helper.make_node("Add", ["xz", "hz"], ["az"]),
        helper.make_node("Add", ["xr", "hr"], ["ar"]),
        helper.make_node("Sigmoid", ["az"], ["z"]),
        helper.make_node("Sigmoid", ["ar"], ["r"]),
        helper.make_node("Mul", ["r", "hn"], ["rhn"]),
        helper.make_node("Add", ["xn", "rhn"], ["an"]),
        helper.make_node("Tanh", ["an"], ["n"]),
        helper.make_node("Sub", ["h", "n"], ["difference"]),
        helper.make_node("Mul", ["z", "difference"], ["kept"]),
        helper.make_node("Add", ["n", "kept"], ["next_h"]),
        helper.make_node("Identity", ["next_h"], ["y"]),
    ]
    units = recurrent.shape[0]
    weights = {"W": kernel, "R": recurrent, "bx": bias[0], "bh": bias[1]}
    return model(nodes, weights, kernel.shape[0], units, ["h"], (1, 1, units))


def model(nodes, weights, inputs, units, states, shape):
    def tensor(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    before = [tensor(name, (1, 1, units)) for name in states]
    after = [tensor(f"next_{name}", (1, 1, units)) for name in states]
    constants = [
        numpy_helper.from_array(np.ascontiguousarray(array), name)
        for name, array in weights.items()
    ]
    graph = helper.make_graph(
        nodes,
        "step",
        [tensor("x", (1, 1, inputs)), *before],
        [tensor("y", shape), *after],
        constants,
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(whole)
    return whole


def main(folder):
    folder = pathlib.Path(folder)
    with np.load(folder / "weights.npz") as arrays:
        cell = str(arrays["cell"])
        weights = [arrays[name] for name in ("kernel", "recurrent_kernel", "bias")]
    onnx.save(operator(cell, *weights), folder / "dense.onnx")
    source = folder / "dense.onnx"
    if cell == "gru":
        source = folder / "written-out.onnx"
        onnx.save(written_out(*weights), source)
    target = folder / "dense-int8.onnx"
    quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)


if __name__ == "__main__":
    main(sys.argv[1])
