"""The mask holds in whatever other callbacks save, wherever they stand in the list."""

import keras
import numpy as np
import pytest

from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.patterns import BlockGrid
from keras_sparse_rnn.schedules import PolynomialDecay
from keras_sparse_rnn.slots import moving_averages

# Keras itself calls NumPy in this way when it saves a model.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RAMP = PolynomialDecay(0.2, 0.8, 1, 9)
BLOCK = (2, 3)


def saved_sparsity(path):
    """The fraction of zero weights of both kernels in a saved model, all of them in whole
    blocks.
    """
    cell = keras.models.load_model(path).get_layer("rnn").cell
    zeros, total = 0, 0
    for variable in (cell.kernel, cell.recurrent_kernel):
        weights = variable.numpy()
        grid = BlockGrid(weights.shape[0], weights.shape[1] // 3, 3, BLOCK)
        np.testing.assert_array_equal(weights != 0, grid.expand(grid.live(weights)))
        zeros, total = zeros + np.sum(weights == 0), total + weights.size
    return zeros / total


@pytest.mark.parametrize(
    "save_freq, before",
    [
        ("epoch", True),
        (1, False),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in (("epoch", False), (1, True))),
    ],
)
def test_model_checkpoint_saves_the_mask_of_that_step(
    save_freq, before, make_model, data, tmp_path
):
    """Also the mask that is taken at the very step at which the checkpoint is written."""
    model = make_model("gru")
    name = "{epoch}.keras" if save_freq == "epoch" else "{epoch}-{batch}.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / name, save_freq=save_freq)
    pruning = BlockPruning(RAMP, BLOCK, frequency=2)
    asked = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: asked.append(logs["sparsity"])
    )
    callbacks = [checkpoint, pruning] if before else [pruning, checkpoint]
    model.fit(*data, batch_size=8, epochs=2, verbose=0, callbacks=[*callbacks, watch])
    if save_freq == "epoch":
        saved, asked = (
            [saved_sparsity(tmp_path / f"{epoch}.keras") for epoch in (1, 2)],
            asked[4::5],
        )
    else:
        saved = [
            saved_sparsity(tmp_path / f"{epoch}-{batch}.keras")
            for epoch in (1, 2)
            for batch in range(1, 6)
        ]
    np.testing.assert_allclose(saved, asked, atol=1e-9)
    assert saved[-1] == pytest.approx(0.8, abs=0.03) and saved == sorted(saved)


@pytest.mark.parametrize("first", ["swap", pytest.param("pruning", marks=pytest.mark.slow)])
def test_averaged_weights_are_saved_with_the_mask(first, make_model, data, tmp_path):
    model = make_model(
        "gru",
        run_eagerly=False,
        optimizer=keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9),
    )
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    pruning = BlockPruning(RAMP, BLOCK, frequency=2)
    asked = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: asked.append(logs["sparsity"])
    )
    order = [swap, checkpoint, pruning] if first == "swap" else [pruning, swap, checkpoint]
    model.fit(
        *data, batch_size=8, epochs=3, verbose=0, callbacks=[*order, watch], validation_data=data
    )
    np.testing.assert_allclose(
        [saved_sparsity(tmp_path / f"{epoch}.keras") for epoch in (1, 2, 3)], asked, atol=1e-9
    )
    cell = model.get_layer("rnn").cell
    for _, kernel in pruning.named_kernels():
        (average,) = moving_averages(model.optimizer, kernel.kernel.variable)
        assert not average.numpy()[~kernel.grid.expand(kernel.live)].any()
    assert (cell.recurrent_kernel.numpy() == 0).mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.quick_cases
def test_weights_that_are_backed_up_have_the_mask(before, make_model, data, tmp_path):
    """Model and optimizer, read back into another model at every step."""
    model = make_model("gru", optimizer=keras.optimizers.Adam(0.05, use_ema=True))
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)
    pruning = BlockPruning(RAMP, BLOCK, frequency=2)
    other = make_model("gru", optimizer=keras.optimizers.Adam(0.05, use_ema=True))
    other.optimizer.build(other.trainable_variables)
    seen = []

    def look(batch, logs):
        other.load_weights(tmp_path / "backup" / "latest.weights.h5")
        cell = other.get_layer("rnn").cell
        for (_, kernel), variable in zip(
            pruning.named_kernels(), (cell.kernel, cell.recurrent_kernel)
        ):
            dead = ~kernel.grid.expand(kernel.live)
            (average,) = moving_averages(other.optimizer, variable)
            assert not variable.numpy()[dead].any() and not average.numpy()[dead].any()
            assert variable.numpy()[~dead].all()
            seen.append(dead.mean())

    callbacks = [backup, pruning] if before else [pruning, backup]
    model.fit(
        *data,
        batch_size=8,
        epochs=2,
        verbose=0,
        callbacks=[*callbacks, keras.callbacks.LambdaCallback(on_train_batch_end=look)],
    )
    assert seen[-1] == pytest.approx(0.8, abs=0.03)
