"""When blocks come back, and trainings in which none would."""

import keras
import pytest
from fitting import fit

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, Regrowth
from keras_sparse_rnn.schedules import Constant, PolynomialDecay

pytestmark = pytest.mark.filterwarnings("ignore:Pruning is not finished")  # a few steps do here

BLOCK = (3, 2)
HALF = Constant(0.5, 1)
NAMES = ("rnn/gru_cell/kernel", "rnn/gru_cell/recurrent_kernel")


@pytest.mark.parametrize(
    "schedule, until, frequency, received",
    [
        (Constant(0.5, 5), None, 2, "the schedule's end_step=5"),
        (PolynomialDecay(0.0, 0.5, 10, 30), 8, 2, "until=8"),
        (PolynomialDecay(0.0, 0.5, 2, 40), None, None, "the schedule's end_step=40"),
    ],
)
def test_one_that_would_never_act_is_refused(
    schedule, until, frequency, received, make_model, data
):
    first = schedule.begin_step + (frequency or 100)
    pruning = BlockPruning(schedule, BLOCK, frequency=frequency, regrowth=Regrowth(until=until))
    with pytest.raises(ValueError) as error:
        fit(make_model("gru", optimizer="adam"), data, pruning)
    assert str(error.value) == (
        "`until` of a Regrowth must lie after the `begin_step` of the schedule and one "
        f"`frequency`, step {first}, or no block ever comes back. Received: {received}, for "
        f"{', '.join(NAMES)}"
    )


def test_a_training_that_ends_before_its_last_exchange_says_so(make_model, data):
    pruning = BlockPruning(HALF, BLOCK, frequency=2, regrowth=Regrowth(until=9))
    with pytest.warns(UserWarning, match="ended at step 5, and blocks come back up to step 9, of"):
        fit(make_model("gru", optimizer="adam"), data, pruning)


def test_the_best_epoch_is_one_after_the_last_exchange(make_model, data):
    pruning = BlockPruning(HALF, BLOCK, frequency=2, regrowth=Regrowth(0.5, until=13))
    worse = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(loss=float(epoch))
    )
    stopping = ksr.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    fit(make_model("gru", optimizer="adam"), data, pruning, worse, stopping, epochs=4)
    assert stopping.best_epoch == 2


def test_a_later_fit_of_other_batches_is_not_refused(make_model, data):
    ramp = ksr.schedules.InEpochs(PolynomialDecay(0.0, 0.5, 1, 3))
    pruning = BlockPruning(ramp, BLOCK, frequency=2, regrowth=Regrowth())
    model = make_model("gru", optimizer="adam")
    for batch, epochs in ((4, 4), (len(data[0]), 1)):
        model.fit(*data, batch_size=batch, epochs=epochs, verbose=0, callbacks=[pruning])
    assert pruning.sparsity == pytest.approx(0.5, abs=0.1)


def test_one_of_several_schedules_may_have_no_blocks_that_come_back(make_model, data):
    late, early = Constant(0.5, begin_step=4), PolynomialDecay(0.0, 0.5, 0, 4)
    pruning = BlockPruning(
        {"rnn": early, "head": late}, BLOCK, frequency=1, regrowth=Regrowth(until=4)
    )
    fit(make_model("gru", optimizer="adam"), data, pruning, epochs=3)
    assert pruning.is_finished
