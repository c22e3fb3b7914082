"""The strength of regularizers as a function of the step."""

import numbers

import keras

from keras_sparse_rnn import configs, schedules
from keras_sparse_rnn.callbacks.configs import (
    deserialize_schedule,
    deserialize_selector,
    serialize_schedule,
    serialize_selector,
)
from keras_sparse_rnn.callbacks.schedule_arguments import bound
from keras_sparse_rnn.pruning import strengths
from keras_sparse_rnn.pruning.groups import trainable_kernels
from keras_sparse_rnn.pruning.participant import Participant
from keras_sparse_rnn.pruning.placed_regularizer import PlacedRegularizer, former_of
from keras_sparse_rnn.pruning.train_function import TrainFunction
from keras_sparse_rnn.regularizers import Moduli, Regularizer
from keras_sparse_rnn.schedules.schedule import check_step
from keras_sparse_rnn.selection import as_selectors


@keras.saving.register_keras_serializable(package="keras_sparse_rnn")
class StrengthSchedule(Participant):
    """Multiplies the strength of all regularizers and proximal constraints of a model, or of one
    `regularizer` that it puts on it, with a factor that depends on the step.

    Group lasso while block pruning runs, and none afterwards, which is the GLP of Narang,
    Undersander and Diamos 2017 (arXiv 1711.02782):

        lasso = ksr.regularizers.GroupLasso(1e-5, block_shape=(16, 16))
        schedule = ksr.schedules.PolynomialDecay(0.0, 0.9, begin_step=1000, end_step=5000)
        penalty = StrengthSchedule(until=schedule, regularizer=lasso)
        model.fit(..., callbacks=[BlockPruning(schedule, (16, 16)), penalty])

    `regularizer` is put on the kernels of a model as it is, for the time of the training, beside
    one that is there, and is told the gates of each kernel; the model and its checkpoints know
    nothing of it. Then the factor is that of this penalty alone. Layers of packed storage cannot
    have one put on.

    The factor is a function of `optimizer.iterations`, the number of updates made so far, so a run
    that is resumed goes on where it was. It is set before each step: with `until=schedule`, the
    step after the one at which the last mask is taken is the first without penalty. Nothing is
    traced anew when it changes. If hooks come only every N steps (`steps_per_execution=N`), the
    factor stands still for these. When training ends, the strengths are what they were, and what
    was put on is off; checkpoints and configs never hold a strength that is scaled. After a
    training that has broken off that is so from the next `fit` on; call `leave` to have it at once,
    for `evaluate` or a loop of your own.

    Without `regularizer`, whatever has a `strength` that is a scalar `keras.Variable`, and is the
    regularizer or the constraint of a variable of the model, alone or inside another one, takes
    part. Proximal constraints without a `learning_rate` of their own are given that of the
    optimizer.

    `logs` get `"strength_factor"`. The loss that is logged has the penalty in it, so it falls when
    the factor does; so does `val_loss`.

    Without `fit`, call the hooks yourself, as with `BlockPruning`.

    Args:
        schedule: a schedule of `keras_sparse_rnn.schedules` whose value is the factor, such as a
            `PiecewiseLinear`.
        until: instead: the factor is 1 before this step and 0 from it on. A step, or a schedule:
            its `end_step`. Without either of the two, the factor is always 1.
        regularizer: a regularizer of this package, put on the kernels while the model trains;
            `GroupLasso`, as a rule. `None`: those that the layers were built with take part.
        layers: the layers whose kernels it is put on, as in `BlockPruning`; `None`: all recurrent
            ones. Only with a `regularizer`.
        optimizer: the optimizer whose steps are counted, as in `BlockPruning`.

    Raises:
        ValueError: an argument is wrong; or, when training begins, the model is not compiled, has
            nothing with a strength, or no layer that `layers` selects, or two of these callbacks
            take part.
    """

    task = "strengths are scheduled"

    def __init__(self, schedule=None, *, until=None, regularizer=None, layers=None, optimizer=None):
        super().__init__(optimizer)
        if not isinstance(regularizer, Regularizer | None) or isinstance(regularizer, Moduli):
            raise ValueError(
                "`regularizer` must be None or one of keras_sparse_rnn.regularizers for kernels "
                "of all kinds, such as GroupLasso; Moduli is for recurrent kernels alone: give it "
                f"to the layers. Received: regularizer={regularizer!r}"
            )
        if layers is not None:
            as_selectors(layers)
            if regularizer is None:
                raise ValueError(
                    "`layers` must be None without a `regularizer`, which is put on them. "
                    f"Received: layers={layers!r}"
                )
        if schedule is not None and until is not None:
            raise ValueError(
                "`schedule` or `until` must be None: each says what the factor is. Received: "
                f"schedule={schedule!r}, until={until!r}"
            )
        if schedule is not None and isinstance(schedules.get(schedule), schedules.ThresholdRamp):
            raise ValueError(
                "`schedule` must be one whose value is a factor, which a ThresholdRamp's is "
                f"not. Received: schedule={schedule!r}"
            )
        self._end = None if until is None else _end_of(until)
        self.schedule = schedule
        self.until = self._end if isinstance(until, numbers.Integral) else until
        self.regularizer, self.layers = regularizer, layers
        self.factor = 1.0
        self._bound = schedule
        self._scaled, self._followers, self._placed = [], [], None

    def find(self):
        if any(isinstance(one, StrengthSchedule) for one in TrainFunction.others(self)):
            raise ValueError("Only one StrengthSchedule may take part in a training. Received: two")
        kernels = []
        if self.regularizer is not None:
            kernels = trainable_kernels(self.model, self.layers, "regularized")
        of_layers = adjustable(self.model)
        if not kernels and not of_layers:
            raise ValueError(
                "The model must have a regularizer or a constraint with a `strength`, such as "
                "ksr.regularizers.GroupLasso, in its layers, or the callback a `regularizer` for "
                f"them. Received: the model {self.model.name!r}, which has none"
            )
        self._bound = (
            None
            if self.schedule is None
            else bound(self.schedule, self.params, self._steps.counted)
        )
        if self.until is not None and not isinstance(self.until, numbers.Integral):
            self._end = _end_of(bound(self.until, self.params, self._steps.counted), wait=False)
        return kernels, of_layers

    def install(self, found):
        kernels, of_layers = found
        self.factor = 1.0
        if kernels and self._placed is not None and self._placed.fits(kernels):
            self._placed.place_again(self.training)
        else:
            self._placed = None
            if kernels:
                self._placed = PlacedRegularizer(self.regularizer, kernels, self.training)
        followers = [one for one in of_layers if hasattr(one, "follow")]
        self._followers = [(one, one.follow(self._steps.counted)) for one in followers]
        self._scaled = [] if kernels else of_layers
        for one in self._scaled:
            strengths.take(one, self)
        self._set(1.0)

    def traced(self):
        placed = [] if self._placed is None else [one for _, one in self._placed.placed]
        return (*placed, *(one for one, _ in self._followers))

    def before_step(self, step):
        """Sets the strengths for the step that follows."""
        factor = self.factor_at(step)
        if factor != self.factor or any(strengths.is_anothers(one, self) for one in self._scaled):
            self._set(factor)

    def remove(self):
        """Makes the strengths what they were, and takes off what was put on."""
        self.factor = 1.0
        for one in self._scaled:
            strengths.give_back(one, self)
        for one, former in self._followers:
            one.follow(former)
        if self._placed is not None:
            self._placed.remove()
        self._scaled = []

    def factor_at(self, step):
        """What strengths are multiplied with in the step after `step` updates."""
        if self._end is not None:
            return 1.0 if step < self._end else 0.0
        return 1.0 if self._bound is None else float(schedules.get(self._bound)(step))

    def write_logs(self, logs):
        logs["strength_factor"] = self.factor

    def _set(self, factor):
        for one in self._scaled:
            strengths.multiply(one, factor, self)
        if self._placed is not None:
            self._placed.factor.assign(factor)
        self.factor = factor

    def get_config(self):
        self.check_config()
        until = (
            self.until
            if self.until is None or isinstance(self.until, int)
            else serialize_schedule(self.until)
        )
        return {
            "schedule": None if self.schedule is None else serialize_schedule(self.schedule),
            "until": until,
            "regularizer": keras.saving.serialize_keras_object(self.regularizer),
            "layers": serialize_selector(self.layers),
        }

    @classmethod
    def from_config(cls, config):
        schedule, until = (
            deserialize_schedule(one) if isinstance(one, dict) else one
            for one in (config["schedule"], config["until"])
        )
        regularizer = config["regularizer"]
        if regularizer is not None:
            regularizer = configs.deserialize(regularizer, Regularizer, "regularizer")
        return cls(
            schedule,
            until=until,
            regularizer=regularizer,
            layers=deserialize_selector(config["layers"]),
        )


def adjustable(model):
    """Whatever has a `strength` among the regularizers and constraints of the variables of `model`,
    each once.
    """
    found, seen = [], set()

    def visit(one):
        if one is None or id(one) in seen or isinstance(one, type) or not callable(one):
            return
        seen.add(id(one))
        if isinstance(getattr(one, "strength", None), keras.Variable):
            found.append(one)
        for inside in vars(one).values() if hasattr(one, "__dict__") else ():
            visit(inside)

    for variable in model.weights:
        visit(former_of(variable))
        visit(variable.constraint)
    return found


def _end_of(until, wait=True):
    """The step at which `until`, a step or a schedule, ends. None while that is to `wait` for
    `fit`, which says how many steps an epoch has.
    """
    if isinstance(until, (numbers.Integral, dict)):
        return check_step(until, "until")
    until = schedules.get(until, "until")
    if wait and getattr(until, "steps_per_epoch", 0) is None:
        return None
    if until.end_step is None:
        raise ValueError(
            "`until` must be a step, or a schedule that ends. Received: "
            f"until={until!r}, which never ends"
        )
    return until.end_step
