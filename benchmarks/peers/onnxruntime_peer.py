"""ONNX Runtime: its LSTM, GRU and RNN operators, in a graph of one node."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.base import Peer, Prepared, reordered

OPERATORS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "RNN"}
ORDERS = {
    "lstm": (0, 3, 1, 2),
    "gru": (0, 1, 2),
    "simple_rnn": (0,),
}  # where each of ONNX's gates (i, o, f, c; z, r, h) stands in Keras


class OnnxRuntimePeer(Peer):
    """Sequences lie with the steps first, the operators' own layout. Inference only."""

    def session(self, problem, data, case, length):
        """A session that computes `length` steps from states that it is given, all outputs and the
        last states.
        """
        units, order = problem.units, ORDERS[problem.cell]
        bias = (
            data.bias if problem.cell == "gru" else np.stack([data.bias, np.zeros_like(data.bias)])
        )
        arrays = dict(
            zip(
                "WR",
                (
                    np.concatenate(reordered(kernel, order, units), axis=1).T
                    for kernel in data.kernels(case.pattern)
                ),
            )
        )
        arrays["B"] = np.concatenate(
            [part for each in bias for part in reordered(each, order, units)]
        )
        states = self.states(problem)
        options = {"linear_before_reset": 1} if problem.cell == "gru" else {}
        ends = [f"last_{name}" for name in states]
        node = helper.make_node(
            OPERATORS[problem.cell],
            ["x", "W", "R", "B", "", *states],
            ["y", *ends],
            hidden_size=units,
            **options,
        )
        state_shape = (1, problem.batch, units)
        graph = helper.make_graph(
            [node],
            "recurrent",
            [
                tensor("x", (length, problem.batch, units)),
                *(tensor(name, state_shape) for name in states),
            ],
            [
                tensor("y", (length, 1, problem.batch, units)),
                *(tensor(name, state_shape) for name in ends),
            ],
            [
                numpy_helper.from_array(np.ascontiguousarray(array[None]), name)
                for name, array in arrays.items()
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = self.threads, 1
        return onnxruntime.InferenceSession(
            model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
        )

    def states(self, problem):
        names = ("h", "c") if problem.cell == "lstm" else ("h",)
        return {name: np.zeros((1, problem.batch, problem.units), np.float32) for name in names}

    def forward(self, problem, data, case):
        session = self.session(problem, data, case, problem.steps)
        feeds = {"x": np.ascontiguousarray(data.x.swapaxes(0, 1)), **self.states(problem)}
        run = lambda: session.run(["y"], feeds)[0]
        return Prepared(run, lambda: {"outputs": run()[:, 0].swapaxes(0, 1)})

    def step(self, problem, data, case):
        session, states = self.session(problem, data, case, 1), self.states(problem)
        parts = [np.ascontiguousarray(data.x[None, :, step]) for step in range(problem.length)]

        def run(x=parts[0]):
            output, *last = session.run(None, {"x": x, **states})
            states.update(zip(states, last))
            return output[0, 0]

        def outputs():
            states.update(self.states(problem))
            return {"outputs": np.stack([run(x) for x in parts], axis=1)}

        return Prepared(run, outputs)

    def loop(self, problem, data, case):
        """A session of one step, which the code calls."""
        session, zeros = self.session(problem, data, case, 1), self.states(problem)
        x = np.ascontiguousarray(data.x[None, :, 0])

        def run():
            output, states, outputs = x, zeros, []
            for _ in range(problem.steps):
                found, *last = session.run(None, {"x": output, **states})
                output, states = found[0], dict(zip(states, last))
                outputs.append(output[0])
            return np.stack(outputs, axis=1)

        return Prepared(run, lambda: {"outputs": run()})


def tensor(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
