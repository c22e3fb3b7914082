"""Gradual block pruning while a model trains."""

import keras

from keras_sparse_rnn import configs, criteria
from keras_sparse_rnn.callbacks.configs import (
    deserialize_schedule,
    deserialize_selector,
    serialize_schedule,
    serialize_selector,
)
from keras_sparse_rnn.callbacks.regrowth import Regrowth
from keras_sparse_rnn.callbacks.schedule_arguments import bound, check_frequency, check_schedules
from keras_sparse_rnn.patterns import (
    SCOPES,
    Pattern,
    check_block_or_pattern,
    check_choice,
    check_flag,
    check_pattern,
    check_sparsity,
)
from keras_sparse_rnn.pruning.groups import Options, find_groups
from keras_sparse_rnn.pruning.mask_holder import MaskHolder
from keras_sparse_rnn.pruning.train_function import figures
from keras_sparse_rnn.schedules.schedule import check_step
from keras_sparse_rnn.slots import trained_by

FREQUENCY = 100


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class BlockPruning(MaskHolder):
    """Prunes recurrent layers in blocks, more and more of them, while the model trains.

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

    `logs` get `"sparsity"`, of all pruned kernels together, and with `log="kernels"`
    `"sparsity_<layer>_<kernel>"` of each. The progress bar, `History`, `CSVLogger` and
    `TensorBoard` show them, wherever they stand in the list of callbacks (under a distribution
    strategy with several replicas: those that stand after this one).

    A model without an `Input` is pruned from its first batch on, by which Keras builds it. A model
    whose `train_step` has optimizers of its own needs `optimizer`, whose steps the schedule counts.

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
            `frequency` is used; a number is a `Constant` from step 0 on. Or a mapping from
            selectors of layers to these: each kernel follows the first selector that matches it,
            the others stay dense.
        block_shape: `(rows, columns)` of a block in the kernel `[inputs, units]` of one gate. It is
            cut to the gates of a layer that is smaller, with a warning; a kernel of few inputs has
            partial blocks. `None`: (16, 16).
        pattern: in place of blocks, a `Pattern` that the schedule shall end at, such as
            `patterns.NofM(2, 4)`: until then the least go of what it does not keep.
        frequency: steps between two masks; `None`: that of the schedule if it has one, else 100.
        criterion: the score of a block: `"max"`, `"mean"`, `"l2"` or `"fisher"`, or a `Criterion`
            (see `criteria`).
        scope: what reaches the sparsity: each `"gate"`, each `"kernel"`, or all kernels of a
            schedule together, `"model"`. `None`: `"gate"` if there are GRUs among them, else
            `"model"`.
        keep_diagonal: never prune the blocks that touch the diagonal of a gate of a recurrent
            kernel. They count in the sparsity.
        minimum_density: the fraction of its blocks that every gate keeps whatever the scope: the
            best ones. They count in the sparsity.
        layers: which layers are pruned: `None` for all recurrent ones, or names, types or
            predicates (see `selection`). `Dense` layers are pruned only if they are selected here.
        regrowth: a `Regrowth`, with which dead blocks may come back; `None`: what is dropped stays
            zero.
        optimizer: the optimizer whose steps the schedule counts; `None`: that of the model.
        log: `"kernels"` adds the sparsity of each kernel to the logs.

    Warns:
        UserWarning: blocks are larger than the gates of a layer; a gate is down to its last block
            and the sparsity is not reached, or a gate of a recurrent kernel has none left; training
            ends before the schedule does (the first time: another `fit` may follow); callbacks have
            restored weights that are not as sparse as was asked. (A `History` of your own, if you
            give one to `fit`, must be the last of the callbacks.)

    Raises:
        ValueError: an argument is wrong or, when training begins, does not fit the model; weights
            are NaN or infinite when a mask is taken; the first step is made by another optimizer.
        RuntimeError: the first step after a mask does not leave zero what is dropped: a training
            step that does not go through the optimizer, or that was traced before the masks were in
            place.
    """

    task = "it is pruned"

    def __init__(
        self,
        schedule,
        block_shape=None,
        *,
        pattern=None,
        frequency=None,
        criterion="max",
        scope="gate",
        keep_diagonal=False,
        minimum_density=0.0,
        layers=None,
        regrowth=None,
        optimizer=None,
        log=None,
    ):
        super().__init__(optimizer)
        self.pattern = check_pattern(pattern)
        self.block_shape = check_block_or_pattern(block_shape, pattern)
        check_schedules(schedule, layers)
        if not isinstance(regrowth, Regrowth | None):
            raise ValueError(
                f"`regrowth` must be a Regrowth or None. Received: regrowth={regrowth!r}"
            )
        self.schedule = schedule
        self.frequency = frequency
        if frequency is not None:
            self.frequency = check_step(frequency, "frequency", least=1)
        check_frequency(self.frequency, schedule)
        self.criterion = criterion
        self.scope = check_choice(scope, (*SCOPES, None), "scope")
        self.keep_diagonal = check_flag(keep_diagonal, "keep_diagonal")
        self.minimum_density = check_sparsity(minimum_density, "minimum_density")
        self.layers = layers
        self.regrowth = regrowth
        self.log = check_choice(log, (None, "kernels"), "log")
        self._options()  # raises for arguments that do not go together
        self._criterion, self._groups = None, []

    @property
    def masks(self):
        """Which blocks live, by the name of the kernel: bool `[gates, columns, rows]`. They are
        kept after training.
        """
        return {mask.name: mask.live.copy() for mask in self._held}

    @property
    def sparsity(self):
        """The fraction of the weights of all pruned kernels that is pruned."""
        return figures([self]).get("sparsity", 0.0)

    def _options(self):
        return Options(
            self.block_shape,
            criteria.get(self.criterion),
            frequency=self.frequency or FREQUENCY,
            scope=self.scope,
            keep_diagonal=self.keep_diagonal,
            minimum_density=self.minimum_density,
            regrowth=self.regrowth,
            pattern=self.pattern,
            optimizer=self.optimizer,
        )

    def find(self):
        options = self._options()
        schedule = bound(self.schedule, self.params, self._steps.counted)
        groups = find_groups(self.model, schedule, self.layers, options)
        with trained_by(self.optimizer):
            options.criterion.begin(self.model)
        try:
            for group in groups:
                group.check()
                for mask in group.masks:
                    mask.check_free(self, self.training)
            if self.regrowth is not None and not self._steps.count():
                # Of a later training its schedule may be over, and others may have other batches.
                idle = [group.why_idle() for group in groups]
                if None not in idle:
                    raise ValueError(idle[0])
        except ValueError:
            options.criterion.end(self.model)
            raise
        return groups, options.criterion

    def install(self, found):
        self._groups, self._criterion = found
        self.hold([mask for group in self._groups for mask in group.masks])

    def begin_run(self, step):
        super().begin_run(step)
        self._take([(group, group.begin(step)) for group in self._groups])

    def after_step(self, step):
        """Takes the masks that are due."""
        super().after_step(step)
        self._take([(group, group.update(step)) for group in self._groups])

    def remove(self):
        super().remove()
        self._criterion.end(self.training.model)
        if self.regrowth is not None:
            self.regrowth.end()

    def wrong(self):
        return [text for group in self._groups for text in group.shortfalls()]

    def unfinished(self, step):
        early = [group.unfinished(step) for group in self._groups]
        return [text for text in early if text is not None]

    def figures(self):
        if self.log is None:
            return {}
        return {
            f"sparsity_{name}": mask.dead / mask.elements for name, mask in self.named_kernels()
        }

    def selects(self):
        if isinstance(self.schedule, dict):
            return f"schedule of {list(self.schedule)!r}"
        return super().selects()

    def _take(self, chosen):
        """Applies what groups have chosen; one that has no mask due has chosen None."""
        self.apply([pair for group, lives in chosen for pair in zip(group.masks, lives or ())])

    def get_config(self):
        self.check_config()
        return {
            "schedule": serialize_schedule(self.schedule),
            "block_shape": self.block_shape and list(self.block_shape),
            "pattern": self.pattern and keras.saving.serialize_keras_object(self.pattern),
            "frequency": self.frequency,
            "criterion": criteria.serialize(self.criterion),
            "scope": self.scope,
            "keep_diagonal": self.keep_diagonal,
            "minimum_density": self.minimum_density,
            "layers": serialize_selector(self.layers),
            "regrowth": self.regrowth and keras.saving.serialize_keras_object(self.regrowth),
            "log": self.log,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["schedule"] = deserialize_schedule(config["schedule"])
        config["layers"] = deserialize_selector(config.get("layers"))
        for name, kind in (("regrowth", Regrowth), ("pattern", Pattern)):
            if config.get(name) is not None:
                config[name] = configs.deserialize(config[name], kind, name)
        config["criterion"] = criteria.deserialize(config.get("criterion", "max"))
        return cls(**config)
