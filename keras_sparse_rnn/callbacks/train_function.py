"""The training function of a model, with pruning right after each of its calls."""

import tensorflow as tf


class PrunedTrainFunction:
    """What `fit` and `train_on_batch` call in place of `model.train_function` while `BlockPruning` is at work.

    Keras calls the callbacks of a list one after another, and each gets the logs and the weights as those before it
    have left them. A mask that is taken, or a figure that is logged, in a callback's own hook comes too late for the
    callbacks before it. So it is done here: when the training function returns and before any callback is called. All
    callbacks then see the same sparsity in the logs and save the same masks, wherever they stand in the list.

    It also takes the masks off when a training step raises, which no hook is told.

    Args:
        function: the model's own training function, not called yet.
        run: what all callbacks of one `fit` share, or `None` outside `fit`.
        add_logs: whether the sparsity is added to the logs.
    """

    def __init__(self, function, run, add_logs):
        self.function, self.run, self.add_logs = function, run, add_logs
        self.callbacks = []
        self.called = False

    def __call__(self, iterator):
        self.called = True
        try:
            for callback in self.callbacks:
                callback.begin()
            logs = self.function(iterator)
            for callback in self.callbacks:
                callback.update()
        except (StopIteration, tf.errors.OutOfRangeError):  # the end of the data, as Keras expects it
            raise
        except BaseException:
            for callback in self.callbacks:
                callback.leave()
            raise
        if self.add_logs and isinstance(logs, dict):
            return {**logs, **sparsity_logs(self.callbacks)}
        return logs

    @classmethod
    def join(cls, model, callback, run, add_logs):
        """Puts `callback` into the training function of `model`, and has it traced anew: it has not seen the masks."""
        current = model.train_function
        fresh = isinstance(current, cls) and not current.called and current.run is run
        if not fresh:
            model.make_train_function(force=True)
            current = model.train_function = cls(model.train_function, run, add_logs)
        if callback not in current.callbacks:
            current.callbacks.append(callback)

    @classmethod
    def leave(cls, model):
        """Makes `model` trace its training function anew when it is needed again: the one it has holds masks."""
        if isinstance(model.train_function, cls):
            model.train_function = None


def sparsity_logs(callbacks):
    """`"sparsity"` over all that the callbacks prune and, if those are several layers, the sparsity of each kernel."""
    kernels = [pair for callback in callbacks for pair in callback.named_kernels()]
    dead = [(~kernel.live * kernel.grid.elements).sum() for _, kernel in kernels]
    total = [kernel.grid.elements.sum() for _, kernel in kernels]
    logs = {"sparsity": float(sum(dead) / sum(total))} if kernels else {}
    if len({id(kernel.kernel.layer) for _, kernel in kernels}) > 1:
        logs.update({f"sparsity_{name}": float(d / t) for (name, _), d, t in zip(kernels, dead, total)})
    return logs
