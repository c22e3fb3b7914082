"""Prunes a trained network once, by the geometry of its hidden states, by magnitude and at random,
and trains it on.

The task: three inputs of noise, to be integrated. At every step the network shall give the sums of
what it has seen, which forget a twentieth per step.

    python -m experiments.geometry.geometry_pruning --seeds 3"""

import argparse
import pathlib

import keras
import numpy as np

import keras_sparse_rnn as ksr
from experiments.common.files import write_json

CHANNELS, STEPS, BATCH = 3, 40, 64
LAYERS = {"SimpleRNN": keras.layers.SimpleRNN, "GRU": keras.layers.GRU}


@keras.saving.register_keras_serializable(package="experiments")
class Random(ksr.criteria.Criterion):
    """Scores that know nothing: the control."""

    def __init__(self, seed=0):
        self.generator = np.random.default_rng(seed)

    def block_scores(self, kernel, grid, model):
        return self.generator.random(grid.shape)


def sequences(count, seed):
    """Noise `[count, STEPS, CHANNELS]` and its leaky sums, of variance about 1."""
    x = np.random.default_rng(seed).normal(size=(count, STEPS, CHANNELS)).astype("float32")
    sums = np.zeros_like(x)
    for step in range(STEPS):
        sums[:, step] = 0.95 * sums[:, step - 1] + x[:, step] if step else x[:, step]
    return x, sums / np.float32(3)


def build(cell, units):
    layers = [
        LAYERS[cell](units, return_sequences=True, name=cell),
        keras.layers.Dense(CHANNELS, name="sums"),
    ]
    return keras.Sequential([keras.Input((STEPS, CHANNELS)), *layers])


def train(model, steps, seed, rate, callbacks=()):
    """`steps` steps of Adam, the learning rate along a cosine to zero."""
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(rate, steps), global_clipnorm=1.0
        ),
        "mse",
    )
    x, y = sequences(steps * BATCH, seed)
    model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=list(callbacks))


def error(model):
    """The share of the held-out targets' variance that the model misses, in %."""
    x, y = sequences(1000, seed=10_000)
    return float(100 * np.mean((model.predict(x, batch_size=500, verbose=0) - y) ** 2) / np.var(y))


def prune(model, criterion, sparsity, block_shape, cell):
    """Prunes `model` at once, without training."""
    pruning = ksr.callbacks.BlockPruning(
        ksr.schedules.Constant(sparsity, 0), block_shape, criterion=criterion, layers=cell
    )
    pruning.set_model(model)
    pruning.on_train_begin()
    pruning.on_train_batch_begin(0)
    pruning.on_train_end()


def run(cell, units, seed, steps, block_shape, sparsities):
    """Errors of one dense network and of what is pruned from it, a list of dicts, and its
    geometry.
    """
    keras.utils.set_random_seed(seed)
    model = build(cell, units)
    train(model, steps, seed, 2e-3)
    trained, rows = (
        model.get_weights(),
        [
            {
                "cell": cell,
                "seed": seed,
                "criterion": "dense",
                "sparsity": 0.0,
                "pruned": error(model),
            }
        ],
    )
    x = sequences(256, seed=20_000)[0]
    (layer,) = ksr.geometry.analyze(model, x, console=False)
    rows[0].update(
        dimensions=[layer.dimensions(share) for share in (0.9, 0.95, 0.99)],
        participation=layer.participation_ratio,
    )
    print(
        cell,
        seed,
        f"dense {rows[0]['pruned']:.2f} %",
        f"90/95/99 %: {rows[0]['dimensions']}",
        f"participation {layer.participation_ratio:.1f}",
        flush=True,
    )
    for sparsity in sparsities:
        for name, criterion in (
            ("geometric", ksr.criteria.Geometric(x)),
            ("magnitude", "l2"),
            ("random", Random(seed)),
        ):
            model.set_weights(trained)
            prune(model, criterion, sparsity, block_shape, cell)
            row = {
                "cell": cell,
                "seed": seed,
                "criterion": name,
                "sparsity": sparsity,
                "pruned": error(model),
            }
            train(
                model,
                steps // 2,
                1000 + seed,
                1e-3,
                [
                    ksr.callbacks.BlockPruning(
                        ksr.schedules.Constant(sparsity, 0), block_shape, layers=cell
                    )
                ],
            )
            rows.append({**row, "tuned": error(model)})
            print(
                cell,
                seed,
                f"{sparsity:.0%} {name}: {row['pruned']:.1f} % pruned, {rows[-1]['tuned']:.2f} % "
                "trained on",
                flush=True,
            )
    return rows, layer


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument(
        "--steps", type=int, default=800, help="of training; half as many after pruning"
    )
    parser.add_argument("--block", type=int, nargs=2, default=(4, 4))
    parser.add_argument("--sparsities", type=float, nargs="+", default=(0.5, 0.8, 0.9, 0.95))
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path(__file__).parent / "results" / "geometry_pruning.json",
    )
    parser.add_argument(
        "--picture",
        type=pathlib.Path,
        help="of the hidden states of the first seed's dense networks",
    )
    arguments = parser.parse_args()
    rows, drawn = [], []
    for cell in LAYERS:
        for seed in range(arguments.seeds):
            new, layer = run(
                cell,
                arguments.units,
                seed,
                arguments.steps,
                tuple(arguments.block),
                arguments.sparsities,
            )
            rows += new
            drawn += [layer] if seed == 0 else []
    if arguments.picture:
        ksr.plot.geometry(ksr.geometry.Geometry("dense", tuple(drawn)), arguments.picture)
    write_json(arguments.out, rows)
    for cell, name, sparsity in dict.fromkeys(
        (row["cell"], row["criterion"], row["sparsity"]) for row in rows
    ):
        own = [
            row
            for row in rows
            if (row["cell"], row["criterion"], row["sparsity"]) == (cell, name, sparsity)
        ]
        figures = [
            f"{np.mean([row[key] for row in own]):.2f} ± "
            f"{np.std([row[key] for row in own], ddof=1) if len(own) > 1 else 0:.2f}"
            for key in ("pruned", "tuned")
            if key in own[0]
        ]
        print(f"| {cell} | {sparsity:.0%} | {name} |", " | ".join(figures), "|")


if __name__ == "__main__":
    main()
