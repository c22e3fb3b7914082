"""The sparsity is in the logs of every callback, and so in the progress bar and the files that they
write.
"""

import csv

import keras
import numpy as np
import pytest

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.schedules import Constant, PolynomialDecay

RAMP = PolynomialDecay(0.1, 0.8, 1, 9)
layers = keras.layers


def test_history_has_the_sparsity_at_the_end_of_each_epoch(make_model, data):
    model, pruning = make_model(units=20), BlockPruning(RAMP, (1, 1), frequency=1)
    history = model.fit(*data, batch_size=8, epochs=3, verbose=0, callbacks=[pruning]).history
    np.testing.assert_allclose(history["sparsity"], [RAMP(5), RAMP(9), RAMP(9)], atol=0.005)
    assert set(history) == {"loss", "sparsity"}


def test_losses_are_reported_as_without_pruning(make_model, data):
    """Adding to the logs must not change the rest: nothing is pruned here."""
    models = [make_model(run_eagerly=False) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    callbacks = [[], [BlockPruning(Constant(0.0, 1), (2, 2))]]
    losses = []
    for model, extra in zip(models, callbacks):
        history = model.fit(
            *data,
            batch_size=8,
            epochs=2,
            verbose=0,
            shuffle=False,
            callbacks=extra,
            validation_data=data,
        ).history
        losses.append((history["loss"], history["val_loss"]))
    np.testing.assert_array_equal(losses[0], losses[1])


@pytest.mark.parametrize("before", [True, False])
def test_csv_logger(before, make_model, data, tmp_path):
    model, pruning = make_model(units=20), BlockPruning(RAMP, (1, 1), frequency=1)
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    model.fit(
        *data,
        batch_size=8,
        epochs=2,
        verbose=0,
        callbacks=[logger, pruning] if before else [pruning, logger],
    )
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    np.testing.assert_allclose(
        [float(row["sparsity"]) for row in rows], [RAMP(5), RAMP(9)], atol=0.005
    )


@pytest.mark.parametrize("verbose", [1, 2])
def test_progress_bar(verbose, make_model, data, capsys):
    model, pruning = make_model(units=20), BlockPruning(Constant(0.75, 1), (1, 1))
    model.fit(*data, batch_size=8, epochs=1, verbose=verbose, callbacks=[pruning])
    assert "sparsity: 0.75" in capsys.readouterr().out


# the tensorboard package itself warns when it is imported
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("before", [True, False])
def test_tensorboard(before, make_model, data, tmp_path):
    pytest.importorskip("tensorboard")
    import tensorflow as tf

    model, pruning = make_model(units=20), BlockPruning(RAMP, (1, 1), frequency=1)
    board = keras.callbacks.TensorBoard(tmp_path, update_freq=1)
    model.fit(
        *data,
        batch_size=8,
        epochs=2,
        verbose=0,
        callbacks=[board, pruning] if before else [pruning, board],
    )
    found = {}
    for path in (tmp_path / "train").iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value:
                if value.tag.endswith("sparsity"):
                    found.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    np.testing.assert_allclose(found["epoch_sparsity"], [RAMP(5), RAMP(9)], atol=0.005)
    np.testing.assert_allclose(
        found["batch_sparsity"], [RAMP(step) for step in range(1, 11)], atol=0.005
    )


def test_each_kernel_has_its_figure_when_it_is_asked_for(data):
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            layers.SimpleRNN(8, return_sequences=True, name="a"),
            layers.SimpleRNN(6, name="b"),
            layers.Dense(2),
        ]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    pruning = BlockPruning({"a": Constant(0.5, 1), "b": Constant(0.75, 1)}, (1, 1), log="kernels")
    history = model.fit(*data, batch_size=8, verbose=0, callbacks=[pruning]).history
    figures = {name: values[-1] for name, values in history.items() if name != "loss"}
    expected = {
        "sparsity_a_kernel": 0.5,
        "sparsity_a_recurrent_kernel": 0.5,
        "sparsity_b_kernel": 0.75,
        "sparsity_b_recurrent_kernel": 0.75,
    }
    sizes = np.array([40, 64, 48, 36])
    expected["sparsity"] = float(np.dot(sizes, [0.5, 0.5, 0.75, 0.75]) / sizes.sum())
    assert figures == pytest.approx(expected, abs=0.01)
    for variable, name in [
        (model.get_layer("a").cell.kernel, "a_kernel"),
        (model.get_layer("b").cell.recurrent_kernel, "b_recurrent_kernel"),
    ]:
        assert (variable.numpy() == 0).mean() == pytest.approx(figures[f"sparsity_{name}"])


# Keras itself calls NumPy in this way when it saves a model.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_checkpoint_can_be_named_after_the_sparsity(make_model, data, tmp_path):
    model, pruning = make_model(), BlockPruning(Constant(0.5, 1), (1, 1))
    checkpoint = keras.callbacks.ModelCheckpoint(
        tmp_path / "{sparsity:.1f}.weights.h5",
        save_weights_only=True,
        monitor="sparsity",
        mode="max",
        save_best_only=True,
    )
    model.fit(*data, batch_size=8, verbose=0, callbacks=[checkpoint, pruning])
    assert [path.name for path in tmp_path.iterdir()] == ["0.5.weights.h5"]
