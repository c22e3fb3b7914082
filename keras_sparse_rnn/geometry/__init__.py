"""Where the activity of a trained recurrent network lives, and what its neurons and weights
contribute to it.

The hidden states of a trained network often move in few directions of the many that it has.
`analyze` runs a model over data, finds these directions, and scores neurons and weights by what
they contribute to them; `ksr.criteria.Geometric` prunes by these scores. What is computed, and why,
stands in docs/geometry.md.

    geometry = ksr.geometry.analyze(model, x)          # prints a table
    geometry["lstm"].dimensions(0.95)                  # directions that hold 95 % of the variance
    geometry["lstm"].droppable(loss=0.01)              # neurons that hardly vary
    geometry["lstm"].weights("recurrent_kernel")       # a score for each weight
    ksr.plot.geometry(geometry, "geometry.png")"""

import numbers

from keras_sparse_rnn.checks import check_console
from keras_sparse_rnn.geometry.cells import RecurrentCell, find_cells
from keras_sparse_rnn.geometry.covariance import of_all_workers
from keras_sparse_rnn.geometry.recording import Recorder
from keras_sparse_rnn.geometry.results import Geometry, LayerGeometry, check_share

__all__ = [
    "Geometry",
    "LayerGeometry",
    "Recorder",
    "RecurrentCell",
    "analyze",
    "check_share",
    "find_cells",
    "measure",
]


def analyze(model, data, layers=None, share=0.9, *, batch_size=32, batches=None, console=None):
    """Runs `model` over `data` and finds the principal directions of the hidden states of its
    recurrent layers. Prints a table of them.

    The states are those of all steps, whatever the layers return. Masked steps do not count. The
    two halves of a `Bidirectional` layer, and the cells of a stack, are layers of their own.
    Covariances are added up in float64, batch by batch; no states are kept. Dropout is off. The
    model stays as it is.

    Args:
        model: a built `keras.Model` of any make, with Keras's recurrent layers, block-sparse ones
            or both.
        data: inputs as `model.predict` takes them, or batches as `model.fit` takes them: arrays, a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or an iterator.
        layers: which layers: None for all recurrent ones, or names, types or predicates as in
            `BlockPruning`.
        share: of the variance, that the leading directions hold, in (0, 1]. Neurons and weights are
            scored by what they contribute to these directions.
        batch_size: into how many samples arrays are cut.
        batches: how many batches at most; None takes all.
        console: the `rich.console.Console` to print to; by default standard output. False prints
            nothing.

    Returns:
        `Geometry`: a `LayerGeometry` for each layer.

    Raises:
        ValueError: an argument is wrong, the model has no such layer or is not built, `data` holds
            nothing, or states are NaN or infinite.
    """
    check_console(console)
    cells = find_cells(model, layers)
    result = Geometry(
        model.name,
        measure(Recorder(model, cells), data, share, batch_size=batch_size, batches=batches),
    )
    if console is not False:
        result.print(console)
    return result


def measure(recorder, data, share=0.9, *, batch_size=32, batches=None, strategy=None):
    """What `analyze` finds with a `Recorder` that is there already, to be asked again as training
    goes on: a tuple of `LayerGeometry`.

    With a `strategy` of several workers, all of which must call this, each with data of its own, it
    is that of all their data together.
    """
    check_share(share)
    for name, value in (("batch_size", batch_size), ("batches", batches)):
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1
        if not whole and not (name == "batches" and value is None):
            raise ValueError(
                f"`{name}` must be an integer of at least 1. Received: {name}={value!r}"
            )
    pairs = recorder.measure(data, batch_size, batches)
    if strategy is not None:
        merged = iter(of_all_workers([one for pair in pairs for one in pair], strategy))
        pairs = list(zip(merged, merged))
    found = []
    for cell, (states, inputs) in zip(recorder.cells, pairs):
        kernel, recurrent_kernel = cell.kernels()
        found.append(
            LayerGeometry(
                cell.name,
                states.count,
                states.mean,
                states.matrix,
                inputs.matrix,
                kernel,
                recurrent_kernel,
                share,
            )
        )
    return tuple(found)
