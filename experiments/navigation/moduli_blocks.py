"""Geometry that makes blocks: how much of what moduli regularisation leaves free lies in whole
blocks, and a network trained with it.

    python -m experiments.navigation.moduli_blocks
        # the table and the pictures of docs/moduli.md, in about two minutes
    python -m experiments.navigation.moduli_blocks --quick
        # small, in seconds

The table needs no training. The trained network is a SimpleRNN that repeats noise of some steps
ago."""

import argparse
import pathlib

import keras
import numpy as np

import keras_sparse_rnn as ksr
from experiments.common.files import write_json
from keras_sparse_rnn.manifolds import Circle, KleinBottle, Sphere, Torus
from keras_sparse_rnn.regularizers import Moduli

MANIFOLDS = (Torus(), KleinBottle(), Circle(), Sphere())
WAYS = {
    "random places": {},
    "random, in patches": {"order": "patches"},
    "lattice, in patches": {"placement": "lattice", "order": "patches"},
}
CHANNELS, DELAY, STEPS, BATCH = 8, 6, 24, 32
STRENGTH = 0.1  # beside the mean square error; the L1 pulls as hard on average


def measure(manifold, units, seeds, block_shapes=((4, 4), (16, 16)), sparsities=(0.9, 0.95)):
    """Rows of the table: for each way to place neurons, block shape and sparsity the mean R of the
    weights that live, and the share of the cheapest weights, as many as live, that are among them.
    The first row is that of single weights, the best there is."""
    rows = []
    for way, options in {"single weights": {}, **WAYS}.items():
        row = {"manifold": repr(manifold), "units": units, "way": way}
        for sparsity in sparsities:
            for block_shape in ((1, 1),) if way == "single weights" else block_shapes:
                found = [
                    _kept(Moduli(manifold, seed=seed, **options), units, sparsity, block_shape)
                    for seed in range(seeds)
                ]
                row[f"{sparsity} {block_shape}"] = np.mean(found, axis=0).round(3).tolist()
        rows.append(row)
    return rows


def _kept(moduli, units, sparsity, block_shape):
    inhibition = moduli.matrix(units)
    live = ksr.patterns.BlockGrid(units, units, 1, block_shape).expand(
        moduli.block_mask(sparsity, block_shape, units)
    )
    count = np.count_nonzero(live)
    cheapest = np.partition(inhibition, count, axis=None)[count]
    return inhibition[live].mean(), np.count_nonzero(inhibition[live] <= cheapest) / count


def echo(count, seed):
    """Noise `[count, STEPS, CHANNELS]`, and the same DELAY steps later."""
    x = np.random.default_rng(seed).normal(size=(count, STEPS, CHANNELS)).astype("float32")
    y = np.zeros_like(x)
    y[:, DELAY:] = x[:, :-DELAY]
    return x, y


def train(regularizer, units, steps, seed):
    """A SimpleRNN trained with `regularizer`: the share of the variance that it misses on other
    noise, in %, and its recurrent kernel.
    """
    keras.utils.set_random_seed(seed)
    rnn = keras.layers.SimpleRNN(units, recurrent_regularizer=regularizer, return_sequences=True)
    model = keras.Sequential([keras.Input((STEPS, CHANNELS)), rnn, keras.layers.Dense(CHANNELS)])
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(2e-3, steps), global_clipnorm=1.0
        ),
        "mse",
    )
    model.fit(*echo(steps * BATCH, seed), batch_size=BATCH, verbose=0)
    x, y = echo(500, 10_000)
    missed = np.mean((model.predict(x, batch_size=250, verbose=0) - y)[:, DELAY:] ** 2)
    return 100 * float(missed), rnn.cell.recurrent_kernel.numpy()


def share_in_blocks(kernel, block_shape, sparsity):
    """The share of the sum of squares of the weights that the best blocks hold, in %."""
    block = ksr.patterns.Block(block_shape, "l2")
    grid = block.grid(kernel.shape)
    live = grid.expand(block.keep(grid, kernel, sparsity))
    return 100 * float((kernel[live] ** 2).sum() / (kernel**2).sum())


def draw(panels, path, block_shape=None):
    """Matrices side by side: mapping of a title to `(matrix, colour map, mask of blocks or
    None)`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(panels), 4.5), layout="constrained")
    for axis, (title, (matrix, colours, live)) in zip(
        np.atleast_1d(figure.subplots(1, len(panels))), panels.items()
    ):
        axis.imshow(matrix, cmap=colours, interpolation="nearest", vmax=np.percentile(matrix, 99))
        if live is not None:
            height, width = block_shape
            for column, row in np.argwhere(live[0]):
                axis.add_patch(_frame((column * width - 0.5, row * height - 0.5), width, height))
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=6)
    figure.savefig(path, dpi=110)


def _frame(corner, width, height):
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, fill=False, edgecolor="crimson", linewidth=0.8)


def print_table(rows):
    names = [name for name in rows[-1] if name not in ("manifold", "units", "way")]
    print("| | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for row in rows:
        cells = [row.get(name) or row[f"{name.split()[0]} (1, 1)"] for name in names]
        print(
            f"| {row['manifold']}, {row['units']} units, {row['way']} | "
            + " | ".join(f"{mean:.1f} / {100 * share:.0f} %" for mean, share in cells)
            + " |"
        )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("moduli_blocks"),
        help="folder for the results and pictures",
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    sizes, units, steps = ((64,), 64, 20) if options.quick else ((256, 512, 1024), 256, 1000)

    print("Mean R of the weights that live / share of the cheapest weights that live")
    rows = [
        row
        for manifold in MANIFOLDS
        for size in sizes
        for row in measure(manifold, size, options.seeds)
    ]
    print_table(rows)
    before, after = (
        Moduli(Torus(), seed=0, **WAYS[way]) for way in ("random places", "lattice, in patches")
    )
    masks = [moduli.block_mask(0.9, (16, 16), 2 * units) for moduli in (before, after)]
    titles = ("random places", "lattice, in patches")
    panels = {
        f"R, {title}; the cheapest 10 % of 16 x 16": (m.matrix(2 * units), "viridis", mask)
        for title, m, mask in zip(titles, (before, after), masks)
    }
    draw(panels, options.out / "moduli-order.png", (16, 16))

    trained, results = {}, []
    runs = {"no regulariser": lambda: None, "L1": lambda: ksr.regularizers.MeanL1(70.0 * STRENGTH)}
    runs["random places"] = lambda: Moduli(Torus(), strength=STRENGTH, seed=0)
    runs["lattice, in patches"] = lambda: Moduli(
        Torus(), strength=STRENGTH, seed=0, **WAYS["lattice, in patches"]
    )
    for name, regularizer in runs.items():
        missed, kernel = train(regularizer(), units, steps, seed=0)
        shares = [share_in_blocks(kernel, shape, 0.9) for shape in ((1, 1), (4, 4), (16, 16))]
        results.append({"regulariser": name, "missed": missed, "shares": shares})
        print(
            f"{name:20} misses {missed:5.2f} % of the variance; 10 % of the weights hold, of "
            f"squares: single {shares[0]:.0f} %, 4 x 4 {shares[1]:.0f} %, "
            f"16 x 16 {shares[2]:.0f} %",
            flush=True,
        )
        trained[name] = kernel
    draw(
        {f"|w|, {name}": (np.abs(kernel), "magma", None) for name, kernel in trained.items()},
        options.out / "moduli-trained.png",
    )
    after = runs["lattice, in patches"]()
    ksr.plot.neurons(
        after, trained["lattice, in patches"], options.out / "moduli-neurons.png", lines=800
    )
    write_json(options.out / "moduli_blocks.json", {"blocks": rows, "trained": results})


if __name__ == "__main__":
    main()
