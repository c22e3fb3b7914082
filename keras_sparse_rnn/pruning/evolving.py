"""Packed kernels of which the live blocks change while they are trained, their number does not."""

import dataclasses
import zlib

import keras
import numpy as np

from keras_sparse_rnn.layers import BlockSparseDense
from keras_sparse_rnn.layers.base import BlockSparseRNN
from keras_sparse_rnn.patterns import BlockGrid, among_others
from keras_sparse_rnn.selection import walk
from keras_sparse_rnn.selectors import as_selectors, path, selects
from keras_sparse_rnn.slots import fresh_slots

DROPS = ("magnitude", "signs")


@dataclasses.dataclass(frozen=True, eq=False)
class EvolvingKernel:
    """A packed kernel.

    Attributes:
        layer: the block-sparse layer.
        index: its number in the layer's `grids`, and in the `found` of its `GradientWatch`.
        name: the path of the layer and the name of the kernel.
        grid: the `BlockGrid`.
        values, blocks: its variables.
        protected: the numbers of blocks that are never dropped, ascending.
    """

    layer: keras.Layer
    index: int
    name: str
    grid: BlockGrid
    values: keras.Variable
    blocks: keras.Variable
    protected: np.ndarray

    def parts(self, scope):
        """`[(first number, number after the last)]` of each gate, or of all together."""
        count = self.grid.gates if scope == "gate" else 1
        size = self.grid.count // count
        return [(part * size, (part + 1) * size) for part in range(count)]

    def most(self, scope):
        """How many blocks live in the part that has most."""
        blocks = self.blocks.numpy()
        return max(int(np.diff(np.searchsorted(blocks, part))[0]) for part in self.parts(scope))

    def weakest(self, share, scope, drop):
        """The numbers of the live blocks that are to go, a list of arrays, one for each part: the
        `share` of them, rounded, of the least mean square of weights, of equal ones the lower
        numbers.

        Args:
            share: of the live blocks of a part.
            scope: `"gate"` or `"kernel"`: what a part is.
            drop: `"magnitude"`, or `"signs"`: the share of those whose weights have a sum above
                zero, and that of the others.

        Raises:
            ValueError: weights are NaN or infinite.
        """
        blocks, values = self.blocks.numpy().astype(np.int64), self.values.numpy()
        scores = np.einsum("brc,brc->b", values, values, dtype=np.float64) / self._elements(blocks)
        if not np.isfinite(scores).all():
            raise ValueError(
                "Weights must be finite when blocks are exchanged: training has diverged. "
                f"Received: NaN or infinity in {self.name}"
            )
        free = np.isin(blocks, self.protected, invert=True)
        above = np.einsum("brc->b", values) > 0 if drop == "signs" else None
        chosen = []
        for first, after in self.parts(scope):
            inside = (blocks >= first) & (blocks < after)
            room = after - first - np.count_nonzero(inside)
            groups = [inside] if above is None else [inside & above, inside & ~above]
            own = []
            for group in groups:
                count = round(share * np.count_nonzero(group))
                places = np.flatnonzero(group & free)
                own.append(places[np.argsort(scores[places], kind="stable")[:count]])
            places = np.concatenate(own)
            places = places[np.argsort(scores[places], kind="stable")[:room]]
            chosen.append(np.sort(blocks[places]))
        return chosen

    def by_chance(self, dropped, scope, step):
        """As many dead blocks as are `dropped`, of each part; those that were dead before. The
        pattern that is there and the step decide, so a resumed run chooses the same.
        """
        blocks = self.blocks.numpy().astype(np.int64)
        seed = (zlib.crc32(blocks.tobytes()), zlib.crc32(self.name.encode()), step)
        generator = np.random.default_rng(seed)
        grown = []
        for (first, after), own in zip(self.parts(scope), dropped):
            live = blocks[(blocks >= first) & (blocks < after)] - first
            grown.append(first + among_others(generator, after - first, len(own), live))
        return grown

    def by_gradient(self, dropped, scope):
        """As many blocks as are `dropped`, of each part: those of the largest gradient among them
        and the dead ones, of equal ones the lower numbers.

        Raises:
            ValueError: gradients are NaN or infinite.
        """
        numbers, scores, of_live = (one.numpy() for one in self.layer.watch.found[self.index])
        if not (np.isfinite(scores).all() and np.isfinite(of_live).all()):
            raise ValueError(
                "Gradients must be finite when blocks are exchanged: training has diverged. "
                f"Received: NaN or infinity in those of {self.name}"
            )
        blocks = self.blocks.numpy()
        grown = []
        for part, own in enumerate(dropped):
            dead = numbers[part] >= 0
            candidates = np.concatenate([own, numbers[part][dead]])
            worth = np.concatenate([of_live[np.searchsorted(blocks, own)], scores[part][dead]])
            best = np.lexsort([candidates, -worth.astype(np.float64)])[: len(own)]
            grown.append(np.sort(candidates[best]))
        return grown

    def exchange(self, dropped, grown, optimizers):
        """Lets the blocks `grown` live in place of those that are `dropped`, lists of numbers:
        zero, with fresh slots of `optimizers`. Those that are in both stay as they are. Returns how
        many are new.
        """
        old = self.blocks.numpy().astype(np.int64)
        dropped, grown = np.concatenate(dropped), np.concatenate(grown)
        new = np.union1d(np.setdiff1d(old, dropped, assume_unique=True), grown)
        places = np.minimum(np.searchsorted(old, new), len(old) - 1)
        born = old[places] != new
        if not born.any():
            return 0
        slots = [pair for one in optimizers for pair in fresh_slots(one, self.values)]
        for variable, fresh in [(self.values, 0), *slots]:
            kept = variable.numpy()[places]
            kept[born] = fresh
            variable.assign(kept)
        self.blocks.assign(new.astype(np.int32))
        return int(np.count_nonzero(born))

    def _elements(self, blocks):
        """How many weights each of the `blocks` has: fewer at partial edges."""
        grid, (height, width) = self.grid, self.grid.block_shape
        rows = np.minimum(height, grid.inputs - blocks % grid.rows * height)
        return rows * np.minimum(width, grid.units - blocks // grid.rows % grid.columns * width)


def find_evolving(model, layers, keep_diagonal):
    """The packed kernels of the selected layers, a list of `EvolvingKernel`, those without dead
    blocks left out.

    Raises:
        ValueError: there is none; a selector matches no block-sparse layer; a selected layer is of
            masked storage, has weights that are not trained, or a kernel without a live block.
    """
    selectors = None if layers is None else as_selectors(layers)
    found, known, masked, matched = [], [], [], set()
    for chain in walk(model):
        layer = chain[-1]
        if not isinstance(layer, (BlockSparseRNN, BlockSparseDense)):
            continue
        known.append(path(chain) + ("" if layer.trainable else " (not trainable)"))
        hits = [number for number, one in enumerate(selectors or ()) if selects(one, chain)]
        matched.update(hits)
        if selectors is not None and not hits:
            continue
        if layer.storage == "masked":
            masked.append(path(chain))
        else:
            found += _kernels_of(layer, path(chain), keep_diagonal, selectors is not None)
    for number, one in enumerate(selectors or ()):
        if number not in matched:
            raise ValueError(
                f"`layers` must match block-sparse layers of the model; {one!r} matches none. It "
                f"has: {', '.join(known) or 'none'}"
            )
    if masked and (selectors is not None or not found):
        raise ValueError(
            'Blocks evolve in layers of storage="packed"; in those of storage="masked" a '
            "BlockPruning with a Regrowth exchanges them. Received: "
            f'storage="masked" in {", ".join(masked)}'
        )
    evolving = [one for one in found if one.values.shape[0] < one.grid.count]
    if not evolving:
        raise ValueError(
            "The model must have a packed layer with dead blocks that is trained, such as "
            "ksr.layers.BlockSparseLSTM(units, sparsity=0.9). Received: the model "
            f"{model.name!r}, layers={layers!r}, with block-sparse layers: "
            f"{', '.join(known) or 'none'}"
        )
    for one in evolving:
        if not one.values.shape[0]:
            raise ValueError(
                f"A kernel must have a live block to evolve. Received: {one.name} without one; "
                "lower its sparsity, or leave the layer out with `layers`"
            )
    return evolving


def _kernels_of(layer, where, keep_diagonal, is_selected):
    """The kernels of a packed layer; of one that is not trained none, or an error if it
    `is_selected`.
    """
    owner = getattr(layer, "cell", layer)
    names = ("kernel", "recurrent_kernel")[: len(layer.grids)]
    kernels = []
    for index, (name, grid) in enumerate(zip(names, layer.grids)):
        values = getattr(owner, f"{name}_values")
        if not values.trainable:
            if is_selected:
                raise ValueError(
                    f"Only kernels that are trained evolve. Received: {where}/{name}, which is not "
                    f"trainable, of weights={layer.weights_choice!r}"
                )
            continue
        kept = keep_diagonal and name == "recurrent_kernel"
        protected = grid.diagonal if kept else np.zeros(0, np.int64)
        blocks = getattr(owner, f"{name}_blocks")
        kernels.append(
            EvolvingKernel(layer, index, f"{where}/{name}", grid, values, blocks, protected)
        )
    return kernels
