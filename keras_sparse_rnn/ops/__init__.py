"""Block-sparse matrix products and whole recurrent sequences, native where they can be, plain
TensorFlow elsewhere.

>>> import numpy as np
>>> from keras_sparse_rnn import ops, patterns
>>> grid = patterns.BlockGrid(inputs=32, units=48, gates=1, block_shape=(16, 16))
>>> kernel = np.random.default_rng(0).normal(size=(32, 48)).astype("float32")
>>> keep = patterns.Block((16, 16)).keep(grid, kernel, sparsity=0.5)
>>> packed = ops.PackedKernel(*grid.pack(kernel * grid.expand(keep)), grid)
>>> ops.block_sparse_matmul(np.ones((2, 32), "float32"), packed).shape
TensorShape([2, 48])

`kernel="auto"` takes the native op where it applies, `"native"` insists on it and says why when it
cannot be had (`why_not_native`), and `"reference"` computes in plain TensorFlow on unpacked
kernels, which is what the native ops are tested against.

NaN and infinity pass through live blocks as through a dense kernel. Dead blocks are not multiplied,
so the native ops pass nothing through them, where a dense kernel, and the reference, make NaN of
zero times NaN or infinity."""

from keras_sparse_rnn.ops import loader
from keras_sparse_rnn.ops.choice import why_not_native
from keras_sparse_rnn.ops.dead_blocks import largest_gradients
from keras_sparse_rnn.ops.functions import (
    block_sparse_gru,
    block_sparse_lstm,
    block_sparse_matmul,
    block_sparse_simple_rnn,
)
from keras_sparse_rnn.ops.loader import cpu, native_available, num_threads, set_cpu, set_num_threads
from keras_sparse_rnn.ops.packing import PackedKernel, inside, pack, unpack
from keras_sparse_rnn.ops.quantization import dense, dequantize, quantize

__all__ = [
    "PackedKernel",
    "block_sparse_gru",
    "block_sparse_lstm",
    "block_sparse_matmul",
    "block_sparse_simple_rnn",
    "cpu",
    "dense",
    "dequantize",
    "inside",
    "largest_gradients",
    "native_available",
    "num_threads",
    "pack",
    "quantize",
    "set_cpu",
    "set_num_threads",
    "unpack",
    "why_not_native",
]

loader.register()
