"""How one network of the memory tasks is trained."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one network is trained; everything that a result depends on, but the task.

    Args:
        cell: `"lstm"` or `"gru"`.
        kind: `"dense"`; `"pruned"`, by `recipes.PruneTrained`; `"evolution"`, sparse from the start
            with exchanged blocks; `"fixed"`, with those that it began with; `"unconnected"`,
            without a recurrent kernel.
        units: of the recurrent layer.
        steps: batches in all, those of a dense start included.
        batch: sequences in a batch.
        learning_rate: at the peak; warmed up over the first 5 % of the steps, then brought to zero
            along a cosine.
        sparsity: of the recurrent layer's kernels, where blocks are chosen.
        block_shape: `(rows, columns)` that live or die together.
        start_rate: of a pruned one's dense start, which takes half of the steps; 0: none, all of
            the steps from random weights.
        scope, keep_diagonal: as in `callbacks.BlockPruning`.
        seed: of the weights and of the sequences.
    """

    cell: str = "lstm"
    kind: str = "dense"
    units: int = 128
    steps: int = 1500
    batch: int = 32
    learning_rate: float = 8e-3
    sparsity: float = 0.9
    block_shape: tuple = (16, 16)
    start_rate: float = 0.0
    scope: str | None = None
    keep_diagonal: bool = False
    seed: int = 1
