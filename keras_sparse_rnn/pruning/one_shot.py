"""Pruning at once, without training."""

from keras_sparse_rnn import criteria
from keras_sparse_rnn.patterns import (
    SCOPES,
    check_block_or_pattern,
    check_choice,
    check_flag,
    check_pattern,
    check_sparsity,
)
from keras_sparse_rnn.pruning.groups import Options, find_groups
from keras_sparse_rnn.schedules import Constant
from keras_sparse_rnn.slots import optimizers_of

SPARSITY = 0.9


def prune(
    model,
    sparsity=None,
    block_shape=None,
    *,
    pattern=None,
    criterion="max",
    scope="gate",
    keep_diagonal=False,
    minimum_density=0.0,
    layers=None,
):
    """Prunes the kernels of a built model in blocks, at once and in place.

        ksr.prune(model, sparsity=0.9)
        sparse = ksr.substitute(model)          # the same predictions, from live blocks only

    This shows what a sparsity is worth in bytes and time. It costs far more accuracy than pruning
    while the model trains: `callbacks.BlockPruning`, `recipes.PruneTrained`. To train the model on
    without losing its zeros, use `callbacks.KeepMasks`.

    Args:
        model: a built model, of any make.
        sparsity: fraction of the weights to prune, in [0, 1). `None`: 0.9, or that of the pattern.
        block_shape, pattern, criterion, scope, keep_diagonal, minimum_density, layers: as in
            `callbacks.BlockPruning`.

    Returns:
        `model`.

    Raises:
        ValueError: an argument is wrong or does not fit the model; weights are NaN or infinite.
            Nothing is changed then.

    Warns:
        UserWarning: as in `callbacks.BlockPruning`.
    """
    options = Options(
        check_block_or_pattern(block_shape, check_pattern(pattern)),
        criteria.get(criterion),
        scope=check_choice(scope, (*SCOPES, None), "scope"),
        keep_diagonal=check_flag(keep_diagonal, "keep_diagonal"),
        minimum_density=check_sparsity(minimum_density, "minimum_density"),
        pattern=pattern,
    )
    if sparsity is None:
        sparsity = SPARSITY if pattern is None else pattern.sparsity
    elif pattern is not None and sparsity != pattern.sparsity:
        raise ValueError(
            "`sparsity` must be left out where there is a `pattern`, which has one of its own, "
            f"{pattern.sparsity:.6g}. Received: sparsity={sparsity!r}, pattern={pattern!r}"
        )
    (group,) = find_groups(model, Constant(check_sparsity(sparsity), 0), layers, options)
    options.criterion.begin(model)
    try:
        group.check()
        lives = group.begin(0)
    finally:
        options.criterion.end(model)
    for mask, live in zip(group.masks, lives):
        mask.optimizers = [one for _, one in optimizers_of(model)]
        mask.apply(live)
    return model
