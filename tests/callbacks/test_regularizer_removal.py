"""A regularizer that a callback has put on the kernels is gone after the training, however that
ends.
"""

import keras
import numpy as np
import pytest
from fitting import fit, kernels

from keras_sparse_rnn.callbacks import BlockPruning, StrengthSchedule
from keras_sparse_rnn.regularizers import GroupLasso
from keras_sparse_rnn.schedules import Constant


@pytest.mark.parametrize(
    "again, run_eagerly",
    [
        *((again, True) for again in ("the same", "another", "pruning", "compiled", "nothing")),
        *((again, False) for again in ("the same", "nothing")),
        *(
            pytest.param(again, False, marks=pytest.mark.slow)
            for again in ("another", "pruning", "compiled")
        ),
    ],
)
@pytest.mark.quick_cases
def test_a_training_that_breaks_off_leaves_no_trace(again, run_eagerly, make_model, data):
    model, lasso = make_model("gru", run_eagerly=run_eagerly), GroupLasso(0.5, (3, 2))
    pruning, schedule = (
        BlockPruning(Constant(0.5, 2), (3, 2)),
        StrengthSchedule(Constant(0.5, 0), regularizer=lasso),
    )

    def stop(batch, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, data, pruning, schedule, keras.callbacks.LambdaCallback(on_train_batch_end=stop))
    if again == "compiled":
        model.compile(keras.optimizers.SGD(0.05), "mse", run_eagerly=run_eagerly)
    callbacks = {
        "the same": [schedule],
        "another": [StrengthSchedule(Constant(0.5, 0), regularizer=lasso)],
        "pruning": [pruning],
    }.get(again, [])
    before = [kernel.numpy() for kernel in kernels(model)]
    model.optimizer.learning_rate.assign(0.0)
    loss = fit(model, data, *callbacks).history["loss"][0]
    error = ((model.predict(data[0], verbose=0) - data[1]) ** 2).mean()
    penalty = (
        0.5 * sum(float(lasso(kernel, gates=3)) for kernel in before)
        if again in ("the same", "another")
        else 0.0
    )
    assert loss == pytest.approx(
        error + penalty, rel=0.3 if again == "pruning" else 1e-4
    )  # which changes weights on the way
    assert float(lasso.strength.numpy()) == 0.5
    assert not sum(map(float, model.losses))
    if again != "compiled":  # which forgets who is at work
        assert all(kernel.regularizer is None for kernel in kernels(model))


def test_a_callback_that_was_broken_off_can_leave_after_another_one(make_model, data):
    def stop(batch, logs):
        raise KeyboardInterrupt

    lasso = GroupLasso(0.5, (3, 2))
    model = make_model("gru")
    for kernel in kernels(model):
        kernel.regularizer = lasso
    first, second = (StrengthSchedule(Constant(0.5, 0)) for _ in range(2))
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, first, keras.callbacks.LambdaCallback(on_train_batch_end=stop))
    fit(model, data, second)
    fit(model, data, first)
    assert float(lasso.strength.numpy()) == 0.5
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, first, keras.callbacks.LambdaCallback(on_train_batch_end=stop))
    first.leave()
    assert float(lasso.strength.numpy()) == 0.5


def test_a_loop_of_ones_own_after_a_fit(make_model, data):
    model = make_model("gru")
    callbacks = (
        BlockPruning(Constant(0.5, 2), (3, 2)),
        StrengthSchedule(until=2, regularizer=GroupLasso(0.5, (3, 2))),
    )
    fit(model, data, *callbacks)
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    model.train_on_batch(data[0][:8], data[1][:8])
    for callback in callbacks:
        callback.on_train_end()
    kernel = kernels(model)[1]
    kernel.assign(np.ones(kernel.shape))
    model.train_on_batch(data[0][:8], data[1][:8])
    assert kernel.numpy().all() and not model.losses


def test_a_checkpoint_knows_nothing_of_it(make_model, data, tmp_path):
    model = make_model("gru")
    path = tmp_path / "model.keras"
    fit(
        model,
        data,
        StrengthSchedule(regularizer=GroupLasso(0.5, (3, 2))),
        keras.callbacks.ModelCheckpoint(path),
    )
    assert not keras.models.load_model(path).losses
