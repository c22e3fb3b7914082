"""The training of the networks of the memory tasks."""

import dataclasses
import hashlib
import json
import time

import keras
import numpy as np
import tensorflow as tf

import keras_sparse_rnn as ksr
from experiments.common.files import figures_of, keep, keep_figures, record_of
from experiments.common.untuned import untuned
from experiments.memory.memory_network import (
    dense,
    live_weights,
    parameters,
    sparse,
    unconnected,
)

EXCHANGES, FRACTION = 100, 0.3
LASSO = 1e-5
EVALUATED = 1000  # sequences of the validation and of the test
SECOND = 1000  # what the seed of the sequences of a second training has more


def trained(title, recipe, task, folder, console):
    """Trains by `recipe`, or takes the figures that an earlier run has written.

    Args:
        title: what is printed.
        recipe: `Recipe`.
        task: `Brackets` or `Copying`.
        folder: `pathlib.Path` for the figures, and for dense starts.
        console: `rich.console.Console`.

    Returns:
        dict: what the task measures, for `"validation"` and `"test"`; `"parameters"`; live weights,
        gate by gate; and the `"seconds"` of processor that the training took, without those of a
        dense start, which are `"start_seconds"`.
    """
    asked = _asked(recipe, task)
    path = folder / f"{_name(recipe, task)}.json"
    known = figures_of(path, asked)
    if known is not None:
        return known
    console.print(f"{task.name}, {recipe.cell}, {title}: {recipe.learning_rate:g}, {recipe.seed}")
    keras.utils.set_random_seed(recipe.seed)
    steps, weights, start_seconds = recipe.steps, None, 0.0
    if recipe.kind == "pruned" and recipe.start_rate:
        steps = recipe.steps - recipe.steps // 2
        weights, start_seconds = _start(recipe, task, folder)
    model = _built(recipe, task)
    if weights is not None:
        model.set_weights(weights)
    begin = time.process_time()
    rate, callbacks = _callbacks(recipe, steps)
    _fit(model, task, recipe, steps, rate, callbacks, SECOND if weights is not None else 0)
    seconds = time.process_time() - begin
    known = {
        **{part: _measured(model, task, part) for part in ("validation", "test")},
        "parameters": parameters(model),
        "live_weights": live_weights(model, recipe.cell),
        "seconds": seconds,
        "start_seconds": start_seconds,
    }
    keras.backend.clear_session()
    keep_figures(path, asked, known)
    return known


def _asked(recipe, task):
    return {"task": task.name, **dataclasses.asdict(task), **dataclasses.asdict(recipe)}


def _name(recipe, task):
    """A name that tells the networks of all runs apart."""
    mark = hashlib.sha256(json.dumps(_asked(recipe, task)).encode()).hexdigest()[:8]
    return f"{task.name}-{recipe.cell}{recipe.units}-{recipe.kind}-seed{recipe.seed}-{mark}"


def _start(recipe, task, folder):
    """The weights of the dense network that a pruned one starts from, and the seconds that it took;
    rows share it.
    """
    start = dataclasses.replace(
        recipe,
        kind="dense",
        steps=recipe.steps // 2,
        learning_rate=recipe.start_rate,
        start_rate=0.0,
        block_shape=(16, 16),
        scope=None,
        keep_diagonal=False,
    )
    path = folder / f"start-{_name(start, task)}.weights.h5"
    asked = _asked(start, task)
    model = _built(start, task)
    known = record_of(path, asked)
    if known is None:
        begin = time.process_time()
        rate, _ = _callbacks(start, start.steps)
        _fit(model, task, start, start.steps, rate, [], 0)
        known = {"seconds": time.process_time() - begin}
        keep(path, model.save_weights, asked, known)
    else:
        model.load_weights(path)
    return model.get_weights(), known["seconds"]


def _built(recipe, task):
    shape = task, recipe.cell, recipe.units
    if recipe.kind in ("evolution", "fixed"):
        return sparse(*shape, recipe.block_shape, recipe.sparsity)
    if recipe.kind == "unconnected":
        return unconnected(*shape, recipe.block_shape)
    # Blocks of single weights would cost more than they spare.
    fine = recipe.block_shape == (1, 1)
    return dense(*shape, (16, 16) if fine else recipe.block_shape)


def _callbacks(recipe, steps):
    """The learning rate and what changes the live weights."""
    rate = ksr.recipes.warm_cosine(steps, recipe.learning_rate)
    if recipe.kind == "evolution":
        end = steps * 3 // 4
        return rate, [ksr.callbacks.Evolution(max(1, end // EXCHANGES), FRACTION, end_step=end)]
    if recipe.kind != "pruned":
        return rate, []
    pruning = ksr.recipes.PruneTrained(
        steps,
        recipe.learning_rate,
        sparsity=recipe.sparsity,
        block_shape=recipe.block_shape,
        scope=recipe.scope,
        lasso=LASSO,
    )
    by_blocks, *others = pruning.callbacks
    if recipe.keep_diagonal:
        by_blocks = ksr.callbacks.BlockPruning(
            pruning.schedule,
            recipe.block_shape,
            frequency=by_blocks.frequency,
            criterion=by_blocks.criterion,
            scope=recipe.scope,
            keep_diagonal=True,
        )
    return rate, [by_blocks, *others]


def _fit(model, task, recipe, steps, rate, callbacks, more):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss)
    sequences = task.draw(steps * recipe.batch, recipe.seed + more, "train")
    data = tf.data.Dataset.from_tensor_slices(sequences).batch(recipe.batch)
    model.fit(untuned(data), verbose=0, shuffle=False, callbacks=callbacks)


def _measured(model, task, part):
    inputs, targets = task.draw(EVALUATED, 0, part)
    logits = [model(inputs[i : i + 100]) for i in range(0, EVALUATED, 100)]
    return task.measure(np.concatenate(logits), inputs, targets)
