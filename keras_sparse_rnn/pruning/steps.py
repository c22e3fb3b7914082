"""How many steps the optimizer of a model has made, and whether it is the one that makes them."""

import warnings

import keras

from keras_sparse_rnn.slots import knows, optimizers_of, updates_made


class Steps:
    """Counts the steps of one optimizer of a model.

    A model whose `train_step` has optimizers of its own (a GAN) may be compiled with one that never
    makes a step, Keras's default. Then nothing would ever be due, so `check` raises.

    Args:
        model: the model.
        optimizer: the one whose steps are counted; `None`: that of the model.
        task: what the model is to do, for the error; `None`: steps do not matter, and there need be
            no optimizer.

    Raises:
        ValueError: there is no optimizer.
    """

    def __init__(self, model, optimizer, task):
        self.model, self.given, self.matter = model, optimizer, task is not None
        self._before, self._first_epoch, self._known = [], True, None
        if self.matter and optimizer is None and getattr(model, "optimizer", None) is None:
            raise ValueError(
                f"The model must be compiled before {task}, or the callback be given the "
                "`optimizer` of a loop of your own: the schedule counts its steps. Received: "
                "optimizer=None and a model that is not compiled"
            )

    @property
    def counted(self):
        """The optimizer whose steps are counted."""
        return getattr(self.model, "optimizer", None) if self.given is None else self.given

    @property
    def optimizers(self):
        """All optimizers that are known to train the model: the counted one first."""
        others = [one for _, one in optimizers_of(self.model) if one is not self.counted]
        return [one for one in (self.counted, *others) if one is not None]

    def count(self):
        """How many steps the optimizer has made; 0 without one."""
        return 0 if self.counted is None else updates_made(self.counted)

    def start(self):
        """To be called before the first step."""
        self._first_epoch, self._known = self.matter, None
        self._before = [(name, one, updates_made(one)) for name, one in optimizers_of(self.model)]
        if self.given is not None:
            self._before.append(("", self.given, updates_made(self.given)))

    def check(self, kernels):
        """To be called after each step, with the `Kernel`s that follow it.

        Raises:
            ValueError: the first step was made by other optimizers, and the counted one is Keras's
                default, which nobody has chosen.

        Warns:
            UserWarning: the optimizer that was given does not train some of the kernels.
        """
        if self._known is None and self.matter:
            self._known = True
            if self.given is None and _is_default(self.counted):
                self._complain("the first step")
        if self._known and self.given is not None and self.given.built:
            self._known = False
            strange = [one.name for one in kernels if not knows(self.given, one.variable)]
            if strange:
                warnings.warn(
                    "`optimizer` does not train all kernels that follow its steps, but they are "
                    f"pruned, too: {', '.join(strange)}. Leave them out with `layers`, if they are "
                    "not meant",
                    stacklevel=2,
                )

    def check_epoch(self):
        """To be called after each epoch.

        Raises:
            ValueError: the first one is over, and other optimizers have made steps in it, but the
                counted one has made none.
        """
        if self._first_epoch:
            self._first_epoch = False
            self._complain("the first epoch")

    def _complain(self, when):
        """Raises if others have moved and the counted one has not."""
        moved = [(name, one) for name, one, made in self._before if updates_made(one) > made]
        if not moved or any(one is self.counted for _, one in moved):
            return
        told = ", ".join(f"model.{name} ({type(one).__name__})" for name, one in moved)
        kind = type(self.counted).__name__
        counted = (
            f"model.optimizer ({kind})" if self.given is None else f"the {kind} that was given"
        )
        received = "None" if self.given is None else repr(self.given)
        raise ValueError(
            "`optimizer` must be the one that trains the model, for the schedule counts its "
            f"steps: {when} was made by {told}, and {counted} has made none. Pass "
            f"optimizer=model.{moved[0][0]} to the callback. Received: optimizer={received}"
        )


def _is_default(optimizer):
    """Whether an optimizer may be that of a bare `compile()`."""
    default = keras.optimizers.RMSprop(name=optimizer.name)
    return type(optimizer) is type(default) and optimizer.get_config() == default.get_config()
