"""Pictures of navigation networks: neurons on their manifold, rate maps, paths."""

import keras
import numpy as np
from matplotlib.figure import Figure

from experiments.navigation.navigation_network import kernels
from experiments.navigation.navigation_regularizers import moduli
from experiments.navigation.navigation_world import test_walks

SIDE = 10.0  # of the torus and the Klein bottle


def draw(runs, folder):
    """Draws what there is of these networks.

    Args:
        runs: dict of `(row, column)` to `Trained`, of one seed.
        folder: for the pictures.

    Returns:
        list of the paths that were written.
    """
    pruned = {row: one for (row, column), one in runs.items() if column == "90 %"}
    chosen = {
        "dense": runs["dense", "error"],
        **{f"{row}, 90 %": pruned[row] for row in ("torus", "none", "l1") if row in pruned},
    }
    written = [
        _saved(paths(chosen), folder / "paths.png"),
        _saved(rate_maps(chosen), folder / "rates.png"),
    ]
    flat = {f"{row}, 90 %": pruned[row] for row in ("torus", "klein", "permuted") if row in pruned}
    return written + ([_saved(neurons(flat), folder / "neurons.png")] if flat else [])


def paths(runs, walks=6):
    """True paths and decoded ones, of the same test walks for all networks."""
    figure = Figure(figsize=(3.2 * len(runs), 3.5), layout="constrained")
    for axis, (title, one) in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs.items()):
        test, cells = test_walks(one.world), one.cells()
        scores = one.model().predict([test.velocity[:walks], test.start[:walks]], verbose=0)
        for number, decoded in enumerate(cells.decode(scores)):
            colour = f"C{number}"
            axis.plot(
                *np.vstack([test.start[number], test.position[number]]).T,
                color=colour,
                linewidth=1.8,
            )
            axis.plot(
                *decoded.T, color=colour, linewidth=1, linestyle=":", marker=".", markersize=4
            )
            axis.plot(*test.start[number], color=colour, marker="o", markersize=6)
        _box(axis, one.world)
        axis.set_title(f"{title}: {one.error:.1f} cm", fontsize=9)
    figure.suptitle("True paths (solid, from the dot) and decoded ones (dotted)", fontsize=10)
    return figure


def rate_maps(runs, units=8, bins=15):
    """The mean activity of the most active hidden units by position, a row for each network."""
    figure = Figure(figsize=(1.25 * units + 1, 1.4 * len(runs) + 0.4), layout="constrained")
    for row, (title, one) in zip(figure.subplots(len(runs), units, squeeze=False), runs.items()):
        test, model = test_walks(one.world), one.model()
        hidden = keras.Model(model.inputs, model.get_layer("rnn").output).predict(
            [test.velocity, test.start], verbose=0
        )
        position, hidden = test.position.reshape(-1, 2), hidden.reshape(-1, hidden.shape[-1])
        half = one.world.side / 2
        edges = np.linspace(-half, half, bins + 1)
        visits = np.histogram2d(*position.T, bins=edges)[0]
        for axis, unit in zip(row, np.argsort(-hidden.var(axis=0))[:units]):
            total = np.histogram2d(*position.T, bins=edges, weights=hidden[:, unit])[0]
            rate = np.divide(total, visits, out=np.full_like(total, np.nan), where=visits > 0)
            axis.imshow(rate.T, origin="lower", cmap="viridis")
            axis.set_title(f"unit {unit}", fontsize=7, pad=2)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(title, fontsize=8)
    figure.suptitle("Mean activity over the box, of the units that vary most", fontsize=10)
    return figure


def neurons(runs):
    """Where the neurons of two-dimensional manifolds are, and the recurrent weights that survived,
    the strongest 1,500 of them.
    """
    figure = Figure(figsize=(3.8 * len(runs), 4.3), layout="constrained")
    for axis, (title, one) in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs.items()):
        places, _ = moduli(one.recipe.regularizer, one.recipe).places(one.recipe.units)
        weights = kernels(one.model())["recurrent"].numpy()
        sources, targets = np.unravel_index(
            np.argsort(-np.abs(weights), axis=None)[: min(1500, np.count_nonzero(weights))],
            weights.shape,
        )
        ends = _nearest_images(
            places[sources], places[targets], twisted=one.recipe.regularizer == "klein"
        )
        colours = np.where(weights[sources, targets] > 0, "tab:red", "tab:blue")
        axis.quiver(
            *places[sources].T,
            *(ends - places[sources]).T,
            color=colours,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.002,
            alpha=0.35,
        )
        axis.plot(*places.T, "k.", markersize=2.5)
        axis.set(xlim=(0, SIDE), ylim=(0, SIDE), xticks=[], yticks=[], aspect="equal")
        axis.set_title(f"{title}: {np.count_nonzero(weights):,} recurrent weights", fontsize=9)
    figure.suptitle("Recurrent weights that survived:\nred excites, blue inhibits", fontsize=10)
    return figure


def _nearest_images(sources, targets, twisted):
    """Of each target and its images beyond the edges, the one that is nearest to its source;
    `twisted`: x over an edge turns y around.
    """
    images = []
    for across in (-1, 0, 1):
        y = SIDE - targets[:, 1] if twisted and across else targets[:, 1]
        images += [
            np.stack([targets[:, 0] + SIDE * across, y + SIDE * up], axis=-1) for up in (-1, 0, 1)
        ]
    images = np.stack(images)
    nearest = np.square(images - sources).sum(axis=-1).argmin(axis=0)
    return images[nearest, np.arange(len(sources))]


def _box(axis, world):
    half = world.side / 2
    axis.set(xlim=(-half, half), ylim=(-half, half), xticks=[], yticks=[], aspect="equal")


def _saved(figure, path):
    figure.savefig(path, dpi=110)
    return path
