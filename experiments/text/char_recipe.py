"""How one character language model is trained."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one model is trained; everything that a result depends on.

    Args:
        cell: `"lstm"` or `"gru"`.
        units: of the recurrent layer.
        steps: batches in all.
        batch, window: sequences in a batch, characters in a sequence.
        learning_rate: at the peak; warmed up over the first 5 % of the steps, then brought to zero
            along a cosine.
        dropout: of the recurrent layer's output while training.
        sparsity: of the recurrent layer's kernels at the end; 0 trains a dense model.
        block_shape: `(rows, columns)` that are pruned together.
        pattern: `(N, M)`: of every M inputs of a unit N live, which is what `sparsity` must say;
            blocks are pruned if it is empty.
        ramp: where the pruning begins and ends, as fractions of `steps`; empty: all of it before
            the first step.
        scope: `"gate"`, `"kernel"` or `"model"`, as in `BlockPruning`.
        criterion: a name, as in `BlockPruning`, or `"lamp-fisher"`, the scores of `"fisher"`
            through `LAMP`.
        keep_diagonal: whether the blocks on the diagonal of each gate's recurrent kernel stay.
        lasso: strength of a group lasso on both kernels, in the same blocks.
        lasso_stays: whether it stays after the ramp (GL); otherwise it is there while the ramp
            rises (GLP).
        regrowth: share of the live weights that are exchanged at first, as in
            `ksr.callbacks.Regrowth`; up to three quarters of the steps.
        units_left: how many units whole-unit pruning leaves at the end of the same ramp; the others
            are removed. 0 prunes none.
        start: the name of the model whose weights it starts from; random ones if empty.
        distillation: share of the loss that is the difference from what the model that it starts
            from says; the rest is that from the text.
        reorder: whether the units of that model are put into the order of their importance first.
        label: stands in the name, before the seed, where recipes differ in more than units,
            sparsity and block shape.
        seed: of the weights and of the order of the text.
    """

    cell: str = "lstm"
    units: int = 512
    steps: int = 2500
    batch: int = 32
    window: int = 64
    learning_rate: float = 8e-3
    dropout: float = 0.0
    sparsity: float = 0.0
    block_shape: tuple = (16, 16)
    pattern: tuple = ()
    ramp: tuple = (0.02, 0.3)
    scope: str = "model"
    criterion: str = "fisher"
    keep_diagonal: bool = False
    lasso: float = 0.0
    lasso_stays: bool = False
    regrowth: float = 0.0
    units_left: int = 0
    start: str = ""
    distillation: float = 0.0
    reorder: bool = False
    label: str = ""
    seed: int = 1

    def name(self):
        """A short name that tells the models of one run apart."""
        kind = f"to{self.units_left}" if self.units_left else "dense"
        if self.sparsity:
            shape = "of".join(map(str, self.pattern)) or "x".join(map(str, self.block_shape))
            kind = f"{100 * self.sparsity:g}%-{shape}"
        label = self.label and f"-{self.label}"
        return f"{self.cell}{self.units}-{kind}{label}-seed{self.seed}"
