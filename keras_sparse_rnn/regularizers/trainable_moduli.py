"""Moduli regularisation whose neurons move."""

import keras
import tensorflow as tf

from keras_sparse_rnn.regularizers.moduli import Moduli


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class TrainableModuli(Moduli, keras.layers.Layer):
    """`Moduli` in which the places of the neurons are trained with the weights: neurons that strong
    weights join move to where these are cheap.

        penalty = strength * mean over i, j of R_ij * |w_ij|

    with gradients for the weights and, through R, for the places.

    It is a Keras layer as well as a regularizer. So the cell that it is given to has it as a part:
    its places are among the `trainable_weights` of the model, the optimizer of `fit` trains them,
    and they are saved and loaded with the model.

        plane = ksr.manifolds.Euclidean(2)
        moduli = ksr.regularizers.TrainableModuli(plane, strength=0.1, placement="random", seed=0)
        layer = keras.layers.GRU(512, recurrent_regularizer=moduli)

    They come into being when the kernel is first penalised, in the first step of `fit`;
    `model.losses` makes them before that, which is needed under a distribution strategy (in its
    scope), and to load weights into a model of which none have been asked for. R is computed in
    each step, which for 1024 units on a torus takes some 15 milliseconds. An optimizer with weight
    decay draws places to the origin: exclude them
    (`optimizer.exclude_from_weight_decay(var_names=["places"])`).

    Args:
        As of `Moduli`, without `permuted`, and with a manifold and an inhibitor written in
        TensorFlow, of finite gradient. Each instance serves one kernel.

    Attributes:
        source_places: `[inputs, coordinates]`, those of the rows. For the circle and the spheres
            their directions alone count.
        target_places: `[units, coordinates]`, those of the columns: with `separate=False` the same
            variable.

    Raises:
        ValueError: as of `Moduli`; or the instance has been given two kernels of different sizes.
    """

    def __init__(
        self,
        manifold,
        inhibitor="difference_of_gaussians",
        strength=0.1,
        seed=None,
        *,
        placement="random",
        order=None,
        separate=False,
        gates=None,
    ):
        keras.layers.Layer.__init__(self, dtype="float32")
        Moduli.__init__(
            self,
            manifold,
            inhibitor,
            strength,
            seed,
            placement=placement,
            order=order,
            separate=separate,
            gates=gates,
        )
        self.source_places = self.target_places = None

    def __setattr__(self, name, value):
        # A layer would make the strength one of its weights, and save it as it is scaled at the
        # time.
        if name == "strength":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    __call__ = Moduli.__call__

    def build(self, kernel_shape):
        """Makes the places of a kernel of one gate, of shape `(inputs, units)`."""
        source, target = Moduli.places(self, *kernel_shape)
        self.source_places = self._make("source_places", source)
        self.target_places = (
            self._make("target_places", target) if self.separate else self.source_places
        )

    def places(self, inputs, units=None):
        """Where the neurons are now: two arrays, as of `Moduli`."""
        if not self.built:
            return super().places(inputs, units)
        self._check_shape(inputs, inputs if units is None else units)
        return self.source_places.numpy().astype("float64"), self.target_places.numpy().astype(
            "float64"
        )

    def of_packed(self, values, blocks, grid):
        return None

    def get_config(self):
        config = Moduli.get_config(self)
        del config["permuted"]
        return config

    def _tensor(self, inputs, units, dtype):
        if not self.built:
            self.build((inputs, units))
        self._check_shape(inputs, units)
        source, target = (
            tf.cast(tf.convert_to_tensor(places), dtype)
            for places in (self.source_places, self.target_places)
        )
        return self._inhibit(self.manifold.distance(source, target))

    def _known_sizes(self):
        return {(self.source_places.shape[0], self.target_places.shape[0])} if self.built else set()

    def _make(self, name, points):
        return self.add_weight(
            name=name,
            shape=points.shape,
            initializer=lambda shape, dtype: tf.constant(points, dtype),
            dtype="float32",
            autocast=False,
        )

    def _check_shape(self, inputs, units):
        (own,) = self._known_sizes()
        if own != (inputs, units):
            raise ValueError(
                f"TrainableModuli serves one kernel, here of (inputs, units) = {own}; another "
                f"needs an instance of its own. Received: {(inputs, units)}"
            )
