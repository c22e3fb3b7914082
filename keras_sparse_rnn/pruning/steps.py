"""How many steps the optimizer of a model has made, and whether it is the one that makes them."""

from keras_sparse_rnn.slots import optimizers_of, updates_made


class Steps:
    """Counts the steps of one optimizer of a model.

    A model whose `train_step` has optimizers of its own (a GAN) may be compiled with one that never
    makes a step, Keras's default. Then nothing would ever be due, so `check` raises.

    Args:
        model: the model.
        optimizer: the one whose steps are counted; `None`: that of the model.
        task: what the model is to do, for the error.

    Raises:
        ValueError: there is no optimizer.
    """

    def __init__(self, model, optimizer, task):
        self.model, self.given = model, optimizer
        self._before = None
        if optimizer is None and getattr(model, "optimizer", None) is None:
            raise ValueError(
                f"The model must be compiled before {task}: the schedule counts the steps of "
                "`model.optimizer`."
            )

    @property
    def counted(self):
        """The optimizer whose steps are counted."""
        return self.model.optimizer if self.given is None else self.given

    @property
    def optimizers(self):
        """All optimizers that are known to train the model: the counted one first."""
        return [
            self.counted,
            *(one for _, one in optimizers_of(self.model) if one is not self.counted),
        ]

    def count(self):
        """How many steps the optimizer has made."""
        return updates_made(self.counted)

    def start(self):
        """To be called before the first step."""
        if self.given is None:
            self._before = [
                (name, one, updates_made(one)) for name, one in optimizers_of(self.model)
            ]

    def check(self):
        """Raises a `ValueError` if, in the first step, others have moved and the counted one has
        not.
        """
        before, self._before = self._before, None
        if not before or len(before) < 2:
            return
        moved = [(name, one) for name, one, made in before if updates_made(one) > made]
        if moved and all(one is not self.counted for _, one in moved):
            told = ", ".join(f"model.{name} ({type(one).__name__})" for name, one in moved)
            raise ValueError(
                "`optimizer` must be the one that trains the model, for the schedule counts its "
                f"steps: the first step was made by {told}, and model.optimizer "
                f"({type(self.counted).__name__}) has made none. Pass "
                f"optimizer=model.{moved[0][0]} to the callback. Received: optimizer=None"
            )
