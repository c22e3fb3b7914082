"""How the experiments prune while they train."""

import keras_sparse_rnn as ksr


def schedule_of(recipe, sparsity):
    """The sparsity over the steps: a schedule along the recipe's `ramp`, fractions of its `steps`;
    without a ramp the `sparsity` itself, from the first step on.
    """
    if not recipe.ramp:
        return sparsity
    begin, end = (max(1, round(part * recipe.steps)) for part in recipe.ramp)
    return ksr.schedules.PolynomialDecay(0.0, sparsity, begin, end)


def frequency_of(recipe):
    """Steps between two prunings along the ramp; without one it is pruned once."""
    return max(1, recipe.steps // 50) if recipe.ramp else None


def pruning_of(recipe, lasso_stays=False, **changes):
    """The callbacks that prune in blocks or in N:M, with a group lasso while there is one.

    Args:
        recipe: has `steps`, `sparsity`, `block_shape`, `pattern`, `ramp`, `scope`, `criterion` and
            `lasso`.
        lasso_stays: whether the lasso stays after the ramp.
        **changes: other arguments of `BlockPruning`.
    """
    if not recipe.sparsity:
        return []
    schedule = schedule_of(recipe, recipe.sparsity)
    options = {"criterion": recipe.criterion, "scope": recipe.scope, **changes}
    pruning = ksr.callbacks.BlockPruning(
        schedule,
        None if recipe.pattern else recipe.block_shape,
        pattern=ksr.patterns.NofM(*recipe.pattern) if recipe.pattern else None,
        frequency=frequency_of(recipe),
        **options,
    )
    if not recipe.lasso:
        return [pruning]
    lasso = ksr.regularizers.GroupLasso(recipe.lasso, recipe.block_shape)
    until = None if lasso_stays else schedule
    return [pruning, ksr.callbacks.StrengthSchedule(until=until, regularizer=lasso)]


def kept_in(recipe):
    """The block shape of the masked layers that a recipe trains in: its own, but blocks of single
    weights would cost more than they spare, and a dense model may have fewer units than a block has
    rows.
    """
    single = recipe.pattern or recipe.block_shape == (1, 1)
    block_shape = (16, 16) if single else recipe.block_shape
    return tuple(min(size, recipe.units) for size in block_shape)
