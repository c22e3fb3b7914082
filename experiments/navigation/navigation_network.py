"""The navigation network: everything that it depends on, its layers, its kernels."""

import dataclasses

import keras

from experiments.navigation.navigation_regularizers import regularizer


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one network is trained; everything that a result depends on, but for the `World`.

    Args:
        units: of the recurrent layer.
        steps: batches in all.
        batch: walks in a batch.
        learning_rate: of AdamW, constant; of a network that starts trained, the peak.
        weight_decay: of AdamW.
        regularizer: of the recurrent kernel, a name of `navigation_regularizers.NAMES`.
        strength: of the regularizer.
        placement: of the neurons on the manifold, `"random"` or `"lattice"`.
        sparsity: at the end; 0 trains a dense network.
        pruned: `"all"` four kernels (encoder, decoder, both of the recurrent layer) or the
            `"recurrent"` layer's own.
        block_shape: `(rows, columns)` that are pruned together.
        ramp: where the pruning begins and ends, as fractions of `steps`; linear in between.
        masks: how many there are, and so how often one is taken.
        start: `"dense"`; `"a priori"`, from the blocks that the regularizer's geometry names before
            training; `"again"`, the stability test, with the final mask of the network that was
            pruned from dense, and new random weights; `"again, free"`, the same without the
            regularizer; or `"trained"`, from the finished dense network of the seed, by
            `ksr.recipes.PruneTrained`, whose ramp, masks and learning rates take the place of those
            above.
        criterion: of a network that starts trained, `"fisher"` or `"l2"`; all others are pruned by
            magnitude.
        lasso: strength of a group lasso while a network that starts trained is pruned.
        seed: of weights, place cells, walks and places of the neurons.
    """

    units: int = 512
    steps: int = 1000
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    regularizer: str = "none"
    strength: float = 0.1
    placement: str = "random"
    sparsity: float = 0.0
    pruned: str = "all"
    block_shape: tuple = (1, 1)
    ramp: tuple = (0.0, 0.967)
    masks: int = 30
    start: str = "dense"
    criterion: str = "fisher"
    lasso: float = 0.0
    seed: int = 1

    def name(self):
        """A short name that tells the networks of one run apart."""
        start = "" if self.start == "dense" else f"-{self.start.replace(',', '').replace(' ', '-')}"
        start += "" if self.criterion == Recipe.criterion else f"-{self.criterion}"
        start += "" if not self.lasso else f"-lasso-{self.lasso:g}"
        if not self.sparsity:
            return f"dense-{self.regularizer}{start}-{self.seed}"
        blocks = (
            "" if self.block_shape == (1, 1) else f"-{self.block_shape[0]}x{self.block_shape[1]}"
        )
        where = "" if self.pruned == "all" else "-recurrent"
        placement = "" if self.placement == "random" else f"-{self.placement}"
        placement += "" if self.strength == Recipe.strength else f"-{self.strength:g}"
        early = "" if self.ramp == Recipe.ramp else f"-until-{100 * self.ramp[1]:g}%"
        kind = f"{self.regularizer}{placement}-{100 * self.sparsity:g}%"
        return f"{kind}{where}{blocks}{early}{start}-{self.seed}"


def build(recipe, world, cells):
    """The network: velocities `[batch, time, 2]` and starting positions `[batch, 2]` to scores of
    the place cells `[batch, time, cells]`.

    The place cells see the start alone. Their activity, in units of its mean and less that, goes
    through a linear encoder into the first state.
    """
    velocity = keras.Input((world.steps, 2), name="velocity")
    start = keras.Input((2,), name="start")
    activity = keras.layers.Rescaling(world.cells, offset=-1.0)(cells(start))
    state = keras.layers.Dense(
        recipe.units, use_bias=False, kernel_initializer=_uniform(), name="encoder"
    )(activity)
    rnn = keras.layers.SimpleRNN(
        recipe.units,
        activation="relu",
        use_bias=False,
        return_sequences=True,
        kernel_initializer=keras.initializers.RandomUniform(
            -(recipe.units**-0.5), recipe.units**-0.5
        ),
        recurrent_initializer=_uniform(),
        recurrent_regularizer=None if recipe.start == "again, free" else regularizer(recipe),
        name="rnn",
    )
    x = rnn(velocity, initial_state=state)
    scores = keras.layers.Dense(
        world.cells, use_bias=False, kernel_initializer=_uniform(), name="decoder"
    )(x)
    return keras.Model([velocity, start], scores, name="navigation")


def _uniform():  # an initializer draws its seed when it is made, so each kernel has one of its own
    """Weights between -1 / sqrt(inputs) and 1 / sqrt(inputs)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def kernels(model):
    """The four kernels: dict of names to `keras.Variable`."""
    rnn = model.get_layer("rnn")
    rnn = getattr(rnn, "cell", rnn)
    return {
        "encoder": model.get_layer("encoder").kernel,
        "inputs": rnn.kernel,
        "recurrent": rnn.recurrent_kernel,
        "decoder": model.get_layer("decoder").kernel,
    }
