"""What has worked, ready to use: how to prune, when, by what, and with which learning rate."""

import warnings

import keras

from keras_sparse_rnn import callbacks, regularizers, schedules
from keras_sparse_rnn.patterns import check_sparsity
from keras_sparse_rnn.schedules.schedule import check_number, check_step
from keras_sparse_rnn.slots import batches_per_step, nested, updates_made

WARMUP = 0.05
TOLERANCE = 0.02  # of the steps, by which `fit` may run more or fewer of them
RAMP = 0.02, 0.3


def warm_cosine(steps, learning_rate):
    """A learning rate that rises to `learning_rate` over the first 5 % of the steps and falls to
    zero along a cosine: a Keras schedule.

    Raises:
        ValueError: `steps` is no integer of at least 20, or `learning_rate` no number above 0.
    """
    steps = check_step(steps, "steps", least=20)
    peak = check_number(learning_rate, "learning_rate", least=0, open_below=True)
    warmup = round(WARMUP * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=steps - warmup,
        warmup_target=peak,
        warmup_steps=warmup,
    )


class PruneTrained(keras.callbacks.Callback):
    """Prunes a model that has been trained dense, and trains it on for `steps`: the recipe that
    costs the least accuracy in coarse blocks.

        model.fit(x, y, epochs=10)  # dense
        recipe = ksr.recipes.PruneTrained(steps=2500, learning_rate=8e-3, lasso=1e-5)
        model.compile(keras.optimizers.Adam(recipe.learning_rate, clipnorm=1.0), loss)
        model.fit(x, y, epochs=10, callbacks=recipe)

    Five things make the difference (docs/results.md has the figures), the first of them the most:

    - the learning rate is rewound to its peak, warmed up, and brought to zero along a cosine;
    - blocks are compared by `criteria.Fisher`, `mean w**2 v` with the optimizer's `v`, across all
      kernels and gates; but every gate by itself if there are GRUs among the layers, for their
      reset gates may lose nearly everything, which on speech cost a fifth more errors;
    - the weights that are pruned have been trained: the first blocks to go are chosen by weights
      that mean something;
    - pruning ends early, at 30 % of the steps, so that most of the training happens at the final
      sparsity;
    - with `lasso`, a `regularizers.GroupLasso` makes blocks small before they go, until the pruning
      ends (GLP: Narang, Undersander and Diamos 2017, arXiv 1711.02782).

    With the lasso it works as well or better from random weights, with the steps of both trainings,
    in less time (docs/pruning.md).

    Give `steps` about as many as the dense training had. A pruned model overfits less than a dense
    one, so give it less dropout; half of it, to begin with. Convert the model by
    `ksr.substitute(model, storage="masked")` first, and its training gets faster as the pruning
    goes on.

    Args:
        steps: of the optimizer, in all epochs together.
        learning_rate: the peak. That of the dense training is a good start; pruned models often
            take two to four times as much.
        sparsity: fraction of the weights to prune, in [0, 1).
        block_shape: `(rows, columns)` that are pruned together, in the kernel of one gate.
        layers: which layers, as in `callbacks.BlockPruning`; `None`: all recurrent ones.
        scope: what reaches the sparsity: `"model"` all kernels together, `"kernel"` each kernel,
            `"gate"` each gate of each kernel. `None`: `"gate"` if there are GRUs among the layers,
            else `"model"`.
        criterion: the score of a block, as in `callbacks.BlockPruning`.
        lasso: strength of the group lasso, per weight, on the kernels that are pruned; 0: none. It
            depends on the loss: 1e-5 was right beside the mean cross-entropy of a character, 3e-4
            beside the loss of whole utterances, where 1e-3 did harm.
        optimizer: the optimizer whose steps are counted, as in `callbacks.BlockPruning`.

    Attributes:
        learning_rate: a Keras learning-rate schedule. `Fisher` needs an optimizer that keeps
            squared gradients: Adam, AdamW, Nadam, Lamb or RMSprop. With
            `gradient_accumulation_steps=n` give the optimizer `warm_cosine(n * steps, rate)` in its
            place, for Keras goes along such a schedule batch by batch.
        schedule: the schedule of the sparsity.
        callbacks: what it gives to `fit`, one by one: a `BlockPruning` and, with `lasso`, a
            `StrengthSchedule`.

    Raises:
        ValueError: an argument is out of its range. When training begins: an optimizer that
            accumulates gradients has the `learning_rate` of the recipe.

    Warns:
        UserWarning: `fit` runs other steps than `steps`, so the learning rate ends elsewhere.
    """

    def __init__(
        self,
        steps,
        learning_rate,
        sparsity=0.9,
        block_shape=(16, 16),
        layers=None,
        scope=None,
        lasso=0.0,
        criterion="fisher",
        optimizer=None,
    ):
        super().__init__()
        self.steps, self._is_checked = steps, False
        self.learning_rate = warm_cosine(steps, learning_rate)
        begin, end = (max(1, round(part * steps)) for part in RAMP)
        self.schedule = schedules.PolynomialDecay(0.0, check_sparsity(sparsity), begin, end)
        frequency = max(1, steps // 50)
        pruning = callbacks.BlockPruning(
            self.schedule,
            block_shape,
            frequency=frequency,
            criterion=criterion,
            scope=scope,
            layers=layers,
            optimizer=optimizer,
        )
        self.callbacks = [pruning]
        if check_number(lasso, "lasso", least=0):
            penalty = regularizers.GroupLasso(lasso, block_shape)
            schedule = callbacks.StrengthSchedule(
                until=self.schedule, regularizer=penalty, layers=layers, optimizer=optimizer
            )
            self.callbacks.append(schedule)

    def set_params(self, params):
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model):
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def on_train_begin(self, logs=None):
        self._check_learning_rate()
        self._is_checked = False
        for callback in self.callbacks:
            callback.on_train_begin(logs)

    def on_epoch_begin(self, epoch, logs=None):
        if not self._is_checked:  # Keras tells nobody before at which epoch `fit` begins
            self._is_checked = True
            self._check_steps(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_end(self, logs=None):
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def __iter__(self):
        """Its callbacks, for a list of one's own: `callbacks=[*recipe, another]`."""
        return iter(self.callbacks)

    @property
    def _optimizer(self):
        return self.callbacks[0].optimizer or getattr(self.model, "optimizer", None)

    def _check_learning_rate(self):
        """Raises a `ValueError` if an optimizer goes along the schedule of the learning rate by
        batches, and makes one step for several of them.
        """
        own = keras.optimizers.schedules.serialize(self.learning_rate)
        for one in nested(self._optimizer):
            batches = batches_per_step(one)
            if batches > 1 and one.get_config().get("learning_rate") == own:
                raise ValueError(
                    "`gradient_accumulation_steps` must be None with the `learning_rate` of "
                    "PruneTrained, which Keras evaluates by batches, and not by steps: it would be "
                    f"zero after 1/{batches} of the training. Give the optimizer "
                    f"learning_rate=ksr.recipes.warm_cosine({batches * self.steps}, "
                    f"{self.learning_rate.warmup_target}), which has as many batches as "
                    f"steps={self.steps} take. Received: gradient_accumulation_steps={batches}"
                )

    def _check_steps(self, first):
        """Warns if a `fit` that begins at the epoch `first` runs other steps than the recipe was
        made for.
        """
        params, optimizer = self.params or {}, self._optimizer
        epochs, of_epoch = params.get("epochs"), params.get("steps")
        if not epochs or not of_epoch or optimizer is None or updates_made(optimizer):
            return  # unknown, or a training that goes on, of which `fit` does not tell the rest
        epochs, batches = epochs - first, batches_per_step(optimizer)
        planned = epochs * of_epoch // batches
        if abs(planned - self.steps) > TOLERANCE * self.steps:
            each = f"{of_epoch} steps" if batches == 1 else f"{of_epoch} batches, {batches} a step"
            warnings.warn(
                f"PruneTrained was made for steps={self.steps} and `fit` runs {planned}: "
                f"{epochs} epochs of {each}. Its learning rate, which is to end at zero, "
                f"and its pruning go by its own steps: make it with steps={planned}, unless other "
                "fits are to follow",
                stacklevel=2,
            )
