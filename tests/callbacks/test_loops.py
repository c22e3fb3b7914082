"""Training without `fit`, and on several devices."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, KeepMasks, UnitPruning
from keras_sparse_rnn.schedules import PolynomialDecay


def pruning():
    return BlockPruning(PolynomialDecay(0.2, 0.75, 2, 7), (3, 2), frequency=2)


@pytest.fixture
def check(assert_sparse):
    def check(model, gates=1):
        cell = model.get_layer("rnn").cell
        for variable in (cell.kernel, cell.recurrent_kernel):
            assert_sparse(variable, (3, 2), gates, 0.75)
            assert variable.constraint is None

    return check


def test_train_on_batch(make_model, data, check):
    model, callback = make_model(run_eagerly=False), pruning()
    callback.set_model(model)
    callback.on_train_begin()
    for number in range(10):
        callback.on_train_batch_begin(number)
        result = model.train_on_batch(data[0][:8], data[1][:8])
        callback.on_train_batch_end(number)
    callback.on_train_end()
    check(model)
    assert np.ndim(result) == 0, "what train_on_batch returns is not changed"


def test_a_loop_of_ones_own(make_model, own_step, data, check):
    model, callback = make_model("lstm"), pruning()
    step = own_step(model, keras.optimizers.Adam(0.05))

    callback.set_model(model)
    callback.on_train_begin()
    for number in range(10):
        callback.on_train_batch_begin(number)
        step(data[0][:8], data[1][:8])
        for _, kernel in callback.named_kernels():
            assert not kernel.kernel.variable.numpy()[~kernel.grid.expand(kernel.live)].any()
        callback.on_train_batch_end(number)
    callback.on_train_end()
    check(model, gates=4)


@pytest.mark.parametrize("order", [1, -1])
def test_the_logs_of_a_loop_have_the_figures_of_every_callback(order, own_step, data):
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            keras.layers.SimpleRNN(8, return_sequences=True, name="blocks"),
            keras.layers.SimpleRNN(2, name="units"),
        ]
    )
    given = {"optimizer": keras.optimizers.Adam()}
    blocks = BlockPruning(0.5, (4, 4), layers="blocks", log="kernels", **given)
    callbacks, logs = [blocks, UnitPruning(0.5, layers="units", **given)][::order], {}
    for one in callbacks:
        one.set_model(model)
        one.on_train_begin()
    for one in callbacks:
        one.on_train_batch_begin(0)
    own_step(model, given["optimizer"])(data[0][:8], data[1][:8])
    for one in callbacks:
        one.on_train_batch_end(0, logs)
    assert {"sparsity", "units"} < logs.keys()
    assert len([name for name in logs if name.startswith("sparsity_")]) == 2
    for one in callbacks:
        one.leave()


def test_zeros_are_kept_in_a_loop_of_a_model_that_was_never_compiled(own_step, data):
    model = keras.Sequential([keras.Input((2, 5)), keras.layers.SimpleRNN(2, name="rnn")])
    kernel = ksr.prune(model, 0.5, (1, 1)).layers[0].cell.kernel
    zero, keep = kernel.numpy() == 0, KeepMasks()
    keep.set_model(model)
    keep.on_train_begin()
    step = own_step(model, keras.optimizers.Adam(0.05))
    for number in range(3):
        keep.on_train_batch_begin(number)
        step(data[0][:8], data[1][:8])
        keep.on_train_batch_end(number)
    keep.on_train_end()
    np.testing.assert_array_equal(kernel.numpy() == 0, zero)


MIRRORED = """
import warnings
import numpy as np, keras, tensorflow as tf
cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_sparse_rnn as ksr
import keras_sparse_rnn as ksr
from keras_sparse_rnn.callbacks import BlockPruning, KeepMasks, UnitPruning
from keras_sparse_rnn.schedules import PolynomialDecay
keras.utils.set_random_seed(0)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    rnn = keras.layers.SimpleRNN(11, name="rnn")
    model = keras.Sequential([keras.Input((2, 5)), rnn, keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
x, y = (np.random.normal(size=s).astype("float32") for s in ((40, 2, 5), (40, 2)))
pruning = BlockPruning(PolynomialDecay(0.2, 0.75, 2, 7), (3, 2), frequency=2)
history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[pruning]).history
assert strategy.num_replicas_in_sync == 2
for variable in (model.layers[0].cell.kernel, model.layers[0].cell.recurrent_kernel):
    copies = [np.array(v) for v in strategy.experimental_local_results(variable.value)]
    assert len(copies) == 2 and (copies[0] == copies[1]).all()
    assert 0.65 < (copies[0] == 0).mean() < 0.85, (copies[0] == 0).mean()
assert abs(history["sparsity"][-1] - 0.75) < 0.05 and len(model.weights) == 5
for callback, names in [
    (ksr.callbacks.KeepMasks(), {"loss", "sparsity"}),
    (ksr.callbacks.UnitPruning(0.5), {"loss", "sparsity", "units"}),
]:
    history = model.fit(x, y, batch_size=8, verbose=0, callbacks=[callback]).history
    assert set(history) == names, history
with strategy.scope():
    inside = ksr.substitute(model, (3, 2))
assert inside.distribute_strategy is strategy
with warnings.catch_warnings(record=True) as told:
    outside = ksr.substitute(model, (3, 2))
assert [str(one.message) for one in told] == [
    f"substitute: the model {model.name!r} trains on 2 replicas, and the new one does not. To "
    "train it on, call substitute within the `scope()` of the strategy, on every worker; to save "
    "or export it, leave it so."
]
for new in (inside, outside):
    predicted = new.predict(x[:8], verbose=0)
    np.testing.assert_allclose(predicted, model.predict(x[:8], verbose=0), atol=1e-6)
print("mirrored is pruned")
"""


@pytest.mark.slow
def test_mirrored_on_two_devices(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", MIRRORED]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert "mirrored is pruned" in result.stdout, result.stderr[-3000:]
