"""What `ksr.geometry` found in the hidden states of a model."""

import numpy as np

from keras_sparse_rnn.plot.drawing import LIVE, saved


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
    return saved(figure, path)


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
