"""The Keras layers in a `tf.function`, as a graph and compiled by XLA, and TensorFlow's matrix
product.

Two thread pools work in TensorFlow. The one that computes inside an operation gets the threads of
the run. The one that runs operations side by side gets one: the steps of a recurrent layer follow
each other, and with more, the pools together would use more threads than the other peers."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks.data import sample
from benchmarks.peers.base import Peer, Prepared

# Keras's own initial weights take minutes for a large layer: the recurrent ones are orthogonal.
ZEROS = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}
LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "simple_rnn": keras.layers.SimpleRNN}


class KerasPeer(Peer):
    """A Keras layer in a `tf.function`."""

    jit = False
    tolerance = 1e-4

    def __init__(self, threads):
        super().__init__(threads)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)

    def drop(self):
        keras.backend.clear_session()

    def layer(self, problem, data, case, **options):
        """A built layer with the weights of the problem."""
        layer = LAYERS[problem.cell](problem.units, **ZEROS, **options)
        layer.build((problem.batch, problem.length, problem.units))
        kernels = data.kernels(case.pattern)
        for variable, value in zip(layer.trainable_variables, [*kernels, data.bias]):
            variable.assign(value)
        return layer

    def dense_gradients(self, gradients, data, case):
        """The gradients of the kernels, of those weights that live."""
        kernels = [
            gradient.numpy() * mask for gradient, mask in zip(gradients, data.masks(case.pattern))
        ]
        return {"kernel": kernels[0], "recurrent_kernel": kernels[1], "bias": gradients[2].numpy()}

    def forward(self, problem, data, case):
        layer = self.layer(problem, data, case, return_sequences=True)
        run = tf.function(layer, jit_compile=self.jit)
        x = tf.constant(data.x)
        return Prepared(
            lambda: run(x), lambda: {"outputs": run(x).numpy()}, self.tolerance_of(case)
        )

    def gradient(self, problem, data, case):
        layer = self.layer(problem, data, case, return_sequences=True)

        @tf.function(jit_compile=self.jit)
        def run(x, cotangent):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(layer(x, training=True) * cotangent)
            return tape.gradient(
                loss, [x, *(variable.value for variable in layer.trainable_variables)]
            )

        x, cotangent = tf.constant(data.x), tf.constant(data.cotangent)

        def outputs():
            dx, *gradients = run(x, cotangent)
            found = {"x": dx.numpy(), **self.dense_gradients(gradients, data, case)}
            return {name: sample(array) for name, array in found.items()}

        return Prepared(lambda: run(x, cotangent), outputs, 1e-3)

    def train(self, problem, data, case):
        layer = self.layer(problem, data, case, return_sequences=True)
        model = keras.Sequential([keras.Input(batch_shape=data.x.shape), layer])
        model.compile(keras.optimizers.Adam(1e-4), loss="mse", jit_compile=self.jit)
        x, y = tf.constant(data.x), tf.constant(data.cotangent)

        def counted():
            everything = [
                *model.variables,
                *model.trainable_variables,
                *model.optimizer.variables,
            ]  # the second: gradients
            return sum(tf.convert_to_tensor(variable).numpy().nbytes for variable in everything)

        run = lambda: model.train_on_batch(x, y)
        return Prepared(run, lambda: {"loss": np.array([run()])}, 1e-3, counted)

    def step(self, problem, data, case):
        layer = self.layer(problem, data, case, stateful=True)
        run = tf.function(layer, jit_compile=self.jit)
        parts = [tf.constant(data.x[:, step : step + 1]) for step in range(problem.length)]

        def outputs():
            layer.reset_states()
            return {"outputs": np.stack([run(x).numpy() for x in parts], axis=1)}

        return Prepared(lambda: run(parts[0]), outputs, self.tolerance_of(case))

    def steps(self, problem, data, case):
        layer = self.layer(problem, data, case, stateful=True)

        @tf.function(jit_compile=self.jit)
        def run(x):
            return tf.stack([layer(x[:, step : step + 1]) for step in range(problem.steps)], axis=1)

        x = tf.constant(data.x)

        def outputs():
            layer.reset_states()
            return {"outputs": run(x).numpy()}

        return Prepared(lambda: run(x), outputs, self.tolerance_of(case))

    def loop(self, problem, data, case):
        cell = self.cell(problem, data, case)

        @tf.function(jit_compile=self.jit)
        def run(x):
            states, outputs = [tf.zeros_like(x)] * len(keras.tree.flatten(cell.state_size)), []
            for _ in range(problem.steps):
                x, states = cell(x, states)
                outputs.append(x)
            return tf.stack(outputs, axis=1)

        x = tf.constant(data.x[:, 0])
        return Prepared(
            lambda: run(x), lambda: {"outputs": run(x).numpy()}, self.tolerance_of(case)
        )

    def cell(self, problem, data, case):
        """What a loop calls at every step."""
        return self.layer(problem, data, case).cell

    def tolerance_of(self, case):
        return self.tolerance


class KerasXlaPeer(KerasPeer):
    """The same, compiled by XLA."""

    jit = True


class TensorFlowPeer(KerasPeer):
    """TensorFlow itself: its matrix product, and what calling a function costs."""

    def product(self, problem, data, case):
        kernel, x = tf.constant(data.kernels(case.pattern)[0]), tf.constant(data.x)
        run = tf.function(lambda x, kernel: tf.linalg.matmul(x, kernel))
        return Prepared(lambda: run(x, kernel), lambda: {"outputs": run(x, kernel).numpy()})

    def identity(self, problem, data, case):
        run, x = tf.function(tf.identity), tf.constant(data.x)
        return Prepared(lambda: run(x), lambda: {"outputs": run(x).numpy()})

    forward = gradient = train = step = steps = loop = None
