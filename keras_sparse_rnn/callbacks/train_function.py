"""The training function of a model, with pruning right after each of its calls."""

import tensorflow as tf

from keras_sparse_rnn.callbacks.training import Training


class PrunedTrainFunction:
    """What `fit` and `train_on_batch` call in place of `model.train_function` while `BlockPruning`
    is at work.

    Keras calls the callbacks of a list one after another, and each gets the logs and the weights as
    those before it have left them. A mask that is taken, or a figure that is logged, in a
    callback's own hook comes too late for the callbacks before it. So it is done here: when the
    training function returns and before any callback is called. All callbacks then see the same
    sparsity in the logs and save the same masks, wherever they stand in the list.

    It also takes the masks off when a training step raises, which no hook is told; and when it is
    called by a later `fit` than the one that it was made for, which an error in some other callback
    has broken off.

    Args:
        function: the model's own training function, not called yet.
        training: the `Training` that it was made for.
        add_logs: whether the sparsity is added to the logs.
    """

    def __init__(self, function, training, add_logs):
        self.function, self.training, self.add_logs = function, training, add_logs
        self.callbacks = []
        self.called = self.anew = False

    def __call__(self, iterator):
        if self.training.is_over():
            return self._made_anew()(iterator)
        self.called = True
        try:
            for callback in self.callbacks:
                callback.begin()
            logs = self.function(iterator)
            for callback in self.callbacks:
                callback.update()
        except (
            StopIteration,
            tf.errors.OutOfRangeError,
        ):  # the end of the data, as Keras expects it
            raise
        except BaseException:
            for callback in self.callbacks:
                callback.leave()
            raise
        if self.add_logs and isinstance(logs, dict):
            return {**logs, **sparsity_logs(self.callbacks)}
        return logs

    def _made_anew(self):
        """Ends a training that was broken off, and returns the model's own function, traced without
        masks.
        """
        model = self.training.model
        for callback in self.callbacks:
            if self.training.is_same(callback.training):  # or it works for another model by now
                callback.leave()
        model.make_train_function(force=True)
        return model.train_function

    @classmethod
    def join(cls, callback, add_logs, anew=True):
        """Puts `callback` into the training function of its model; to be traced `anew` if the
        callback brings masks or regularizers, which it does not know yet."""
        training = callback.training
        model, current = training.model, training.model.train_function
        fresh = (
            isinstance(current, cls) and not current.called and current.training.is_same(training)
        )
        if not fresh:
            model.make_train_function(force=isinstance(current, cls))
            current = cls(model.train_function, training, add_logs)
        if anew and not current.anew:
            model.make_train_function(force=True)
            current.function, current.anew = model.train_function, True
        model.train_function = current
        if callback not in current.callbacks:
            current.callbacks.append(callback)
        return current

    @classmethod
    def begin(cls, callback):
        """The `Training` that begins for `callback`. Whatever is still at work in one that was
        broken off leaves it.
        """
        if callback.training is not None and callback.params is callback.training.params:
            callback.params = None  # of a `fit` that has broken off; this is a loop without one
        training = Training(callback.model, callback.params)
        current = training.model.train_function
        if isinstance(current, cls) and not current.training.is_same(training):
            for other in list(current.callbacks):
                if current.training.is_same(other.training):  # or it works for another model by now
                    other.leave()
        callback.leave()
        return training

    @classmethod
    def leave(cls, callback):
        """Takes the callbacks out of the training function. One that was traced anew is made and
        traced again when it is needed again.
        """
        model = callback.training.model
        current = model.train_function
        if isinstance(current, cls) and callback in current.callbacks:
            model.train_function = None if current.anew else current.function


def sparsity_logs(callbacks):
    """`"sparsity"` over all that the callbacks prune and, if those are several layers, the sparsity
    of each kernel.
    """
    kernels = [pair for callback in callbacks for pair in callback.named_kernels()]
    dead = [(~kernel.live * kernel.grid.elements).sum() for _, kernel in kernels]
    total = [kernel.grid.elements.sum() for _, kernel in kernels]
    logs = {"sparsity": float(sum(dead) / sum(total))} if kernels else {}
    if len({id(kernel.kernel.layer) for _, kernel in kernels}) > 1:
        logs.update(
            {f"sparsity_{name}": float(d / t) for (name, _), d, t in zip(kernels, dead, total)}
        )
    return logs
