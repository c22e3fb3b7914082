"""Blocks that carry little of the network's activity go first."""

import collections.abc
import numbers

import keras

from keras_sparse_rnn.criteria.criterion import Criterion
from keras_sparse_rnn.geometry import Recorder, check_share, find_cells, measure
from keras_sparse_rnn.geometry.results import COMBINATIONS
from keras_sparse_rnn.patterns import check_choice


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class Geometric(Criterion):
    """What a block contributes to the directions in which the hidden states move; see
    `ksr.geometry` and docs/geometry.md.

        pruning = ksr.callbacks.BlockPruning(schedule, criterion=ksr.criteria.Geometric(x[:512]))

    Before a mask is taken the model predicts a part of `data`, the leading directions of the hidden
    states of each recurrent layer are found, and a block scores the variance of the pre-activations
    that it writes into them, `trace(W^T S_II W P_JJ)` per weight (`combine="joint"`; the others are
    told at `geometry.LayerGeometry.blocks`). It needs no targets and no gradients.

    Args:
        data: inputs of the model, as for `geometry.analyze`. They are gone through at every mask,
            so an iterator will not do, and must be the same each time if a resumed run shall take
            the same masks.
        share: of the variance, that the leading directions hold, in (0, 1]; 1 takes all directions.
        batches: how many batches of `data` are used, the first ones.
        batch_size: into how many samples arrays are cut.
        refresh: the states are measured anew for every how many masks; in between, the weights are
            scored with the states of the last time. Above 1, a resumed run, which must measure, can
            take other masks than an uninterrupted one.
        combine: how weights make a block: `"joint"`, `"l2"` or `"mean"`.

    Raises:
        ValueError: an argument is wrong; a pruned layer is not a recurrent one that the model runs
            as a whole; its states are NaN or infinite, or never vary.
    """

    def __init__(self, data, share=0.9, *, batches=8, batch_size=32, refresh=1, combine="joint"):
        if data is None or isinstance(data, collections.abc.Iterator):
            raise ValueError(
                "`data` must be inputs of the model that can be gone through more than once: "
                "arrays, a tf.data.Dataset or a keras.utils.PyDataset. Received: "
                f"{'data=None' if data is None else f'data of type {type(data).__name__}'}"
            )
        for name, value in (("batches", batches), ("batch_size", batch_size), ("refresh", refresh)):
            if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f"`{name}` must be an integer of at least 1. Received: {name}={value!r}"
                )
        self.data, self.share = data, check_share(share)
        self.batches, self.batch_size, self.refresh = int(batches), int(batch_size), int(refresh)
        self.combine = check_choice(combine, COMBINATIONS, "combine")
        self._recorders, self._measured = {}, {}

    def begin(self, model):
        self.end(model)

    def prepare(self, kernels, model):
        owners = list(dict.fromkeys(kernel.cell for kernel, _ in kernels))
        key = tuple(map(id, owners))
        if key not in self._recorders:
            cells = [cell for cell in find_cells(model) if cell.owner in owners]
            strange = [
                kernel.name
                for kernel, _ in kernels
                if kernel.cell not in [cell.owner for cell in cells]
            ]
            if strange:
                raise ValueError(
                    "`criterion` Geometric scores the kernels of recurrent layers only. Received: "
                    f"{', '.join(strange)}. Leave it out with `layers`, or prune it in a callback "
                    "of its own"
                )
            self._recorders[key] = [Recorder(model, cells), 0]
        recorder, masks = self._recorders[key]
        self._recorders[key][1] += 1
        if masks % self.refresh:
            return
        for cell, found in zip(
            recorder.cells,
            measure(
                recorder,
                self.data,
                self.share,
                batch_size=self.batch_size,
                batches=self.batches,
                strategy=model.distribute_strategy,
            ),
        ):
            if not found.dimensions():
                raise ValueError(
                    f"The hidden states of {found.name} never vary over `data`, so no block can "
                    "be told from another. Is the layer trained?"
                )
            self._measured[id(cell.owner)] = found

    def block_scores(self, kernel, grid, model):
        if id(kernel.cell) not in self._measured:
            self.prepare([(kernel, grid)], model)
        return self._measured[id(kernel.cell)].blocks(
            grid, kernel.role, self.combine, kernel.numpy()
        )

    def end(self, model):
        self._recorders, self._measured = {}, {}

    def get_config(self):
        raise ValueError(
            "The data of a criterion Geometric cannot be written into a config. Make the "
            "callback anew instead."
        )
