import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn import geometry
from keras_sparse_rnn.callbacks import BlockPruning
from keras_sparse_rnn.criteria import Geometric
from keras_sparse_rnn.patterns import keep_largest
from keras_sparse_rnn.schedules import Constant, PolynomialDecay
from keras_sparse_rnn.selection import find_kernels


def fit(model, data, criterion, schedule=Constant(0.5, 2), block_shape=(2, 3), **options):
    pruning = BlockPruning(schedule, block_shape, criterion=criterion, frequency=2, **options)
    model.fit(*data, batch_size=8, epochs=2, verbose=0, callbacks=[pruning])
    return pruning


@pytest.mark.parametrize("combine", ["joint", "l2", "mean"])
def test_blocks_that_contribute_least_are_dropped(combine, make_model, data):
    """Without a learning rate, the mask is that of the analysis of the first batches."""
    model = make_model(keras.optimizers.SGD(0.0))
    (found,) = geometry.analyze(model, data[0][:16], console=False, share=0.7)
    expected = {}
    for kernel in find_kernels(model):
        grid = kernel.grid((2, 3))
        scores = found.blocks(grid, kernel.role, combine)
        expected[kernel.name] = np.stack(
            [keep_largest(s, e, 0.5) for s, e in zip(scores, grid.elements)]
        )
    pruning = fit(model, data, Geometric(data[0], 0.7, batches=2, batch_size=8, combine=combine))
    assert pruning.masks.keys() == expected.keys()
    for name, live in pruning.masks.items():
        np.testing.assert_array_equal(live, expected[name])


@pytest.mark.parametrize("refresh, expected", [(1, 3), (2, 2), (3, 1)])
@pytest.mark.quick_cases
def test_states_are_measured_for_every_so_many_masks(
    refresh, expected, make_model, data, monkeypatch
):
    calls = []
    measure = geometry.Recorder.measure
    monkeypatch.setattr(
        geometry.Recorder, "measure", lambda *arguments: calls.append(1) or measure(*arguments)
    )
    model = make_model()
    pruning = fit(model, data, Geometric(data[0], refresh=refresh), PolynomialDecay(0.2, 0.6, 1, 5))
    assert len(calls) == expected
    assert pruning.sparsity == pytest.approx(0.6, abs=0.05)


def test_a_compiled_bidirectional_model_is_pruned(data):
    layer = keras.layers.Bidirectional(keras.layers.SimpleRNN(7, name="rnn"), name="both")
    model = keras.Sequential([keras.Input((3, 5)), layer, keras.layers.Dense(2)])
    model.compile("adam", "mse")
    pruning = fit(model, data, Geometric(data[0][:8]), scope="model")
    assert len(pruning.masks) == 4
    assert pruning.sparsity == pytest.approx(0.5, abs=0.05)
    assert "inner_loop" not in vars(layer.forward_layer)


def test_masked_block_sparse_layers_are_pruned(data):
    model = keras.Sequential(
        [
            keras.Input((3, 5)),
            ksr.layers.BlockSparseGRU(7, (2, 3), storage="masked"),
            keras.layers.Dense(2),
        ]
    )
    model.compile("adam", "mse", run_eagerly=True)
    assert fit(model, data, Geometric(data[0][:8])).sparsity == pytest.approx(0.5, abs=0.05)


def test_what_it_cannot_score_is_refused_in_words(make_model, data):
    with pytest.raises(ValueError, match="must be inputs of the model .* Received: data=None"):
        Geometric(None)
    with pytest.raises(ValueError, match="Received: data of type generator"):
        Geometric(x for x in data[0])
    with pytest.raises(ValueError, match="`share` must be a share of the variance"):
        Geometric(data[0], 1.5)
    with pytest.raises(
        ValueError, match="`refresh` must be an integer of at least 1. Received: refresh=0"
    ):
        Geometric(data[0], refresh=0)
    with pytest.raises(
        ValueError, match="`combine` must be one of 'joint', 'l2', 'mean'. Received: combine='sum'"
    ):
        Geometric(data[0], combine="sum")
    with pytest.raises(
        ValueError, match="scores the kernels of recurrent layers only. Received: head/kernel"
    ):
        fit(make_model(), data, Geometric(data[0]), block_shape=(2, 2), layers=["rnn", "head"])
    model = make_model()
    model.get_layer("rnn").cell.kernel.assign(np.full((5, 21), np.nan))
    with pytest.raises(
        ValueError, match="The hidden states of rnn must be finite: the weights have diverged"
    ):
        fit(model, data, Geometric(data[0]))
    with pytest.raises(ValueError, match="The hidden states of rnn never vary over `data`"):
        fit(make_model(), data, Geometric(np.zeros((4, 3, 5), "float32")), Constant(0.5, 0))


def test_data_are_not_written_into_a_config(data):
    with pytest.raises(ValueError) as error:
        BlockPruning(Constant(0.5, 2), criterion=Geometric(data[0])).get_config()
    assert (
        str(error.value)
        == "The data of a criterion Geometric cannot be written into a config. Make the callback "
        "anew instead."
    )
