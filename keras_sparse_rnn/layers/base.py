"""What the block-sparse recurrent layers share: arguments, weights, and one op call for the whole
sequence instead of Keras's loop over time.
"""

import keras
import tensorflow as tf

from keras_sparse_rnn import ops
from keras_sparse_rnn.layers import kernels
from keras_sparse_rnn.layers import storage as storages
from keras_sparse_rnn.layers.arguments import (
    check_kernel,
    check_live_blocks,
    check_loop,
    check_low,
    check_native,
    check_recurrent_pattern,
    check_rounding,
    check_sole_pattern,
    check_storage,
    check_weights,
    fitted_blocks,
    forgotten_arguments,
    own_arguments,
    rounds_inputs,
    why_not_rounding,
)
from keras_sparse_rnn.layers.cells import (
    WEIGHTS,
    built_with,
    cudnn_chosen,
    kernels_lent_to,
    of_cell,
)
from keras_sparse_rnn.layers.growth import Evolving, watched
from keras_sparse_rnn.patterns import BlockGrid, check_flag, check_sparsity
from keras_sparse_rnn.running import mask_of_steps


class BlockSparseRNN(Evolving):
    """Mixin over `keras.layers.LSTM`, `GRU` and `SimpleRNN`.

    Everything around the loop over time is Keras's own: states, masks, `stateful`, `return_state`,
    saving. The weights are owned by the layer's `cell`, as in Keras, so a masked layer has the
    weights of its parent, in order, names and shapes. (Keras files them under the name of the
    class, so a weights *file* of a Keras model is read through `ksr.to_dense`.)

    The padding of partial blocks is zero and has no gradient, and a constraint keeps it zero. Of
    Keras's optimisers only Adafactor minds: it divides 0 by 0 where a row and a column of a block
    are both padding. `ksr.substitute` gives it a larger `epsilon_1`; for layers that you build
    yourself do so too: 1e-15.

    A subclass says how many `gates` there are, the name `op` of its cell in `ops.why_not_native`,
    and runs the sequence in `_run`.

    Args:
        units: as in Keras.
        block_shape: `(rows, columns)` of a block of the kernels of one gate, `[inputs, units]` and
            `[units, units]`.
        recurrent_block_shape: that of the recurrent kernel, if it is another one.
        recurrent_pattern: which blocks of the recurrent kernel live in a fresh layer, a
            `patterns.GraphPattern`; `sparsity` is that of the kernel of the inputs alone then.
        sparsity: fraction of blocks that are zero in a fresh layer: a random choice, the same
            number in each gate. It follows `seed`, or without one `keras.utils.set_random_seed`.
        recurrent_sparsity: that of the recurrent kernel, if it is another one: see
            `patterns.erdos_renyi`.
        keep_diagonal: whether the blocks that touch the diagonal of a gate of the recurrent kernel
            are among the live ones. They count in the sparsity.
        storage: `"packed"` owns the live blocks only, `"masked"` the dense kernels of the Keras
            layer (see `keras_sparse_rnn.layers.storage`).
        kernel: `"auto"` runs the native op where it applies and plain TensorFlow elsewhere,
            `"native"` raises where it does not apply, `"reference"` is plain TensorFlow.
        live_blocks: how many blocks of the kernel and of the recurrent kernel live, instead of
            `sparsity`. `ksr.substitute` passes it.
        weights: `"float32"`, or for inference `"bfloat16"` or `"int8"`: packed kernels of a half or
            a quarter of the bytes, not trainable. Train a float32 layer, then
            `ksr.substitute(model, weights="int8")`.
        activations: `"int8"`, with int8 weights only, rounds inputs and states to integers, too.
        input_range: of int8 activations, the largest input in absolute value; larger ones count as
            it. 0: that of each step of each sample.
        low_precision: a `ksr.quantization.LowPrecision`, or None: the layer computes with weights,
            and if wanted with inputs and states, of few bits, and trains so. With float32 weights.
        kwargs: every argument of the Keras layer. `use_cudnn` is heeded where a masked layer of
            `kernel="auto"` on a machine with a GPU runs the path of its Keras parent.

    Raises:
        ValueError: an argument is out of its range.
    """

    gates: int | None = None
    op: str | None = None

    def __init__(
        self,
        units,
        block_shape=(16, 16),
        *,
        recurrent_block_shape=None,
        recurrent_pattern=None,
        sparsity=0.0,
        recurrent_sparsity=None,
        keep_diagonal=False,
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
        self.recurrent_pattern, recurrent_block_shape = check_recurrent_pattern(
            recurrent_pattern, units, recurrent_block_shape, live_blocks
        )
        check_sole_pattern(self.recurrent_pattern, recurrent_sparsity, keep_diagonal)
        self.block_shape, self.recurrent_block_shape = fitted_blocks(
            self, block_shape, recurrent_block_shape
        )
        self.sparsity = check_sparsity(sparsity)
        if recurrent_sparsity is not None:
            recurrent_sparsity = check_sparsity(recurrent_sparsity, "recurrent_sparsity")
        self.recurrent_sparsity = recurrent_sparsity
        self.keep_diagonal = check_flag(keep_diagonal, "keep_diagonal")
        self.storage = check_storage(storage)
        self.kernel_choice = check_kernel(kernel)
        self.live_blocks = check_live_blocks(live_blocks, len(WEIGHTS), storage)
        self.weights_choice = check_weights(weights, storage)
        self.activations_choice, self.input_range = check_rounding(
            activations, input_range, weights
        )
        self.low_precision = check_low(low_precision, storage, weights)
        # The native ops have no XLA kernel. Keras then compiles the model without XLA.
        self.supports_jit = kernel == "reference" and low_precision is None
        if hasattr(self, "use_cudnn"):
            # Bidirectional reads the kernels of layers for which it is not False.
            self.cudnn_choice, self.use_cudnn = self.use_cudnn, False

    @property
    def sparsities(self):
        """That of a fresh kernel and that of a fresh recurrent kernel."""
        recurrent = self.recurrent_sparsity
        return self.sparsity, self.sparsity if recurrent is None else recurrent

    @property
    def grids(self):
        """The `BlockGrid` of the kernel and that of the recurrent kernel. The layer must be
        built.
        """
        return self._grids

    kernel_values = of_cell("kernel_values", "If packed: live blocks `[live, rows, columns]`.")
    kernel_blocks = of_cell("kernel_blocks", "If packed: their numbers, int32 `[live]`.")
    recurrent_kernel_values = of_cell(
        "recurrent_kernel_values", "As `kernel_values`, of the recurrent kernel."
    )
    recurrent_kernel_blocks = of_cell(
        "recurrent_kernel_blocks", "As `kernel_blocks`, of the recurrent kernel."
    )
    bias = of_cell("bias", "The bias of the Keras layer, or None.")

    def build(self, sequences_shape, initial_state_shape=None):
        check_loop(self)
        dropout = "they have no dropout between time steps (`recurrent_dropout`, or `dropout` with "
        dropout += "`implementation=1`)"
        check_native(self, dropout if self.trains_step_by_step else None)
        self._grids = (
            BlockGrid(sequences_shape[-1], self.units, self.gates, self.block_shape),
            BlockGrid(
                self.units, self.units, self.gates, self.recurrent_block_shape or self.block_shape
            ),
        )
        with built_with(self, self._make_weight):
            super().build(sequences_shape)

    def dense_kernels(self):
        """The kernel `[inputs, gates * units]` and the recurrent kernel `[units, gates * units]`,
        as NumPy arrays, dead blocks zero, as the layer computes with them.
        """
        return kernels.dense(self, self.cell, WEIGHTS, self._op_dtype())

    def why_not_native(self):
        """Why the native op cannot run this layer, in words; None if it can."""
        return why_not_rounding(self) or ops.why_not_native(
            self.op,
            dtype=self._op_dtype(),
            activations=self.activations_choice,
            **self._op_options(),
        )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs all steps. Called by Keras, which prepares the states before and stores them
        afterwards.
        """
        mask = mask_of_steps(mask)
        packed = self._packed_kernels(training)
        if self._runs_as_its_parent():
            with kernels_lent_to(self.cell, packed, self.compute_dtype), cudnn_chosen(self):
                return super().inner_loop(sequences, initial_state, mask, training=training)
        if training and self.trains_step_by_step:
            with kernels_lent_to(self.cell, packed, self.compute_dtype):
                return keras.layers.RNN.inner_loop(
                    self, sequences, initial_state, mask, training=training
                )
        if training and self.dropout:
            sequences *= self.cell.get_dropout_mask(sequences[:, 0, :])[:, None, :]
        dtype = self._op_dtype()
        bias = None if self.bias is None else tf.cast(self.bias, dtype)
        if self.weights_choice != "float32" and bias is not None and not self.bias.trainable:
            # Or the tape would want the gradient of an op that has none.
            bias = tf.stop_gradient(bias)
        states = [tf.cast(state, dtype) for state in initial_state]
        options = {
            "mask": mask,
            "go_backwards": self.go_backwards,
            "kernel": self.kernel_choice,
            "training": bool(training),  # whether to keep what the gradient needs
            "prepare": self.low_precision is None
            and storages.keeps_its_tensors(self.storage, self.compute_dtype),
            "activations": self.activations_choice,
            "input_range": self.input_range,
            "rounder": self.low_precision.inputs if rounds_inputs(self) else None,
        }
        arguments = tf.cast(sequences, dtype), states, *packed, bias, options
        outputs, *states = watched(self, self._run(*arguments), *arguments, training=training)
        if mask is None:
            return states[0], outputs, states
        if self.zero_output_for_mask:
            in_order = tf.reverse(mask, (1,)) if self.go_backwards else mask
            outputs = tf.where(in_order[..., None], outputs, tf.zeros_like(outputs))
        return outputs[:, -1], outputs, states

    def get_config(self):
        config = super().get_config()
        config.update(
            own_arguments(self),
            recurrent_block_shape=self.recurrent_block_shape,
            recurrent_pattern=self.recurrent_pattern
            and keras.saving.serialize_keras_object(self.recurrent_pattern),
            recurrent_sparsity=self.recurrent_sparsity,
            keep_diagonal=self.keep_diagonal,
        )
        config.update(forgotten_arguments(self, self.cell))
        return config

    def _run(self, x, states, packed, recurrent_packed, bias, options):
        """Calls the op. Returns `outputs, *states`."""
        raise NotImplementedError

    def recurrent_factors(self, x, previous, gradients, kernels, bias):
        """What the recurrent kernel is multiplied with, a tensor for each gate, and the gradients
        of what comes out, of the states `previous` to each step and the `gradients` of the sums
        that enter the activations.
        """
        return [previous] * self.gates, gradients

    def _runs_as_its_parent(self):
        """Whether the Keras layer's own path is taken, with the dense kernels: on a GPU it has
        cuDNN, where plain TensorFlow loops over time.
        """
        on_gpu = storages.is_dense_on_gpu(self.storage, self.kernel_choice)
        return on_gpu and not rounds_inputs(self)

    def _op_options(self):
        """The options of the op that decide whether there is a native one."""
        return {"activation": self.activation}

    def _op_dtype(self):
        """The ops compute in float32, also under mixed precision; float64 layers stay float64 (on
        the reference).
        """
        return "float64" if self.compute_dtype == "float64" else "float32"

    @property
    def trains_step_by_step(self):
        """Whether training needs something at every step that the whole-sequence ops lack: Keras's
        own loop has it.
        """
        separate_masks = getattr(self.cell, "implementation", 2) == 1
        return self.recurrent_dropout > 0 or (self.dropout > 0 and separate_masks)

    def _make_weight(self, add_weight, *, name, **options):
        """Stands in for `add_weight` of the cell while it is built: makes the kernels, leaves the
        bias alone.
        """
        if name not in WEIGHTS:
            return add_weight(name=name, **options)
        index = WEIGHTS.index(name)
        seed = None if self.cell.seed is None else (self.cell.seed, index)
        return kernels.made(self, self.cell, index, add_weight, name=name, seed=seed, **options)

    def _packed_kernels(self, training):
        """The kernel and the recurrent kernel as `ops.PackedKernel`s."""
        native = self.kernel_choice != "reference" and not self._runs_as_its_parent()
        native = native and not self.why_not_native()
        options = {"native": native, "training": training}
        return kernels.computed(self, self.cell, WEIGHTS, self._op_dtype(), **options)
