"""What `BlockPruning(scope=None)` compares."""

import keras
import numpy as np
import pytest

from keras_sparse_rnn import criteria
from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.pruning.groups import Options, find_groups
from keras_sparse_rnn.schedules import Constant


@pytest.mark.parametrize(
    "kind, scope", [("gru", "gate"), ("lstm", "model"), ("simple_rnn", "model")]
)
@pytest.mark.quick_cases
def test_without_a_scope_gates_are_compared_but_those_of_grus(kind, scope, make_model, data):
    masks = []
    for asked in (None, "gate", "kernel", "model"):
        keras.utils.set_random_seed(0)
        pruning = BlockPruning(Constant(0.6, 1), (4, 3), scope=asked)
        make_model(kind, optimizer=keras.optimizers.SGD(0.0)).fit(
            *data, batch_size=8, verbose=0, callbacks=[pruning]
        )
        masks.append(np.concatenate([live.ravel() for live in pruning.masks.values()]))
    same = [
        name
        for name, mask in zip(("gate", "kernel", "model"), masks[1:])
        if np.array_equal(mask, masks[0])
    ]
    assert same == [scope]
    assert (
        BlockPruning.from_config(BlockPruning(Constant(0.6, 1), scope=None).get_config()).scope
        is None
    )


@pytest.mark.parametrize(
    "arguments, scopes",
    [
        ({"schedule": Constant(0.6, 1)}, ["gate"]),
        ({"schedule": Constant(0.6, 1), "layers": keras.layers.LSTM}, ["model"]),
        ({"schedule": {"lstm": Constant(0.6, 1), "wrapped": Constant(0.5, 1)}}, ["model", "gate"]),
    ],
)
def test_a_gru_decides_for_the_kernels_of_its_schedule(arguments, scopes):
    wrapped = keras.layers.RNN(keras.layers.GRUCell(8), name="wrapped")
    model = keras.Sequential(
        [keras.Input((2, 5)), keras.layers.LSTM(8, return_sequences=True, name="lstm"), wrapped]
    )
    options = Options((4, 4), criteria.get("l2"), scope=None)
    groups = find_groups(model, arguments["schedule"], arguments.get("layers"), options)
    assert [group.scope for group in groups] == scopes
