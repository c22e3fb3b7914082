"""One training of a model: whose it is, and what is checked when all callbacks have had their last
word.
"""


class Training:
    """One `fit`, or a loop of one's own, that a callback takes part in.

    Keras tells callbacks neither that a `fit` has broken off nor that another one has begun without
    them. But each `fit` gives the model a `History` of its own. So a training is over when the
    model has another one.

    Args:
        model: the model.
        params: what Keras gives to all callbacks of one `fit`; `None` or empty in a loop of one's
            own.
    """

    def __init__(self, model, params):
        self.model, self.params = model, params or None
        self.history, self.history_params = self._current()

    @property
    def in_fit(self):
        """Whether it is a `fit`."""
        return self.params is not None

    @property
    def adds_logs(self):
        """Whether the training function may add to the logs: with several replicas, Keras takes
        only what they return.
        """
        return self.in_fit and self.model.distribute_strategy.num_replicas_in_sync == 1

    def is_same(self, other):
        """Whether it is the same `fit`, or both are loops of one's own with the same model."""
        return other is not None and self.model is other.model and self.params is other.params

    def is_over(self):
        """Whether another `fit` of the model has begun."""
        history, params = self._current()
        return history is not self.history or params is not self.history_params

    def at_the_end(self, function):
        """Calls `function` when all callbacks of the `fit` have had their `on_train_end`; outside
        `fit`, at once.

        Keras puts its `History` behind the callbacks of the user, so it is done after that one's
        `on_train_end`.
        """
        if not self.in_fit or self.history_params is not self.params:
            function()
            return
        hook = self.history.on_train_end

        def last(logs=None):
            vars(self.history).pop("on_train_end", None)
            hook(logs)
            if not self.is_over():
                function()

        self.history.on_train_end = last

    def _current(self):
        history = getattr(self.model, "history", None)
        return history, getattr(history, "params", None)
