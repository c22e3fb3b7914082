"""torch: its recurrent layers, which run on oneDNN, its matrix product, and its product with
block-sparse rows (BSR).
"""

import warnings

import numpy as np
import torch

from benchmarks.data import sample
from benchmarks.peers.base import Peer, Prepared, reordered

LAYERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}
CELLS = {
    "lstm": torch.nn.LSTMCell,
    "gru": torch.nn.GRUCell,
    "simple_rnn": torch.nn.RNNCell,
}
ORDERS = {
    "lstm": (0, 1, 2, 3),
    "gru": (1, 0, 2),
    "simple_rnn": (0,),
}  # where each of torch's gates stands in Keras


class TorchPeer(Peer):
    """Sequences lie with the steps first, torch's own layout."""

    def __init__(self, threads):
        super().__init__(threads)
        torch.set_num_threads(threads)

    def layer(self, problem, data, case):
        layer, order, units = (
            LAYERS[problem.cell](problem.units, problem.units),
            ORDERS[problem.cell],
            problem.units,
        )
        kernels = [
            np.concatenate(reordered(kernel, order, units), axis=1).T
            for kernel in data.kernels(case.pattern)
        ]
        bias = (
            data.bias if problem.cell == "gru" else np.stack([data.bias, np.zeros_like(data.bias)])
        )
        biases = [np.concatenate(reordered(each, order, units)) for each in bias]
        with torch.no_grad():
            for parameter, value in zip(layer.parameters(), [*kernels, *biases]):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))
        return layer

    def forward(self, problem, data, case):
        layer, x = self.layer(problem, data, case), steps_first(data.x)

        def run():
            with torch.inference_mode():
                return layer(x)[0]

        return Prepared(run, lambda: {"outputs": run().numpy().swapaxes(0, 1)})

    def gradient(self, problem, data, case):
        layer, units = self.layer(problem, data, case), problem.units
        x, cotangent = steps_first(data.x).requires_grad_(True), steps_first(data.cotangent)

        def run():
            layer.zero_grad()
            x.grad = None
            layer(x)[0].backward(cotangent)

        def outputs():
            run()
            back = np.argsort(ORDERS[problem.cell])
            found = [
                np.concatenate(reordered(each.grad.numpy().T, back, units), axis=-1)
                for each in layer.parameters()
            ]
            masks = data.masks(case.pattern)
            bias = np.stack(found[2:]) if problem.cell == "gru" else found[2]
            arrays = {
                "x": x.grad.numpy().swapaxes(0, 1),
                "kernel": found[0] * masks[0],
                "recurrent_kernel": found[1] * masks[1],
                "bias": bias,
            }
            return {name: sample(array) for name, array in arrays.items()}

        return Prepared(run, outputs, 1e-3)

    def train(self, problem, data, case):
        layer = self.layer(problem, data, case)
        x, y = steps_first(data.x), steps_first(data.cotangent)
        optimizer = torch.optim.Adam(layer.parameters(), 1e-4, fused=True)

        def run():
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(layer(x)[0], y)
            loss.backward()
            optimizer.step()
            return loss

        return Prepared(run, lambda: {"loss": np.array([run().item()])}, 1e-3)

    def step(self, problem, data, case):
        layer, parts, state = self.layer(problem, data, case), steps_first(data.x).split(1), None

        def run(x=parts[0]):
            nonlocal state
            with torch.inference_mode():
                output, state = layer(x, state)
            return output[0]

        def outputs():
            nonlocal state
            state = None
            return {"outputs": np.stack([run(x).numpy() for x in parts], axis=1)}

        return Prepared(run, outputs)

    def loop(self, problem, data, case):
        """torch's own cell, which has the parameters of a layer."""
        layer = self.layer(problem, data, case)
        cell = CELLS[problem.cell](problem.units, problem.units)
        with torch.no_grad():
            for parameter, value in zip(cell.parameters(), layer.parameters(), strict=True):
                parameter.copy_(value)
        x = torch.from_numpy(np.ascontiguousarray(data.x[:, 0]))

        def run():
            output, state, outputs = x, None, []
            with torch.inference_mode():
                for _ in range(problem.steps):
                    state = cell(output, state)
                    output = state[0] if problem.cell == "lstm" else state
                    outputs.append(output)
                return torch.stack(outputs, 1)

        return Prepared(run, lambda: {"outputs": run().numpy()})

    def product(self, problem, data, case):
        kernel = np.ascontiguousarray(data.kernels(case.pattern)[0].T)
        if case.form != "bsr":
            kernel, x = torch.from_numpy(kernel).T.contiguous(), torch.from_numpy(data.x)
            return Prepared(
                lambda: torch.matmul(x, kernel),
                lambda: {"outputs": torch.matmul(x, kernel).numpy()},
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that sparse tensors are in beta
            kernel = torch.from_numpy(kernel).to_sparse_bsr(case.pattern.block_shape[::-1])
        x = torch.from_numpy(
            np.ascontiguousarray(data.x.T)
        )  # [inputs, batch]: what its product takes
        return Prepared(lambda: kernel @ x, lambda: {"outputs": (kernel @ x).numpy().T})


def steps_first(array):
    return torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1)))
