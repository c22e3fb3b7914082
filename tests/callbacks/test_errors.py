"""Arguments, models and layers that do not fit are refused in words, before anything is changed."""

import keras
import numpy as np
import pytest
from fitting import HALF, fit

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.schedules import Constant, ThresholdRamp

layers = keras.layers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"schedule": "0.9"},
            "`schedule` must be a schedule of keras_sparse_rnn.schedules or a tfmot "
            "PruningSchedule, or a fraction in [0, 1). Received: schedule='0.9'",
        ),
        (
            {"schedule": 90},
            "`schedule` must be a fraction in [0, 1), 0.9 for 90 %. Received: schedule=90",
        ),
        ({"schedule": {}}, "`schedule` must have at least one entry. Received: schedule={}"),
        (
            {"schedule": {"a": None}},
            "`schedule['a']` must be a schedule of keras_sparse_rnn.schedules or a tfmot "
            "PruningSchedule, or a fraction in [0, 1). Received: schedule['a']=None",
        ),
        (
            {"schedule": {("a", "b"): HALF}},
            "`schedule` must have single selectors of layers as keys. Received: ('a', 'b')",
        ),
        (
            {"schedule": {"a": HALF}, "layers": "a"},
            "`layers` must be None when `schedule` is a mapping, which names them. Received: "
            "layers='a'",
        ),
        (
            {"block_shape": (0, 16)},
            "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
            "block_shape=(0, 16)",
        ),
        (
            {"block_shape": 16},
            "`block_shape` must be (rows, columns), two integers of at least 1. Received: "
            "block_shape=16",
        ),
        ({"frequency": 0}, "`frequency` must be an integer of at least 1. Received: frequency=0"),
        (
            {"schedule": ThresholdRamp(1, 2, 3, 0.1, 0.1), "frequency": 50},
            "`frequency` must be None, or that of the schedule, where a schedule has its own. "
            "Received: frequency=50, and 100 in the schedule",
        ),
        (
            {"optimizer": "adam"},
            "`optimizer` must be None, for that of the model, or a keras.optimizers.Optimizer that "
            "trains it. Received: optimizer='adam'",
        ),
        ({"log": "all"}, "`log` must be one of None, 'kernels'. Received: log='all'"),
        (
            {"criterion": "median"},
            "`criterion` must be one of 'max', 'mean', 'l2', 'fisher', or a Criterion of "
            "keras_sparse_rnn.criteria. Received: criterion='median'",
        ),
        (
            {"scope": "layer"},
            "`scope` must be one of 'gate', 'kernel', 'model', None. Received: scope='layer'",
        ),
        (
            {"keep_diagonal": "yes"},
            "`keep_diagonal` must be True or False. Received: keep_diagonal='yes'",
        ),
        (
            {"layers": 3},
            "`layers` must be a layer name or pattern, a layer type, a predicate of a layer, or "
            "a list of these. Received: layers=3",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError) as error:
        BlockPruning(**{"schedule": HALF, **arguments})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"layers": "lstm"},
            "`layers` must match layers of the model; 'lstm' matches none. It has: rnn, thin, head",
        ),
        (
            {"schedule": Constant(0.9, 2), "block_shape": (2, 2), "keep_diagonal": True},
            "rnn/gru_cell/recurrent_kernel, gate z, cannot be pruned. `keep_diagonal` and "
            "`minimum_density` protect more than the sparsity allows: 6 of 36 blocks are kept. "
            "Received: sparsity=0.9",
        ),
        (
            {
                "schedule": ThresholdRamp(1, 2, 3, 0.1, 0.1),
                "block_shape": (2, 2),
                "criterion": "l2",
            },
            "`criterion` must be 'max' with a ThresholdRamp, whose threshold is compared with the "
            "largest weight of a block. Received: criterion='l2'",
        ),
        (
            {"schedule": ThresholdRamp(1, 2, 3, {"x": 0.1}, {"x": 0.1}), "block_shape": (2, 2)},
            "`start_slope` must have a slope for each kernel that is pruned, or as many as there "
            "are. Missing: ['rnn/gru_cell/kernel', 'rnn/gru_cell/recurrent_kernel']. Received: "
            "start_slope for ['x']",
        ),
        (
            {
                "schedule": ThresholdRamp(1, 2, 3, {"x": [1, 2], "y": 1}, {"x": [1, 2], "y": 1}),
                "block_shape": (2, 2),
            },
            "`start_slope` must be one number or one for each gate: rnn/gru_cell/kernel has 3 "
            "gates. Received: 2 slopes",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_found_before_anything_is_changed(arguments, message, data):
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            layers.GRU(11, name="rnn"),
            layers.Dense(1, name="thin"),
            layers.Dense(2, name="head"),
        ]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        fit(model, data, BlockPruning(**{"schedule": HALF, **arguments}))
    assert str(error.value) == message
    assert all(variable.constraint is None for variable in model.trainable_variables)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_models_that_cannot_be_pruned(data):
    dense = keras.Sequential([keras.Input((2, 5)), layers.Flatten(), layers.Dense(2, name="d")])
    dense.compile("sgd", "mse")
    with pytest.raises(
        ValueError,
        match=r"The model must have a recurrent layer \(LSTM, GRU, SimpleRNN or their cells\)",
    ):
        fit(dense, data, BlockPruning(HALF))
    unbuilt = keras.Sequential([layers.GRU(20, name="g"), layers.Dense(2)])
    unbuilt.compile("sgd", "mse")
    pruning = BlockPruning(HALF)
    pruning.set_model(unbuilt)
    with pytest.raises(
        ValueError,
        match=(
            "The model must be built before its kernels are looked for: g/gru_cell has no "
            "weights yet."
        ),
    ):
        pruning.on_train_begin()
    frozen = keras.Sequential(
        [keras.Input((2, 5)), layers.GRU(20, name="g", trainable=False), layers.Dense(2)]
    )
    frozen.compile("sgd", "mse")
    with pytest.raises(
        ValueError,
        match=(
            "`layers` must have a trainable layer that can be pruned. Received: only frozen "
            "ones, g/gru_cell"
        ),
    ):
        fit(frozen, data, BlockPruning(HALF))
    pruning = BlockPruning(HALF)
    pruning.set_model(keras.Sequential([keras.Input((2, 5)), layers.GRU(20)]))
    with pytest.raises(ValueError, match="The model must be compiled before it is pruned"):
        pruning.on_train_begin()


def test_packed_layers_say_what_to_do(data):
    from keras_sparse_rnn.layers import BlockSparseDense, BlockSparseGRU

    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            BlockSparseGRU(6, (2, 2), name="g"),
            BlockSparseDense(2, (2, 2), name="d"),
        ]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError) as error:
        fit(model, data, BlockPruning(HALF, (2, 2), layers=["g", "d"]))
    assert 'd (its weights are packed; use storage="masked" while pruning)' in str(error.value)
    assert 'g/gru_cell (its weights are packed; use storage="masked" while pruning)' in str(
        error.value
    )
