"""Which weights of a model live, and how it came there."""

import numpy as np

from keras_sparse_rnn import private_keras
from keras_sparse_rnn.checks import check_keras_model
from keras_sparse_rnn.layers.base import BlockSparseRNN
from keras_sparse_rnn.layers.cells import WEIGHTS
from keras_sparse_rnn.plot.drawing import DEAD, LIVE, saved
from keras_sparse_rnn.selection import GATE_NAMES, find_kernels, walk
from keras_sparse_rnn.selectors import as_selectors, selects


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
        ValueError: `model` is no Keras 3 model, has no recurrent kernel, or is not built; a
            selector matches no layer.
    """
    from matplotlib.figure import Figure

    check_keras_model(model, layers=True)
    kernels = list(_kernels(model, layers))
    if not kernels:
        raise ValueError(
            "`model` must be built and have recurrent layers, whose kernels are drawn, and "
            f"`layers` must select some. Received: {model.name!r}, layers={layers!r}"
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
    return saved(figure, path)


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
    return saved(figure, path)


def _kernels(model, layers):
    for selector in () if layers is None else as_selectors(layers):
        if not any(selects(selector, chain) for chain in walk(model)):
            find_kernels(model, selector)  # which raises the error
    for layer in private_keras.inner_layers(model):
        if isinstance(layer, BlockSparseRNN) and layer.built and layer.storage == "packed":
            names = next(names for types, names in GATE_NAMES if isinstance(layer, types))
            for role, kernel in zip(WEIGHTS, layer.dense_kernels()):
                yield f"{layer.name}, {role}", names, kernel
    for kernel in find_kernels(model, layers, strict=False):
        yield f"{kernel.layer.name}, {kernel.role}", kernel.gate_names, kernel.numpy()
