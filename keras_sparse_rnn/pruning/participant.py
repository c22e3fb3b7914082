"""A callback that takes part in a training: the one place that knows how trainings begin and
end.
"""

import enum

import keras

from keras_sparse_rnn.checks import check_keras_model, is_tf_keras
from keras_sparse_rnn.pruning.building import build
from keras_sparse_rnn.pruning.steps import Steps
from keras_sparse_rnn.pruning.train_function import TrainFunction
from keras_sparse_rnn.pruning.training import Training
from keras_sparse_rnn.selection import is_built


class State(enum.Enum):
    """Where a `Participant` is in its life. It goes from each state to the next, and from any of
    them back to the first.
    """

    APART = "it takes part in no training"
    WAITING = "a training has begun, of a model that is built at its first batch"
    JOINED = "all is in place; before the first step, weights may still be restored from a backup"
    RUNNING = "steps are made"
    AWAY = "another fit of the model came in between: this one has broken off, or goes around it"


class Participant(keras.callbacks.Callback):
    """What callbacks share that put something on a model for the time of a training, and are told
    of each update of its weights.

    The base class joins a training and leaves it; sees to it that steps are traced with what was
    put in place; ends a training that has broken off when the next one begins; waits for the first
    batch if the model is built by it; and counts the steps of the optimizer. A subclass has what is
    its own:

        find()            what it works on in `self.model`; raises, and changes nothing
        find_again()      the same, after a `fit` that came in between; `find` by default
        install(found)    puts in place what it has found
        begin_run(step)   before the first step of a run
        before_step(step)
        after_step(step)  may be called twice after one step
        remove()          takes away what it has put in place
        finish()          when all callbacks have had their `on_train_end`
        figures()         what it adds to the logs, a dict
        write_logs(logs)  adds it to the logs of a step or an epoch that Keras hands over

    and `traced()`, a tuple of the objects that a training step must be traced with.

    Args:
        optimizer: the optimizer whose steps are counted; `None`: that of the model.
    """

    task = "it takes part in a training"  # in errors: "The model must be compiled before ..."
    counts_steps = True  # whether it follows a schedule

    def __init__(self, optimizer=None):
        super().__init__()
        if not isinstance(optimizer, keras.optimizers.Optimizer | None):
            old = ", of tf_keras (Keras 2)" if is_tf_keras(optimizer) else ""
            raise ValueError(
                "`optimizer` must be None, for that of the model, or a keras.optimizers.Optimizer "
                f"that trains it. Received: optimizer={optimizer!r}{old}"
            )
        self.optimizer = optimizer
        self.training = None
        self._state = State.APART
        self._steps = None

    @property
    def state(self):
        """Where it is in its life, a `State`."""
        return self._state

    def on_train_begin(self, logs=None):
        """Finds what it works on and puts it in place; of a model that is not built yet, before its
        first batch. What does not fit raises before anything is changed.
        """
        check_keras_model(self.model)
        self.training = TrainFunction.begin(self)
        try:
            self._steps = Steps(
                self.model, self.optimizer, self.task if self.counts_steps else None
            )
            if self.training.in_fit and not is_built(self.model):
                self._state = State.WAITING
                TrainFunction.join(self)
            else:
                self._join()
        except BaseException:  # the `fit` ends here, and tells nobody
            for one in TrainFunction.others(self):
                one.leave()
            raise

    def on_train_batch_begin(self, batch, logs=None):
        self._come_back()
        self.begin()

    def on_train_batch_end(self, batch, logs=None):
        self.update()
        self._log(logs)

    def on_epoch_end(self, epoch, logs=None):
        if self._state is State.RUNNING:
            self._steps.check_epoch()
        self._log(logs)

    def on_train_end(self, logs=None):
        """Takes everything off, and has `finish` called after the `on_train_end` of all
        callbacks.
        """
        if self._state is State.AWAY:  # what came in between came after the last step
            self._come_back()
            self.begin()
        ran = self._state is State.RUNNING
        self.leave()
        if ran:
            self.training.at_the_end(self.finish)

    def build(self, iterator):
        """Joins the training, if it has waited, now that the first batch is there to build the
        model by. Called by `TrainFunction`.
        """
        if self._state is State.WAITING:
            problem = build(self.model, iterator)
            try:
                self._join()
            except ValueError as error:
                if problem is None:
                    raise
                raise ValueError(
                    f"{error} (A call on symbolic tensors, as Keras builds models, has failed: "
                    f"{problem})"
                ) from None

    def begin(self):
        """Before a step. Calling it twice changes nothing."""
        if self._state is State.JOINED:
            self._steps.start()
            self._or_leave(self.begin_run)
            self._state = State.RUNNING
        if self._state is State.RUNNING:
            self._or_leave(self.before_step)

    def update(self):
        """After a step. Calling it twice changes nothing."""
        if self._state is State.JOINED:  # a loop of one's own that has not called `begin`
            self.begin()
        if self._state is State.RUNNING:
            self._steps.check([mask.kernel for _, mask in self.named_kernels()])
            self._or_leave(self.after_step)

    def send_away(self):
        """Takes everything off, since another `fit` of the model has begun. If this one goes around
        it, Keras will call the hooks of this callback again, and everything is put back.
        """
        if self._state in (State.JOINED, State.RUNNING):
            self.remove()
        if self._state is not State.APART:
            TrainFunction.leave(self)
            self._state = State.AWAY

    def _come_back(self):
        if self._state is State.AWAY:
            self.training = Training(self.model, self.training.params)
            self._join(self.find_again)

    def leave(self):
        """Gives the model back what it had before.

        To be called by hand if a training that has broken off is followed by a loop of one's own. A
        later `fit` without this callback calls it by itself.
        """
        state, self._state = self._state, State.APART
        if state is State.APART:
            return
        if state in (State.JOINED, State.RUNNING):
            self.remove()
        TrainFunction.leave(self)
        self.params = None

    def check_config(self):
        """Raises a `ValueError` if it has an `optimizer`, which no config can hold."""
        if self.optimizer is not None:
            raise ValueError(
                f"The `optimizer` of {type(self).__name__} cannot be written into a config. Make "
                "the callback anew instead."
            )

    def _implements_train_batch_hooks(self):
        """What tf_keras (Keras 2) asks its callbacks before a training, and Keras 3 does not."""
        check_keras_model(self.model)

    def find(self):
        raise NotImplementedError

    def find_again(self):
        """What it goes on with when another `fit` came in between, inside its own."""
        return self.find()

    def install(self, found):
        raise NotImplementedError

    def begin_run(self, step):
        """Nothing, unless a subclass has something to do."""

    def before_step(self, step):
        """Nothing, unless a subclass has something to do."""

    def after_step(self, step):
        """Nothing, unless a subclass has something to do."""

    def remove(self):
        raise NotImplementedError

    def finish(self):
        """Nothing, unless a subclass has something to do."""

    def figures(self):
        """What it adds to the logs of each step."""
        return {}

    def write_logs(self, logs):
        """Nothing, unless a subclass has something to do."""

    def traced(self):
        """The objects that a step must be traced with, none by default."""
        return ()

    def named_kernels(self):
        """`(short name, KernelMask)` of all kernels that it holds under masks; none by default."""
        return []

    def _join(self, find=None):
        self.install(self.find() if find is None else find())
        self._state = State.JOINED
        if self.model.compiled:
            TrainFunction.join(self)

    def _log(self, logs):
        if logs is not None and self._state is State.RUNNING:
            self.write_logs(logs)

    def _or_leave(self, act):
        try:
            act(self._steps.count())
        except BaseException:
            self.leave()
            raise
