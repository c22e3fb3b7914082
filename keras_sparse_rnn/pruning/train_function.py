"""The training function of a model, with participants right before and after each of its calls."""

import tensorflow as tf

from keras_sparse_rnn.pruning.training import Training


class TrainFunction:
    """What `fit` and `train_on_batch` call in place of `model.train_function` while participants
    are at work.

    Keras calls the callbacks of a list one after another, and each gets the logs and the weights as
    those before it have left them. A mask that is taken, or a figure that is logged, in a
    callback's own hook comes too late for the callbacks before it. So it is done here: when the
    training function returns and before any callback is called. All callbacks then see the same
    sparsity in the logs and save the same masks, wherever they stand in the list.

    It also sends the participants away when a training step raises, which no hook is told; and when
    it is called by a later `fit` than the one that they have joined, which an error in some other
    callback has broken off.

    Keras traces a step when the function is first called. It is made anew if participants bring
    objects, `Participant.traced`, that the function at hand was not traced with. When all have left
    it stays with the model: a later `fit` with the same participants need not trace again, one
    without participants gets a function of Keras's own.

    Args:
        training: the `Training` that participants join.
        function: the model's own training function, not traced with anything of a participant's.
    """

    def __init__(self, training, function):
        self.training = training
        self.participants = []
        self._function, self._traced = function, ()

    def __call__(self, iterator):
        if self.training.is_over():
            for one in list(self.participants):
                if self.training.is_same(one.training):  # or it works for another model by now
                    one.send_away()
        if not self.participants:
            return self._without_participants()(iterator)
        try:
            for one in self.participants:
                one.build(iterator)
            for one in self.participants:
                one.begin()
            logs = self._with_participants()(iterator)
            for one in list(self.participants):
                one.update()
        # the end of the data, as Keras expects it
        except (StopIteration, tf.errors.OutOfRangeError):
            raise
        except BaseException:
            for one in list(self.participants):
                one.leave()
            self.training.model.train_function = None
            raise
        if self.training.adds_logs and isinstance(logs, dict):
            return {**logs, **figures(self.participants)}
        return logs

    @property
    def traced(self):
        """The objects of participants that the function at hand was traced with."""
        return self._traced

    def _with_participants(self):
        wanted = tuple(each for one in self.participants for each in one.traced())
        if len(wanted) != len(self._traced) or any(
            a is not b for a, b in zip(wanted, self._traced)
        ):
            self._function = _made_anew(self.training.model)
            self._traced = wanted
            self.training.model.train_function = self
        return self._function

    def _without_participants(self):
        model = self.training.model
        if self._traced:
            return _made_anew(model)
        model.train_function = self._function
        return self._function

    @classmethod
    def of(cls, model):
        """The `TrainFunction` that is in place on `model`, or None."""
        return model.train_function if isinstance(model.train_function, cls) else None

    @classmethod
    def begin(cls, participant):
        """The `Training` that begins for `participant`. Whatever is still at work in one that was
        broken off leaves it.
        """
        if participant.training is not None and participant.params is participant.training.params:
            participant.params = None  # of a `fit` that has broken off; this is a loop without one
        training = Training(participant.model, participant.params)
        current = cls.of(training.model)
        if current is not None and not current.training.is_same(training):
            for other in list(current.participants):
                if current.training.is_same(other.training):  # or it works for another model by now
                    other.send_away()
        participant.leave()
        return training

    @classmethod
    def join(cls, participant):
        """Puts `participant` into the training function of its model."""
        training = participant.training
        current = cls.of(training.model)
        if current is None:
            training.model.make_train_function()
            current = training.model.train_function = cls(training, training.model.train_function)
        current.training = training
        if participant not in current.participants:
            current.participants.append(participant)

    @classmethod
    def others(cls, participant):
        """The participants that have joined the training of `participant` before it, a list."""
        current = cls.of(participant.training.model)
        if current is None or not current.training.is_same(participant.training):
            return []
        return [one for one in current.participants if one is not participant]

    @classmethod
    def leave(cls, participant):
        """Takes `participant` out of the training function of its model."""
        model = participant.training.model
        current = cls.of(model)
        if current is not None:
            if participant in current.participants:
                current.participants.remove(participant)
        elif model.train_function is not None and participant.traced():
            # A callback of the user has had one made, which knows what is taken off now.
            model.train_function = cls(participant.training, model.train_function)
            model.train_function._traced = participant.traced()


def figures(participants):
    """What participants add to the logs: the sparsity of all kernels together, and their own."""
    masks = [mask for one in participants for _, mask in one.named_kernels()]
    total = sum(mask.elements for mask in masks)
    logs = {"sparsity": float(sum(mask.dead for mask in masks) / total)} if masks else {}
    for one in participants:
        logs.update(one.figures())
    return logs


def _made_anew(model):
    model.make_train_function(force=True)
    return model.train_function
