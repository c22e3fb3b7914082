"""The recipe of the character language model: its network, its training, its score."""

import dataclasses
import json
import os
import pathlib
import tempfile
import time

import keras
import numpy as np
from char_text import Windows
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import keras_sparse_rnn as ksr

EMBEDDING = 64
CRITERIA = {"fisher": ksr.criteria.Fisher(), "lamp-fisher": ksr.criteria.LAMP(ksr.criteria.Fisher())}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one model is trained; everything that a result depends on.

    Args:
        units: of the LSTM.
        steps: batches in all.
        batch, window: sequences in a batch, characters in a sequence.
        learning_rate: at the peak; warmed up over the first 5 % of the steps, then brought to zero along a cosine.
        dropout: of the LSTM's output while training.
        sparsity: of the LSTM's kernels at the end; 0 trains a dense model.
        block_shape: `(rows, columns)` that are pruned together.
        ramp: where the pruning begins and ends, as fractions of `steps`.
        scope: `"gate"`, `"kernel"` or `"model"`, as in `BlockPruning`.
        criterion: `"max"`, `"mean"` or `"l2"`, as in `BlockPruning`, or a key of `CRITERIA`.
        lasso: strength of a group lasso on both kernels while the ramp rises (GLP).
        regrowth: share of the live weights that are exchanged at first, as in `ksr.callbacks.Regrowth`; up to three quarters of the steps.
        start: the name of the model whose weights it starts from; random ones if empty.
        reorder: whether the units of that model are put into the order of their importance first.
        label: stands in the name, before the seed, where recipes differ in more than units, sparsity and block shape.
        seed: of the weights and of the order of the text.
    """

    units: int = 512
    steps: int = 2500
    batch: int = 32
    window: int = 64
    learning_rate: float = 8e-3
    dropout: float = 0.0
    sparsity: float = 0.0
    block_shape: tuple = (16, 16)
    ramp: tuple = (0.1, 0.4)
    scope: str = "model"
    criterion: str = "l2"
    lasso: float = 0.0
    regrowth: float = 0.0
    start: str = ""
    reorder: bool = False
    label: str = ""
    seed: int = 1

    def name(self):
        """A short name that tells the models of one run apart."""
        kind = "dense" if not self.sparsity else f"{100 * self.sparsity:g}%-{self.block_shape[0]}x{self.block_shape[1]}"
        label = self.label and f"-{self.label}"
        return f"lstm{self.units}-{kind}{label}-seed{self.seed}"


def build(characters, units, dropout=0.0, batch=None, stateful=False, regularizer=None):
    """A language model: characters int32 `[batch, time]` to logits `[batch, time, characters]`; `regularizer` is that of the LSTM's kernels."""
    regularizers = {"kernel_regularizer": regularizer, "recurrent_regularizer": regularizer}
    inputs = keras.Input((None,), batch_size=batch, dtype="int32", name="characters")
    x = keras.layers.Embedding(characters, EMBEDDING, name="embedding")(inputs)
    x = keras.layers.LSTM(units, return_sequences=True, stateful=stateful, **regularizers, name="lstm")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x) if dropout else x
    return keras.Model(inputs, keras.layers.Dense(characters, name="logits")(x), name="char_lm")


def parameters(model):
    """The weights that are not zero by pruning: all of the model's, less the zeros of its kernels."""
    return sum(int(np.count_nonzero(w)) if "kernel" in w.path else w.shape.num_elements() for w in model.weights)


def live_fraction(lstm):
    """The fraction of the weights of both kernels of a Keras LSTM that are not zero."""
    kernels = [keras.ops.convert_to_numpy(kernel) for kernel in (lstm.cell.kernel, lstm.cell.recurrent_kernel)]
    return sum(map(np.count_nonzero, kernels)) / sum(kernel.size for kernel in kernels)


def equal_units(characters, count):
    """The units of the dense model whose parameter count comes nearest to `count`."""

    def total(units):
        return characters * EMBEDDING + 4 * units * (units + EMBEDDING + 1) + (units + 1) * characters

    return min(range(1, 4096), key=lambda units: abs(total(units) - count))


def bits_per_character(model, text):
    """The mean of `-log2 p` over the held-out windows, each read from a state of zero."""
    inputs, targets = text.evaluation()
    losses = [
        keras.losses.sparse_categorical_crossentropy(targets[i : i + 32], model(inputs[i : i + 32]), from_logits=True)
        for i in range(0, len(inputs), 32)
    ]
    return float(np.concatenate(losses).mean() / np.log(2))


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished model and what came out of its training.

    Attributes:
        recipe: as it was trained.
        path: of the saved model, a plain Keras one.
        bits: per character of held-out text.
        parameters: that are not zero.
        sparsity: of the LSTM's kernels.
        seconds: of training.
        loss, sparsities: bits per character of the batch and sparsity, for each step.
    """

    recipe: Recipe
    path: pathlib.Path
    bits: float
    parameters: int
    sparsity: float
    seconds: float
    loss: list
    sparsities: list

    def model(self):
        """Loads the model."""
        return keras.models.load_model(self.path)


def trained(recipe, text, folder, console):
    """Trains by `recipe`, or takes the model that an earlier run has finished.

    Args:
        recipe: `Recipe`.
        text: `Text`.
        folder: where the model and its record are kept.
        console: `rich.console.Console`.

    Returns:
        `Trained`.
    """
    path = folder / f"{recipe.name()}.keras"
    record = path.with_suffix(".json")
    asked = json.loads(json.dumps({**dataclasses.asdict(recipe), "text": text.digest}))
    if record.exists() and path.exists():
        known = json.loads(record.read_text())
        if known.pop("asked") == asked:
            console.print(f"{recipe.name()}: taken from {path}")
            return Trained(recipe, path, **known)
    keras.utils.set_random_seed(recipe.seed)
    lasso = ksr.regularizers.GroupLasso(recipe.lasso, recipe.block_shape) if recipe.lasso else None
    model = build(len(text.characters), recipe.units, recipe.dropout, regularizer=lasso)
    if recipe.start:
        model.set_weights(_start(recipe, folder).get_weights())
    # The same variables in layers that skip the blocks that are zero already: training gets faster as pruning goes on.
    model = ksr.substitute(model, block_shape=recipe.block_shape, storage="masked")
    begin = time.perf_counter()
    curve = _fit(model, recipe, text, console)
    seconds = time.perf_counter() - begin
    model = ksr.to_dense(model)
    known = {
        "bits": bits_per_character(model, text),
        "parameters": parameters(model),
        "sparsity": 1.0 - live_fraction(model.get_layer("lstm")),
        "seconds": seconds,
        "loss": curve.loss,
        "sparsities": curve.sparsity,
    }
    with tempfile.TemporaryDirectory(dir=folder) as draft:
        model.save(pathlib.Path(draft, path.name))
        pathlib.Path(draft, record.name).write_text(json.dumps({"asked": asked, **known}))
        os.replace(pathlib.Path(draft, path.name), path)
        os.replace(pathlib.Path(draft, record.name), record)
    return Trained(recipe, path, **known)


def _start(recipe, folder):
    """The model that it starts from, with its optimizer, which knows what each weight is worth."""
    model = keras.models.load_model(folder / f"{recipe.start}.keras")
    if recipe.reorder:
        ksr.reorder_units(model, criterion=ksr.criteria.Fisher())
    return model


def _fit(model, recipe, text, console):
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=recipe.learning_rate,
        warmup_steps=recipe.steps // 20,
        decay_steps=recipe.steps - recipe.steps // 20,
    )
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    curve = _Curve()
    callbacks = [_Bar(recipe.name(), recipe.steps, console), curve]
    if recipe.sparsity:
        begin, end = (int(fraction * recipe.steps) for fraction in recipe.ramp)
        schedule = ksr.schedules.PolynomialDecay(0.0, recipe.sparsity, begin, end)
        pruning = ksr.callbacks.BlockPruning(
            schedule,
            recipe.block_shape,
            frequency=max(1, recipe.steps // 50),
            criterion=CRITERIA.get(recipe.criterion, recipe.criterion),
            scope=recipe.scope,
            regrowth=_regrowth(recipe, text),
        )
        callbacks.insert(0, pruning)
        if recipe.lasso:
            callbacks.append(ksr.callbacks.StrengthSchedule(until=schedule))
    data = Windows(text.train, recipe.batch, recipe.window, recipe.steps, recipe.seed)
    model.fit(data, callbacks=callbacks, verbose=0, shuffle=False)
    return curve


def _regrowth(recipe, text):
    """Masked layers compute no gradients of dead blocks, so it has a batch of its own for them."""
    if not recipe.regrowth:
        return None
    data = Windows(text.train, 2 * recipe.batch, recipe.window, steps=1, seed=0)
    return ksr.callbacks.Regrowth(recipe.regrowth, until=3 * recipe.steps // 4, data=data)


class _Bar(keras.callbacks.Callback):
    """A progress bar over the steps, with the loss and the sparsity."""

    def __init__(self, title, steps, console):
        super().__init__()
        self.progress = Progress(
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
        )
        self.task = self.progress.add_task(title, total=steps, state="")

    def on_train_begin(self, logs=None):
        self.progress.start()

    def on_train_batch_end(self, batch, logs=None):
        state = f"bits {logs['loss'] / np.log(2):.3f}"
        if "sparsity" in logs:
            state += f"  sparsity {logs['sparsity']:.3f}"
        self.progress.update(self.task, advance=1, state=state)

    def on_train_end(self, logs=None):
        self.progress.stop()


class _Curve(keras.callbacks.Callback):
    """Loss of each step and sparsity over the steps."""

    def __init__(self):
        super().__init__()
        self.loss, self.sparsity = [], []
        self._total = 0.0

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the mean since the beginning of the epoch; its difference is the loss of this step.
        total = logs["loss"] * (batch + 1)
        self.loss.append(float(total - self._total) / float(np.log(2)))
        self.sparsity.append(float(logs.get("sparsity", 0.0)))
        self._total = total
