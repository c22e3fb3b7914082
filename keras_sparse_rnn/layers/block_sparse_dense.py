"""The block-sparse Dense layer."""

import keras
import tensorflow as tf

from keras_sparse_rnn import ops
from keras_sparse_rnn.layers import kernels
from keras_sparse_rnn.layers import storage as storages
from keras_sparse_rnn.layers.arguments import (
    check_kernel,
    check_live_blocks,
    check_low,
    check_native,
    check_rounding,
    check_storage,
    check_weights,
    own_arguments,
    rounds_inputs,
    takes_arguments_of,
    warn_of_cut_blocks,
)
from keras_sparse_rnn.layers.growth import Evolving, save_record, take_record
from keras_sparse_rnn.patterns import (
    BlockGrid,
    check_block_shape,
    check_sparsity,
    fitted_block_shape,
)


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class BlockSparseDense(Evolving, keras.layers.Dense):
    """`keras.layers.Dense` that computes the live blocks of its kernel only: `activation(x W + b)`,
    `W` zero outside its live blocks.

    Weights in packed storage: `kernel_values` `[live, block rows, block columns]`, `bias`
    `[units]`, and `kernel_blocks`, int32 `[live]`, not trainable. In masked storage: those of
    `keras.layers.Dense`. Gradients reach live weights only.

    Args:
        units: size of the output.
        block_shape: `(rows, columns)` of a block of the kernel `[inputs, units]`. Where it is
            larger it is cut to the kernel when the layer is built, with a `UserWarning`.
        sparsity: fraction of the blocks of a fresh layer that are zero, in [0, 1), chosen at random
            (`keras.utils.set_random_seed`).
        storage: `"packed"` owns the live blocks only, `"masked"` the variables of the Keras layer,
            so that `BlockPruning` can prune them.
        kernel: `"auto"`, `"native"` or `"reference"`.
        live_blocks: `(n,)`, how many blocks live, instead of `sparsity`.
        weights: `"float32"`, or for inference `"bfloat16"` or `"int8"`: packed, not trainable.
        activations: `"int8"`, with int8 weights only, rounds inputs to integers, too.
        input_range: of int8 activations, the largest input in absolute value; larger ones count as
            it. 0: that of each row of inputs.
        low_precision: a `ksr.quantization.LowPrecision`, or None: the layer computes with weights,
            and if wanted with inputs, of few bits, and trains so. With float32 weights.
        kwargs: every argument of `keras.layers.Dense`. The regularizer and the constraint of the
            kernel see it dense. `lora_rank` and `quantization_config` must be None: both work on a
            dense kernel.

    Raises:
        ValueError: an argument is out of its range.
    """

    gates = 1
    op = "matmul"

    @takes_arguments_of(keras.layers.Dense)
    def __init__(
        self,
        units,
        block_shape=(16, 16),
        *,
        sparsity=0.0,
        storage="packed",
        kernel="auto",
        live_blocks=None,
        weights="float32",
        activations="float32",
        input_range=0.0,
        low_precision=None,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        for name in ("lora_rank", "quantization_config"):
            if kwargs.get(name) is not None:
                raise ValueError(
                    f"`{name}` must be None: a BlockSparseDense has no dense kernel. Received: "
                    f"{name}={kwargs[name]!r}"
                )
        if self.quantization_mode:
            raise ValueError(
                "`dtype` must be a float policy for a BlockSparseDense. Received: "
                f"dtype={self.dtype_policy.name!r}"
            )
        self.block_shape = check_block_shape(block_shape)
        self.sparsity = check_sparsity(sparsity)
        self.storage = check_storage(storage)
        self.kernel_choice = check_kernel(kernel)
        self.live_blocks = check_live_blocks(live_blocks, 1, storage)
        self.weights_choice = check_weights(weights, storage)
        self.activations_choice, self.input_range = check_rounding(
            activations, input_range, weights
        )
        self.low_precision = check_low(low_precision, storage, weights)
        self.supports_jit = kernel == "reference" and low_precision is None

    @property
    def sparsities(self):
        """That of a fresh kernel, in a tuple of one."""
        return (self.sparsity,)

    @property
    def grids(self):
        """The `BlockGrid` of the kernel, in a tuple of one. The layer must be built."""
        return self._grids

    def build(self, input_shape):
        size = (input_shape[-1], self.units)
        fitted = fitted_block_shape(self.block_shape, size)
        if fitted != self.block_shape:
            warn_of_cut_blocks(
                self, self.block_shape, f"a kernel of {size[0]} x {size[1]}", str(fitted)
            )
            self.block_shape = fitted
        check_native(self)
        self._grids = (BlockGrid(input_shape[-1], self.units, 1, self.block_shape),)
        super().build(input_shape)

    def add_weight(self, *args, name=None, **options):
        """As in Keras, except that the kernel becomes packed, or starts with zero blocks."""
        if name != "kernel":
            return super().add_weight(*args, name=name, **options)
        return kernels.made(self, self, 0, super().add_weight, name=name, **options)

    def dense_kernels(self):
        """The kernel `[inputs, units]` as a NumPy array, dead blocks zero, as the layer
        computes with it; in a tuple of one.
        """
        return kernels.dense(self, self, ("kernel",), self._op_dtype())

    def why_not_native(self):
        """Why the native op cannot run this layer, in words; None if it can."""
        return ops.why_not_native(
            self.op, dtype=self._op_dtype(), activations=self.activations_choice
        )

    def call(self, inputs, training=None):
        dtype = self._op_dtype()
        packed = self._packed_kernel(dtype, training)
        if rounds_inputs(self):
            inputs = self.low_precision.inputs(tf.cast(inputs, dtype))
        if storages.is_dense_on_gpu(self.storage, self.kernel_choice):
            dtype = self.compute_dtype
            kernel = tf.cast(ops.unpack(packed.values, packed.blocks, packed.grid), dtype)
            outputs = keras.ops.matmul(inputs, kernel)
        else:
            inputs = tf.cast(inputs, dtype)
            outputs = ops.block_sparse_matmul(
                inputs,
                packed,
                kernel=self.kernel_choice,
                prepare=self._prepares(training),
                activations=self.activations_choice,
                input_range=self.input_range,
            )
            if training and self.watch is not None:
                (outputs,) = self.watch.of(
                    [outputs], [packed], lambda gradient: [([inputs], gradient)]
                )
        if self.bias is not None:
            outputs += tf.cast(self.bias, dtype)
        outputs = tf.cast(outputs, self.compute_dtype)
        return outputs if self.activation is None else self.activation(outputs)

    def quantize(self, *args, **kwargs):
        """Not supported: export with int8 weights instead."""
        raise NotImplementedError(
            f"A BlockSparseDense cannot be quantized by Keras. Received: the layer {self.name!r}"
        )

    def enable_lora(self, *args, **kwargs):
        """Not supported: LoRA adds a dense kernel."""
        raise ValueError(
            "LoRA needs a dense kernel, which a BlockSparseDense has not. Received: the layer "
            f"{self.name!r}"
        )

    def save_own_variables(self, store):
        if self.storage == "masked":
            return keras.layers.Dense.save_own_variables(self, store)
        save_record(self, store)
        return keras.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        if self.storage == "masked":
            return keras.layers.Dense.load_own_variables(self, store)
        return keras.Layer.load_own_variables(self, take_record(self, store))

    def get_config(self):
        config = super().get_config()
        config.update(own_arguments(self))
        return config

    def _op_dtype(self):
        return "float64" if self.compute_dtype == "float64" else "float32"

    def _prepares(self, training):
        """Weights that are being trained are others in each call."""
        trains = self.low_precision or (training and self.weights_choice == "float32")
        return not trains and storages.keeps_its_tensors(self.storage, self.compute_dtype)

    def _packed_kernel(self, dtype, training):
        native = self.kernel_choice != "reference" and not self.why_not_native()
        native = native and not storages.is_dense_on_gpu(self.storage, self.kernel_choice)
        options = {"native": native, "training": training}
        return kernels.computed(self, self, ("kernel",), dtype, **options)[0]
