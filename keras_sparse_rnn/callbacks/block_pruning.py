"""Gradual block pruning while a model trains."""

import warnings

import keras

from keras_sparse_rnn import criteria, schedules
from keras_sparse_rnn.callbacks.configs import (
    deserialize_schedule,
    deserialize_selector,
    serialize_schedule,
    serialize_selector,
)
from keras_sparse_rnn.callbacks.groups import find_groups
from keras_sparse_rnn.callbacks.regrowth import Regrowth
from keras_sparse_rnn.callbacks.train_function import PrunedTrainFunction, sparsity_logs
from keras_sparse_rnn.patterns import SCOPES, check_block_shape, check_choice, check_sparsity
from keras_sparse_rnn.schedules.schedule import check_step
from keras_sparse_rnn.selection import as_selectors, short_names, to_numpy


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class BlockPruning(keras.callbacks.Callback):
    """Prunes the kernels of recurrent layers in blocks, more and more of them, while the model
    trains.

        schedule = ksr.schedules.PolynomialDecay(0.0, 0.9, begin_step=1000, end_step=5000)
        pruning = ksr.callbacks.BlockPruning(schedule, block_shape=(16, 16))
        model.fit(x, y, epochs=20, callbacks=[pruning])

    At `begin_step` of the schedule, then once in every `frequency` steps, and at its `end_step`,
    the callback scores the blocks of each gate, drops those of least magnitude until the sparsity
    of that step is reached, and zeroes them. A block that is dropped stays zero, unless there is
    `regrowth`. If hooks come only every N steps (`steps_per_execution=N`), it acts at the first one
    after each of these steps, on the sparsity of that step.

    The mask is a constraint on the layer's own kernel variable, put in place when training begins
    and taken off when it ends, so the optimizer applies it inside the compiled step and every
    checkpoint holds pruned weights, in the model and in the moving averages of an optimizer with
    `use_ema=True`. An existing constraint is applied first. The model stays the plain Keras model
    that it was.

    The schedule is a function of `optimizer.iterations`, and the mask of a model that was pruned
    before is the zero blocks of its weights. So a second `fit`, or a run that `BackupAndRestore`
    has resumed, goes on where it was. Two things follow: a block whose weights all become zero by
    themselves counts as pruned when training is resumed; and a model that is compiled anew, with a
    new optimizer, begins its schedule anew, with the zero blocks that it has. Kernels that are all
    zero or the identity have not been pruned but initialized so.

    `logs` get `"sparsity"`, of all pruned kernels together, and if several layers are pruned
    `"sparsity_<layer>_<kernel>"`. The progress bar, `History`, `CSVLogger` and `TensorBoard` show
    them, wherever they stand in the list of callbacks (under a distribution strategy with several
    replicas: those that stand after this one).

    Without `fit`, with `train_on_batch` or a loop of your own, call the hooks yourself, the first
    ones before the step is traced by `tf.function`:

        pruning.set_model(model)              # compiled with the optimizer that the loop uses
        pruning.on_train_begin()
        for number, batch in enumerate(batches):
            pruning.on_train_batch_begin(number)
            train_step(batch)                 # `optimizer.apply` is in it
            pruning.on_train_batch_end(number)
        pruning.on_train_end()

    Args:
        schedule: a schedule of `keras_sparse_rnn.schedules` or a tfmot `PruningSchedule`, whose own
            `frequency` is used. Or a mapping from selectors of layers to schedules: each kernel
            follows the first selector that matches it, the others stay dense.
        block_shape: `(rows, columns)` of a block in the kernel `[inputs, units]` of one gate; a
            kernel of few inputs has partial blocks.
        frequency: steps between two masks.
        criterion: the score of a block: `"max"`, `"mean"`, `"l2"` or `"fisher"`, or a `Criterion`
            (see `criteria`).
        scope: what reaches the sparsity: each `"gate"`, each `"kernel"`, or all kernels of a
            schedule together, `"model"`. `None`: `"gate"` if there are GRUs among them, else
            `"model"`.
        keep_diagonal: never prune the blocks that touch the diagonal of a gate of a recurrent
            kernel. They count in the sparsity.
        minimum_density: the fraction of its blocks that every gate keeps whatever the scope: the
            best ones. They count in the sparsity.
        regrowth: a `Regrowth`, with which dead blocks may come back; `None`: what is dropped stays
            zero.
        layers: which layers are pruned: `None` for all recurrent ones, or names, types or
            predicates (see `selection`). `Dense` layers are pruned only if they are selected here.

    Warns:
        UserWarning: a gate is down to its last block and the sparsity is not reached; training ends
            before the schedule does (also if another `fit` is to follow, of which nothing is known
            here).

    Raises:
        ValueError: an argument is wrong or, when training begins, does not fit the model; weights
            are NaN or infinite when a mask is taken.
        RuntimeError: when training ends, the weights do not have the sparsity that was asked for: a
            training step that does not go through the optimizer, or a callback, before or after
            this one, that has restored other weights. (A `History` of your own, if you give one to
            `fit`, must be the last of the callbacks.)
    """

    def __init__(
        self,
        schedule,
        block_shape=(16, 16),
        *,
        frequency=100,
        criterion="max",
        scope="gate",
        keep_diagonal=False,
        minimum_density=0.0,
        layers=None,
        regrowth=None,
    ):
        super().__init__()
        self.block_shape = check_block_shape(block_shape)
        criteria.get(criterion)
        if isinstance(schedule, dict):
            if layers is not None:
                raise ValueError(
                    "`layers` must be None when `schedule` is a mapping, which names them. "
                    f"Received: layers={layers!r}"
                )
            if not schedule:
                raise ValueError("`schedule` must have at least one entry. Received: schedule={}")
            for selector, one in schedule.items():
                if isinstance(selector, tuple):
                    raise ValueError(
                        "`schedule` must have single selectors of layers as keys. Received: "
                        f"{selector!r}"
                    )
                as_selectors(selector, "schedule")
                schedules.get(one, f"schedule[{selector!r}]")
        else:
            schedules.get(schedule)
        if layers is not None:
            as_selectors(layers)
        if not isinstance(keep_diagonal, bool):
            raise ValueError(
                f"`keep_diagonal` must be True or False. Received: keep_diagonal={keep_diagonal!r}"
            )
        if not isinstance(regrowth, Regrowth | None):
            raise ValueError(
                f"`regrowth` must be a Regrowth or None. Received: regrowth={regrowth!r}"
            )
        self.schedule = schedule
        self.frequency = check_step(frequency, "frequency", least=1)
        self.criterion = criterion
        self.scope = check_choice(scope, (*SCOPES, None), "scope")
        self.keep_diagonal = keep_diagonal
        self.minimum_density = check_sparsity(minimum_density, "minimum_density")
        self.layers = layers
        self.regrowth = regrowth
        self._criterion = None
        self._groups = []
        self.training = None
        self._at_work = self._begun = False

    @property
    def masks(self):
        """Which blocks live, by the name of the kernel: bool `[gates, columns, rows]`. They are
        kept after training.
        """
        return {kernel.name: kernel.live.copy() for kernel in self._kernels()}

    @property
    def sparsity(self):
        """The fraction of the weights of all pruned kernels that is pruned."""
        return sparsity_logs([self]).get("sparsity", 0.0)

    def on_train_begin(self, logs=None):
        """Finds the kernels and puts their masks in place. Whatever does not fit raises before
        anything is changed.
        """
        training = PrunedTrainFunction.begin(self)
        if getattr(self.model, "optimizer", None) is None:
            raise ValueError(
                "The model must be compiled before it is pruned: the schedule counts the steps "
                "of `model.optimizer`."
            )
        criterion = criteria.get(self.criterion)
        groups = find_groups(self, criterion)
        criterion.begin(self.model)
        for group in groups:
            group.check()
            for kernel in group.kernels:
                kernel.check_free(self, training)
        self._groups, self._criterion, self.training, self._at_work, self._begun = (
            groups,
            criterion,
            training,
            True,
            False,
        )
        for kernel in self._kernels():
            kernel.install(self.model, self, training)
        if self.model.compiled:
            PrunedTrainFunction.join(self, training.adds_logs)

    def on_train_batch_begin(self, batch, logs=None):
        self.begin()

    def on_train_batch_end(self, batch, logs=None):
        self.update()
        if logs is not None and "sparsity" not in logs:
            logs.update(sparsity_logs([self]))

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and "sparsity" not in logs:
            logs.update(sparsity_logs([self]))

    def on_train_end(self, logs=None):
        """Takes the masks off, and has the weights checked when all callbacks have had their
        `on_train_end`.
        """
        begun = self._at_work and self._begun
        self.leave()
        if begun:
            self.training.at_the_end(self._check_weights)

    def _check_weights(self):
        """Raises a `RuntimeError` if the weights are not as sparse as was asked; warns if more was
        still to come.
        """
        wrong = [text for group in self._groups for text in group.shortfalls()]
        if wrong:
            raise RuntimeError(
                f"Pruning has failed: {'; '.join(wrong)}. Something has changed the weights "
                "without applying their constraints, such as a training step that does not use "
                "`optimizer.apply`, or a callback that has restored weights from before they were "
                "pruned (EarlyStopping with `restore_best_weights=True`, unless its "
                "`start_from_epoch` lies after the end of the schedule). This is checked after "
                "the `on_train_end` of all callbacks."
            )
        step = int(to_numpy(self.model.optimizer.iterations))
        early = [text for group in self._groups for text in group.unfinished(step)]
        if early:
            warnings.warn(
                f"Pruning is not finished: training ended at step {step}, and {'; '.join(early)}. "
                "Train on, with another `fit` that has this callback, or let the schedule end "
                "sooner.",
                stacklevel=2,
            )

    def begin(self):
        """Reads the masks from the weights, before the first step of a run: by then, all restoring
        has been done.
        """
        if self._at_work and not self._begun:
            self._apply(lambda group, step: group.begin(step))
            self._begun = True

    def update(self):
        """Takes the masks that are due after a step. Calling it twice after one step changes
        nothing.
        """
        if self._at_work:
            self.begin()
            self._apply(lambda group, step: group.update(step))

    def leave(self):
        """Gives all kernels their former constraints back.

        To be called by hand if a training that has broken off is followed by a loop of one's own. A
        later `fit` without this callback calls it by itself.
        """
        if self._at_work:
            for kernel in self._kernels():
                kernel.restore()
            PrunedTrainFunction.leave(self)
            self._criterion.end(self.training.model)
            if self.regrowth is not None:
                self.regrowth.end()
            self.params = None
        self._at_work = False

    def named_kernels(self):
        """`(short name, MaskedKernel)` of all kernels under masks."""
        kernels = self._kernels()
        return list(zip(short_names([kernel.kernel for kernel in kernels]), kernels))

    def _kernels(self):
        return [kernel for group in self._groups for kernel in group.kernels]

    def _apply(self, choose):
        """Takes new masks of all kernels, then applies them. If one cannot be taken, no weights
        change.
        """
        try:
            step = int(to_numpy(self.model.optimizer.iterations))
            chosen = [(group.kernels, choose(group, step)) for group in self._groups]
            for kernels, masks in chosen:
                for kernel, live in zip(kernels, masks or ()):
                    kernel.apply(live)
        except BaseException:
            self.leave()
            raise

    def get_config(self):
        return {
            "schedule": serialize_schedule(self.schedule),
            "block_shape": list(self.block_shape),
            "frequency": self.frequency,
            "criterion": criteria.serialize(self.criterion),
            "scope": self.scope,
            "keep_diagonal": self.keep_diagonal,
            "minimum_density": self.minimum_density,
            "layers": serialize_selector(self.layers),
            "regrowth": self.regrowth and keras.saving.serialize_keras_object(self.regrowth),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["schedule"] = deserialize_schedule(config["schedule"])
        config["layers"] = deserialize_selector(config.get("layers"))
        config["regrowth"] = keras.saving.deserialize_keras_object(config.get("regrowth"))
        config["criterion"] = criteria.deserialize(config.get("criterion", "max"))
        return cls(**config)
