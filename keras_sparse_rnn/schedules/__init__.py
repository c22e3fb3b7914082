"""How sparse at which step.

A schedule is a pure function of the step, the number of weight updates made so far
(`optimizer.iterations`). It keeps no state, so a resumed run goes on where it was, and a picture of
it can be drawn before any training.

- `PolynomialDecay`: rises from one sparsity to another, fast at first and slowly at the end. The
  one to start with.
- `Constant`: one sparsity from one step on. For fine-tuning, or for a model that is pruned already.
- `ThresholdRamp`: a threshold that rises, and each block whose largest weight is below it goes. The
  sparsity follows from the weights, kernel by kernel, so kernels that need more weights keep more.
  Its slopes are best computed from a dense model that was trained before: `from_dense`.
- `InEpochs`: one of these, written in epochs.
- `PiecewiseLinear`: straight lines between points. What `callbacks.StrengthSchedule` multiplies the
  strength of regularizers with.

Any `PruningSchedule` of tensorflow-model-optimization can be used in their place; `get` wraps it.

>>> schedule = PolynomialDecay(0.0, 0.9, begin_step=1000, end_step=5000)
>>> round(schedule(3000), 4)
0.7875"""

from numbers import Real

from keras_sparse_rnn.patterns import check_sparsity
from keras_sparse_rnn.schedules.constant import Constant
from keras_sparse_rnn.schedules.in_epochs import InEpochs
from keras_sparse_rnn.schedules.piecewise_linear import PiecewiseLinear
from keras_sparse_rnn.schedules.polynomial_decay import PolynomialDecay
from keras_sparse_rnn.schedules.schedule import Schedule
from keras_sparse_rnn.schedules.tfmot_schedule import TfmotSchedule, is_tfmot
from keras_sparse_rnn.schedules.threshold_ramp import ThresholdRamp

__all__ = [
    "Constant",
    "InEpochs",
    "PiecewiseLinear",
    "PolynomialDecay",
    "Schedule",
    "TfmotSchedule",
    "ThresholdRamp",
    "get",
]


def get(schedule, name="schedule", *, numbers=False):
    """Returns `schedule` as a `Schedule`, or raises a `ValueError` that names `name`.

    A tfmot schedule is wrapped. With `numbers`, a number is a `Constant` from step 0 on.
    """
    if isinstance(schedule, Schedule):
        return schedule
    if is_tfmot(schedule):
        return TfmotSchedule(schedule)
    if numbers and isinstance(schedule, Real) and not isinstance(schedule, bool):
        return Constant(check_sparsity(schedule, name), 0)
    number = ", or a fraction in [0, 1)" if numbers else ""
    raise ValueError(
        f"`{name}` must be a schedule of keras_sparse_rnn.schedules or a tfmot PruningSchedule"
        f"{number}. Received: {name}={schedule!r}"
    )
