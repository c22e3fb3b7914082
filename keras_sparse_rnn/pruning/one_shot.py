"""Pruning at once, without training."""

from keras_sparse_rnn import criteria
from keras_sparse_rnn.patterns import (
    SCOPES,
    check_block_shape,
    check_choice,
    check_flag,
    check_sparsity,
)
from keras_sparse_rnn.pruning.groups import Options, find_groups
from keras_sparse_rnn.schedules import Constant
from keras_sparse_rnn.slots import optimizers_of


def prune(
    model,
    sparsity=0.9,
    block_shape=(16, 16),
    *,
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
        sparsity: fraction of the weights to prune, in [0, 1).
        block_shape, criterion, scope, keep_diagonal, minimum_density, layers: as in
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
        check_block_shape(block_shape),
        criteria.get(criterion),
        scope=check_choice(scope, (*SCOPES, None), "scope"),
        keep_diagonal=check_flag(keep_diagonal, "keep_diagonal"),
        minimum_density=check_sparsity(minimum_density, "minimum_density"),
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
