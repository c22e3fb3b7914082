"""Pictures of sparsity. Needs matplotlib (`pip install "keras_sparse_rnn[examples]"`)."""

import os
import pathlib
import tempfile

import numpy as np

from keras_sparse_rnn.checks import check_keras_model
from keras_sparse_rnn.layers.base import WEIGHTS, BlockSparseRNN
from keras_sparse_rnn.selection import GATE_NAMES, find_kernels

LIVE, DEAD = (0.12, 0.35, 0.58), (0.93, 0.94, 0.95)


def masks(model, path=None, layers=None):
    """Draws which weights live, one picture for each gate of each recurrent kernel: inputs run
    down, units to the right.

    Args:
        model: a built model, of Keras layers or block-sparse ones.
        path: a file to write, of any format that matplotlib knows by its ending; None writes
            nothing.
        layers: which layers, as in `BlockPruning`; None draws all recurrent ones. Block-sparse
            packed layers are always drawn.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: `model` is no Keras 3 model, has no recurrent kernel, or is not built.
    """
    from matplotlib.figure import Figure

    check_keras_model(model, layers=True)
    kernels = list(_kernels(model, layers))
    if not kernels:
        raise ValueError(
            "`model` must be built and have recurrent layers, whose kernels are drawn. "
            f"Received: {model.name!r}"
        )
    gates = max(len(names) for _, names, _ in kernels)
    heights = [
        max(0.6, 2.2 * min(1.5, kernel.shape[0] * len(names) / kernel.shape[1]))
        for _, names, kernel in kernels
    ]
    figure = Figure(
        figsize=(2.2 * gates + 1.2, sum(heights) + 0.55 * len(kernels) + 0.3), layout="constrained"
    )
    axes = figure.subplots(len(kernels), gates, squeeze=False, height_ratios=heights)
    for row, (title, names, kernel) in zip(axes, kernels):
        for axis in row[len(names) :]:
            axis.axis("off")
        for gate, (axis, part) in enumerate(zip(row, np.split(kernel != 0, len(names), axis=1))):
            axis.imshow(
                np.where(part[..., None], LIVE, DEAD), interpolation="nearest", aspect="auto"
            )
            gate_name = f"gate {names[gate]}, " if len(names) > 1 else ""
            axis.set_title(f"{gate_name}{100 * np.mean(~part):.1f} % zero", fontsize=8)
            axis.tick_params(labelsize=6, length=2)
            if gate:
                axis.set_yticks([])
        row[0].set_ylabel(f"{title}\ninputs", fontsize=7)
        for axis in row[: len(names)]:
            axis.set_xlabel("units", fontsize=7, labelpad=1)
    return _saved(figure, path)


def curves(runs, path=None, smooth=25, loss="bits per character"):
    """Draws loss and sparsity over the training steps.

    Args:
        runs: mapping of a run's name to `{"loss": [...], "sparsity": [...]}`, one value for each
            step.
        path: a file to write; None writes nothing.
        smooth: the loss is averaged over this many steps.
        loss: what the loss is.

    Returns:
        `matplotlib.figure.Figure`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    for name, run in runs.items():
        window = min(smooth, len(run["loss"]))
        averaged = np.convolve(run["loss"], np.ones(window) / window, mode="valid")
        (line,) = left.plot(
            np.arange(window - 1, len(run["loss"])), averaged, label=name, linewidth=1.2
        )
        if np.any(run["sparsity"]):
            right.plot(run["sparsity"], color=line.get_color(), linestyle=":", linewidth=1.5)
    left.set(xlabel="training step", ylabel=f"training loss, {loss} (solid)")
    right.set(ylabel="sparsity (dotted)", ylim=(0, 1))
    left.grid(alpha=0.25)
    figure.legend(fontsize=8, loc="outside upper center", ncols=len(runs))
    return _saved(figure, path)


def geometry(analysis, path=None):
    """Draws what `ksr.geometry.analyze` found, one row for each layer: three pictures.

    - how much of the variance of the hidden states the leading directions hold, with the share that
      was asked for;
    - what each neuron contributes to these directions, sorted, with the neurons that may be
      dropped;
    - what each recurrent weight contributes, against its magnitude: on a line, the two would rank
      the weights alike.

    Args:
        analysis: a `Geometry`, or one `LayerGeometry` of it.
        path: a file to write, of any format that matplotlib knows by its ending; None writes
            nothing.

    Returns:
        `matplotlib.figure.Figure`.
    """
    from matplotlib.figure import Figure

    layers = list(analysis) if hasattr(analysis, "layers") else [analysis]
    figure = Figure(figsize=(10.5, 3.1 * len(layers)), layout="constrained")
    for row, layer in zip(figure.subplots(len(layers), 3, squeeze=False), layers):
        for axis in row:
            axis.tick_params(labelsize=7)
            axis.grid(alpha=0.25)
        _directions(row[0], layer)
        _neurons(row[1], layer)
        _weights(row[2], layer)
    return _saved(figure, path)


def _directions(axis, layer):
    held = np.concatenate([[0], np.cumsum(layer.variances)]) / max(
        layer.variances.sum(), np.finfo(float).tiny
    )
    axis.plot(held, color=LIVE, linewidth=1.5)
    count = layer.dimensions()
    axis.plot(
        [0, count, count],
        [layer.share, layer.share, 0],
        color="tab:red",
        linewidth=1,
        linestyle="--",
    )
    axis.set_title(
        f"{layer.name}: {count} of {layer.units} directions hold {layer.share:.0%}", fontsize=8
    )
    axis.set_xlabel(
        f"leading directions (participation ratio {layer.participation_ratio:.1f})", fontsize=7
    )
    axis.set_ylabel("share of the variance", fontsize=7)
    axis.set_xscale("symlog", linthresh=10)
    axis.set(xlim=(0, layer.units), ylim=(0, 1.02))
    axis.xaxis.set_major_formatter("{x:.0f}")


def _neurons(axis, layer):
    contributions = layer.neurons[layer.ranking]
    droppable = np.isin(layer.ranking, layer.droppable())
    for chosen, colour, name in (
        (~droppable, LIVE, "kept"),
        (droppable, "tab:orange", f"droppable ({np.count_nonzero(droppable)})"),
    ):
        if chosen.any():
            axis.vlines(
                np.flatnonzero(chosen),
                0,
                contributions[chosen],
                color=colour,
                linewidth=max(0.5, 180 / layer.units),
                label=name,
            )
    axis.legend(fontsize=7)
    axis.set_title("what each neuron contributes", fontsize=8)
    axis.set_xlabel("neurons, sorted", fontsize=7)
    axis.set_ylabel("variance in the leading directions", fontsize=7)


def neurons(moduli, kernel, path=None, lines=1500, title=None):
    """Draws the neurons of a kernel where `Moduli` has put them, and the strongest weights between
    them as lines.

    Torus and Klein bottle are drawn unrolled, with lines over the edge that come in again on the
    other side; circle and spheres, and tori of three and more dimensions by the first three, in
    perspective. Colours go by the number of the neuron, so patches show as spots of one colour.

    Args:
        moduli: a `regularizers.Moduli`.
        kernel: array or variable `[inputs, gates * units]`. A weight counts as strong as the
            strongest of its gates.
        path: a file to write; None writes nothing.
        lines: how many weights are drawn, of those that are not zero and do not join a neuron with
            itself.
        title: of the picture; None tells how many of how many weights are drawn.

    Returns:
        `matplotlib.figure.Figure`.
    """
    from matplotlib.figure import Figure

    kernel = np.asarray(getattr(kernel, "value", kernel))
    inputs, units, gates = moduli.sizes(kernel.shape)
    sizes = np.abs(kernel.reshape(inputs, gates, units)).max(axis=1)
    if not moduli.separate:
        np.fill_diagonal(sizes, 0)
    strongest = np.argsort(-sizes, axis=None, kind="stable")[: min(lines, np.count_nonzero(sizes))]
    rows, columns = np.unravel_index(strongest, sizes.shape)
    source, target = (moduli.manifold.chart(places) for places in moduli.places(inputs, units))
    if source.shape[1] == 1:
        source, target = (np.pad(places, ((0, 0), (0, 1))) for places in (source, target))
    figure = Figure(figsize=(6, 6.2), layout="constrained")
    flat = source.shape[1] == 2
    axis = figure.subplots(subplot_kw={} if flat else {"projection": "3d"})
    shade = 0.2 + 0.7 * (sizes[rows, columns] / sizes.max(initial=1e-30))[:, None]
    _add_lines(axis, moduli.manifold, source[rows], target[columns], np.concatenate([shade, shade]))
    for places, marker in ((source, "o"), (target, "^"))[: 1 + moduli.separate]:
        axis.scatter(
            *places.T,
            c=np.arange(len(places)),
            cmap="turbo",
            s=14,
            marker=marker,
            edgecolors="white",
            linewidths=0.3,
            zorder=3,
        )
    side = moduli.manifold.side
    if side is not None:
        axis.set(xlim=(0, side), ylim=(0, side), **({} if flat else {"zlim": (0, side)}))
    if not flat:
        axis.set_axis_off()
    axis.tick_params(labelsize=6)
    axis.set_aspect("equal")
    count = np.count_nonzero(kernel)
    axis.set_title(
        title
        or (
            f"{type(moduli.manifold).__name__}: {inputs} neurons, the {len(strongest)} strongest "
            f"of {count} weights"
        ),
        fontsize=9,
    )
    return _saved(figure, path)


def _add_lines(axis, manifold, a, b, alpha):
    """Lines between the points `a` and `b`, each in two halves from its ends, so that one over the
    edge shows at both edges.
    """
    halves = [np.stack([p, (p + manifold.image(p, q)) / 2], axis=1) for p, q in ((a, b), (b, a))]
    colours = np.concatenate([np.broadcast_to((*LIVE,), (len(alpha), 3)), alpha], axis=1)
    if a.shape[1] == 2:
        from matplotlib.collections import LineCollection

        axis.add_collection(LineCollection(np.concatenate(halves), colors=colours, linewidths=0.8))
    else:
        from mpl_toolkits.mplot3d.art3d import Line3DCollection

        axis.add_collection3d(
            Line3DCollection(np.concatenate(halves), colors=colours, linewidths=0.8)
        )


def _weights(axis, layer):
    magnitude, score = (
        np.abs(layer.recurrent_kernel).ravel(),
        layer.weights("recurrent_kernel").ravel(),
    )
    live = (magnitude > 0) & (score > 0)
    if np.count_nonzero(live) > 1:
        limits = [
            np.log10(np.percentile(values[live], (0.5, 100))) for values in (magnitude, score)
        ]
        bins = [np.logspace(*limit, 60) for limit in limits]
        axis.hist2d(magnitude[live], score[live], bins=bins, cmin=1, cmap="viridis")
        ranks = [np.argsort(np.argsort(values[live])) for values in (magnitude, score)]
        axis.set_title(
            f"recurrent weights, rank correlation {np.corrcoef(*ranks)[0, 1]:.2f}", fontsize=8
        )
    axis.set(xscale="log", yscale="log")
    axis.set_xlabel("magnitude", fontsize=7)
    axis.set_ylabel("contribution", fontsize=7)


def _kernels(model, layers):
    for layer in model._flatten_layers():
        if isinstance(layer, BlockSparseRNN) and layer.built and layer.storage == "packed":
            names = next(names for types, names in GATE_NAMES if isinstance(layer, types))
            for role, kernel in zip(WEIGHTS, layer.dense_kernels()):
                yield f"{layer.name}, {role}", names, kernel
    for kernel in find_kernels(model, layers, strict=False):
        yield f"{kernel.layer.name}, {kernel.role}", kernel.gate_names, kernel.numpy()


def _saved(figure, path):
    """Writes the figure whole or not at all."""
    if path is not None:
        path = pathlib.Path(path)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            draft = pathlib.Path(folder, path.name)
            figure.savefig(draft, dpi=130)
            os.replace(draft, path)
    return figure
