"""A penalty on weights by how far apart the neurons are that they join."""

import random

import keras
import numpy as np
import tensorflow as tf

from keras_sparse_rnn import configs
from keras_sparse_rnn.manifolds import Manifold
from keras_sparse_rnn.patterns import BlockGrid, check_choice, keep_largest
from keras_sparse_rnn.regularizers.inhibitors import check_inhibitor, deserialize_inhibitor
from keras_sparse_rnn.regularizers.regularizer import Regularizer, working_dtype

PLACEMENTS = ("random", "lattice")
ORDERS = (None, "patches")


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Moduli(Regularizer):
    """Gives every neuron a place on a manifold and makes weights dear by the distance of the
    neurons that they join.

        R_ij     = inhibitor(distance(place of i, place of j))
        penalty  = strength * mean over i, j of R_ij * |w_ij|
        gradient = strength * R_ij * sign(w_ij) / N,    N weights in the kernel, all gates together

    It is the moduli regularisation of Mackey et al. 2024 (arXiv 2406.06290) with the power 1. All
    gates of a kernel have the same R. Meant for recurrent kernels, `[units, gates * units]`, where
    row i and columns j are the same neurons:

        moduli = ksr.regularizers.Moduli(ksr.manifolds.Torus(), strength=0.1, seed=0)
        layer = keras.layers.LSTM(512, recurrent_regularizer=moduli)

    **Blocks.** The weights that R leaves free join neurons that are near each other.
    `order="patches"` numbers neurons so that each 16 that follow each other are a patch of the
    manifold; then the free weights fill whole blocks. With it use `placement="lattice"`, and
    `callbacks.BlockPruning` finds blocks to keep; or take them beforehand, from `block_mask`. See
    docs/moduli.md.

    **Controls.** `permuted=True` shuffles the entries of R: as dear on the whole, but no geometry.
    `L1` has R = 1.

    Where places are is a function of the arguments and the size of the kernel, so a saved model is
    loaded with the same ones (a `seed` that was not given is drawn and saved). Kernels of one size
    under one instance, or under two with one seed, have the same places. R is computed once for
    each size of kernel, and held outside of graphs and saved models.

    >>> from keras_sparse_rnn.manifolds import Circle
    >>> moduli = Moduli(Circle(), "diffusion", strength=2.0, placement="lattice")
    >>> moduli.matrix(4).round(2).tolist()[0]  # 5 * pi / 2 and 5 * pi away, squared
    [0.0, 61.689998626708984, 246.74000549316406, 61.689998626708984]
    >>> round(float(moduli(tf.eye(4))), 2)
    0.0

    Args:
        manifold: one of `keras_sparse_rnn.manifolds`, or one's own.
        inhibitor: `"difference_of_gaussians"`, `"gauss"`, `"diffusion"`, `"ripple"` (see
            `regularizers.inhibitors`), or a function of an array of distances that returns numbers
            of at least 0 (register it with `keras.saving` to save models that use it).
        strength: a number of at least 0. The authors use 0.1 and, in another task, 0.001.
        seed: an integer for random places and for `permuted`. None draws one that follows
            `keras.utils.set_random_seed`.
        placement: `"random"` as in the paper, or `"lattice"`: evenly.
        order: `None` numbers neurons as they are placed, `"patches"` so that neighbours in number
            are neighbours in place.
        permuted: whether the entries of R are shuffled.
        separate: whether the neurons of the rows have places of their own, apart from those of the
            columns. Then kernels need not be square, so it is also for `kernel_regularizer`. (Two
            lattices of one size are the same lattice.)
        gates: as in `GroupLasso`. With `separate=False` it need not be given: there are as many
            columns in a gate as rows.

    Raises:
        ValueError: an argument is wrong; or, when it is called, the kernel does not fit or the
            inhibitor returns what is no penalty.
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
        permuted=False,
        separate=False,
        gates=None,
    ):
        super().__init__(strength, gates)
        if not isinstance(manifold, Manifold):
            raise ValueError(
                "`manifold` must be a manifold of keras_sparse_rnn.manifolds, such as Torus(). "
                f"Received: manifold={manifold!r}"
            )
        self.manifold = manifold
        self._inhibit = check_inhibitor(inhibitor)
        self.inhibitor = inhibitor
        self.seed = _checked_seed(seed)
        self.placement = check_choice(placement, PLACEMENTS, "placement")
        self.order = check_choice(order, ORDERS, "order")
        self.permuted, self.separate = permuted, separate
        for name in ("permuted", "separate"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"`{name}` must be True or False. Received: {name}={getattr(self, name)!r}"
                )
        self._matrices = {}

    def penalty(self, kernel, gates):
        inputs, units, gates = self.sizes(kernel.shape, gates)
        sizes = tf.reduce_sum(tf.abs(tf.reshape(kernel, (inputs, gates, units))), axis=1)
        return tf.reduce_sum(sizes * self._tensor(inputs, units, kernel.dtype)) / (
            inputs * gates * units
        )

    def of_packed(self, values, blocks, grid):
        inputs, units, gates = self.sizes(grid.kernel_shape, grid.gates)
        dtype = working_dtype(values.dtype)
        key = inputs, units, dtype, grid.block_shape
        if key not in self._matrices:
            one_gate = BlockGrid(inputs, units, 1, grid.block_shape)
            with tf.init_scope():
                self._matrices[key] = tf.constant(
                    one_gate.split(self._inhibition(inputs, units)).reshape(-1, *grid.block_shape),
                    dtype,
                )
        inhibition = tf.gather(self._matrices[key], blocks % (grid.columns * grid.rows))
        return self._scaled(
            tf.reduce_sum(tf.abs(tf.cast(values, dtype)) * inhibition) / (inputs * gates * units)
        )

    def places(self, inputs, units=None):
        """Where the neurons of rows and of columns are: two float arrays, `[inputs, coordinates]`
        and `[units, coordinates]`.

        Args:
            inputs: rows of the kernel.
            units: columns of one gate; None: as many.
        """
        units = self._square(inputs, inputs if units is None else units)
        source = self._placed(inputs, 0)
        return source, self._placed(units, 1) if self.separate else source

    def matrix(self, inputs, units=None):
        """How dear each weight of one gate is: R, float32 array `[inputs, units]`. Arguments as in
        `places`.
        """
        return self._inhibition(inputs, units).astype(np.float32)

    def block_mask(self, sparsity, block_shape=(16, 16), units=None, gates=1):
        """Which blocks of a kernel are to live by the geometry alone, known before any training:
        those whose mean R is least.

        Of equal means chance decides, by `seed`. The sparsity is reached as by `BlockPruning`, to
        within half a block, in each gate alike.

        Args:
            sparsity: fraction of the weights to drop, in [0, 1).
            block_shape: `(rows, columns)` of a block.
            units: of the layer; or `(inputs, units)` if the kernel is not square. None: that of the
                one kernel that has been penalised.
            gates: how many gates the mask is for.

        Returns:
            bool array `[gates, columns, rows]`, as `BlockGrid` numbers blocks; `grid.expand` makes
            the mask of the weights of it.
        """
        if units is None:
            known = self._known_sizes()
            if len(known) != 1:
                raise ValueError(
                    "`units` must be given unless kernels of one size have been penalised. "
                    f"Received: units=None, {len(known)} sizes so far"
                )
            (units,) = known
        inputs, units = units if isinstance(units, (tuple, list)) else (units, units)
        grid = BlockGrid(inputs, units, 1, block_shape)
        means = grid.split(self._inhibition(inputs, units)).sum(axis=(3, 4)) / grid.elements
        means = means.round(
            9
        )  # where the lattice makes them equal, rounding shall not tell them apart
        chance = np.random.default_rng([self.seed, 3]).permutation(means.size)
        cheapness = np.empty(means.size)
        cheapness[np.lexsort((chance, -means.ravel()))] = np.arange(means.size)
        live = keep_largest(cheapness.reshape(grid.shape), grid.elements, sparsity)
        return np.repeat(live, BlockGrid(inputs, units, gates, block_shape).gates, axis=0)

    def sizes(self, shape, gates=None):
        """`(inputs, units, gates)` of a kernel of `shape`; `gates` is taken if the constructor was
        given none.
        """
        if len(shape) != 2:
            raise ValueError(
                f"{type(self).__name__} takes kernels [inputs, gates * units]. Received: a "
                f"kernel of shape {tuple(shape)}"
            )
        inputs, columns = shape
        gates = self.gates or gates
        if gates is None and self.separate:
            raise ValueError(
                f"`gates` must be given with separate=True, for the shape {tuple(shape)} of the "
                "kernel does not tell it: 4 for an LSTM, 3 for a GRU, 1 for any other layer. "
                "Received: gates=None"
            )
        gates = gates or (1 if columns % inputs else columns // inputs)
        if columns % gates:
            raise ValueError(
                f"`gates` of {type(self).__name__} must divide the columns of the kernel. "
                f"Received: gates={gates}, a kernel of shape {tuple(shape)}"
            )
        return inputs, self._square(inputs, columns // gates), gates

    def get_config(self):
        return {
            "manifold": keras.saving.serialize_keras_object(self.manifold),
            "inhibitor": self.inhibitor
            if isinstance(self.inhibitor, str)
            else keras.saving.serialize_keras_object(self.inhibitor),
            "strength": super().get_config()["strength"],
            "seed": self.seed,
            "placement": self.placement,
            "order": self.order,
            "permuted": self.permuted,
            "separate": self.separate,
            "gates": self.gates,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["manifold"] = configs.deserialize(config["manifold"], Manifold, "manifold")
        config["inhibitor"] = deserialize_inhibitor(config["inhibitor"])
        return cls(**config)

    def _placed(self, count, side):
        points = self.manifold.place(count, self.placement, [self.seed, side])
        return points if self.order is None else points[self.manifold.order(points)]

    def _inhibition(self, inputs, units=None):
        """R in float64."""
        distances = self.manifold.distances(*self.places(inputs, units))
        inhibition = np.array(self._inhibit(distances), np.float64)
        if (
            inhibition.shape != distances.shape
            or not np.isfinite(inhibition).all()
            or inhibition.min() < 0
        ):
            raise ValueError(
                "`inhibitor` must return a finite number of at least 0 for each distance, in an "
                f"array of the same shape. Received: for distances of shape {distances.shape}, "
                f"numbers from {inhibition.min()} to {inhibition.max()} of shape {inhibition.shape}"
            )
        if self.permuted:
            np.random.default_rng([self.seed, 2]).shuffle(inhibition.reshape(-1))
        return inhibition

    def _tensor(self, inputs, units, dtype):
        """R as a tensor. It is an eager one, which graphs refer to and do not contain."""
        key = inputs, units, dtype
        if key not in self._matrices:
            with tf.init_scope():
                self._matrices[key] = tf.constant(self._inhibition(inputs, units), dtype)
        return self._matrices[key]

    def _known_sizes(self):
        """`(inputs, units)` of the kernels that have been penalised."""
        return {key[:2] for key in self._matrices}

    def _square(self, inputs, units):
        if units != inputs and not self.separate:
            raise ValueError(
                "`separate` must be True for a kernel whose rows and columns are not the same "
                "neurons: without it there are as many rows as columns in a gate. Received: "
                f"separate=False, {inputs} rows and {units} columns"
            )
        return units


def _checked_seed(seed):
    if seed is None:
        return random.randint(0, 2**31)
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise ValueError(
            f"`seed` must be None or an integer of at least 0. Received: seed={seed!r}"
        )
    return int(seed)
