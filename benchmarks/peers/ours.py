"""keras_sparse_rnn: the block-sparse layers in a `tf.function`, native, packed; weights in float32,
bfloat16 or int8, and int8 activations.
"""

import inspect

import keras
import tensorflow as tf

import keras_sparse_rnn as ksr
from benchmarks.peers.base import Prepared, Unavailable
from benchmarks.peers.keras_peer import LAYERS, ZEROS, KerasPeer

SPARSE_LAYERS = {
    "lstm": ksr.layers.BlockSparseLSTM,
    "gru": ksr.layers.BlockSparseGRU,
    "simple_rnn": ksr.layers.BlockSparseSimpleRNN,
}
TOLERANCES = {"": 1e-4, "bfloat16": 1e-2, "int8": 3e-2, "int8 x int8": 6e-2}


class Ours(KerasPeer):
    """A block-sparse layer takes the place of the Keras layer in all modes."""

    def __init__(self, threads):
        super().__init__(threads)
        if not ksr.ops.native_available():
            raise Unavailable("the native library of keras_sparse_rnn was not built")
        ksr.ops.set_num_threads(threads)

    def layer(self, problem, data, case, **options):
        if case.form:
            return self._narrow_layer(problem, data, case, options)
        packed = data.packed(case.pattern)
        counts = tuple(len(blocks) for _, blocks in packed)
        options |= {"live_blocks": counts, "kernel": "native", **ZEROS}
        layer = SPARSE_LAYERS[problem.cell](problem.units, case.pattern.block_shape, **options)
        layer.build((problem.batch, problem.length, problem.units))
        for role, (values, blocks) in zip(("kernel", "recurrent_kernel"), packed):
            getattr(layer, f"{role}_values").assign(values)
            getattr(layer, f"{role}_blocks").assign(blocks)
        layer.bias.assign(data.bias)
        return layer

    def _narrow_layer(self, problem, data, case, options):
        """Weights of fewer bits are for inference: they are made from those of a Keras model."""
        if "weights" not in inspect.signature(ksr.substitute).parameters:
            raise Unavailable(f"this keras_sparse_rnn has no {case.form} weights")
        layer = LAYERS[problem.cell](problem.units, **ZEROS, **options)
        model = keras.Sequential(
            [keras.Input(batch_shape=(problem.batch, problem.length, problem.units)), layer]
        )
        model.set_weights([*data.kernels(case.pattern), data.bias])
        weights, *integers = case.form.split(" x ")
        types = {"weights": weights, **({"activations": integers[0]} if integers else {})}
        return ksr.substitute(model, case.pattern.block_shape, kernel="native", **types).layers[-1]

    def cell(self, problem, data, case):
        return ksr.layers.BlockSparseCell(self.layer(problem, data, case))

    def dense_gradients(self, gradients, data, case):
        grid, found = data.grid(case.pattern), dict(zip(("kernel", "recurrent_kernel"), gradients))
        dense = {
            name: grid.unpack(found[name].numpy(), blocks)
            for name, blocks in zip(found, data.blocks(case.pattern))
        }
        return {**dense, "bias": gradients[2].numpy()}

    def product(self, problem, data, case):
        values, blocks = data.packed(case.pattern)[0]
        grid, x = data.grid(case.pattern), tf.constant(data.x)
        values, blocks = tf.constant(values), tf.constant(blocks)
        run = tf.function(
            lambda x, values: ksr.ops.block_sparse_matmul(
                x, ksr.ops.PackedKernel(values, blocks, grid), kernel="native"
            )
        )
        return Prepared(lambda: run(x, values), lambda: {"outputs": run(x, values).numpy()})

    def tolerance_of(self, case):
        return TOLERANCES[case.form]
