"""Where `Moduli` has put the neurons of a kernel."""

import numpy as np

from keras_sparse_rnn.plot.drawing import LIVE, saved


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
    return saved(figure, path)


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
