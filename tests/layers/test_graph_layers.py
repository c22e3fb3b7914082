"""Layers whose recurrent kernel has the pattern of a graph."""

import keras
import networkx as nx
import numpy as np
import pytest

import keras_sparse_rnn as ksr
from keras_sparse_rnn import layers
from keras_sparse_rnn.callbacks import BlockPruning, KeepMasks
from keras_sparse_rnn.patterns import GraphPattern, from_graph

KINDS = {
    "lstm": layers.BlockSparseLSTM,
    "gru": layers.BlockSparseGRU,
    "simple_rnn": layers.BlockSparseSimpleRNN,
}
GRAPH = nx.watts_strogatz_graph(10, 4, 0.5, seed=2)
X = np.random.default_rng(0).normal(size=(8, 3, 5)).astype("float32")
Y = np.random.default_rng(1).normal(size=(8, 20)).astype("float32")


def model_of(layer):
    model = keras.Sequential([keras.Input((3, 5)), layer])
    model.compile(keras.optimizers.SGD(0.05), "mse", run_eagerly=True)
    return model


@pytest.mark.parametrize(
    ("kind", "size", "storage"),
    [
        ("lstm", 1, "packed"),
        ("gru", 2, "packed"),
        ("gru", 1, "masked"),
        ("simple_rnn", 2, "masked"),
    ],
)
def test_the_graph_lives_in_every_gate_and_training_keeps_to_it(kind, size, storage):
    keras.utils.set_random_seed(4)
    pattern = from_graph(GRAPH, units_per_node=size)
    layer = KINDS[kind](10 * size, (2, 2), recurrent_pattern=pattern, storage=storage, name="rnn")
    model = model_of(layer)
    before = layer.dense_kernels()
    mask = pattern.mask(layer.gates)
    np.testing.assert_array_equal(before[1] != 0, mask)
    assert (before[0] != 0).all()
    model.fit(X, Y[:, : 10 * size], verbose=0)
    after = layer.dense_kernels()
    np.testing.assert_array_equal(after[1] != 0, mask)
    assert (after[1] != before[1])[mask].all()
    row = ksr.report(model, console=False).rows[1]
    assert row.block_shape == (size, size) and row.sparsity == pytest.approx(pattern.sparsity)


def test_it_computes_what_a_keras_layer_of_the_same_weights_computes():
    layer = layers.BlockSparseGRU(20, (2, 2), recurrent_pattern=from_graph(GRAPH, 2))
    sparse = model_of(layer)
    dense = ksr.to_dense(sparse)
    assert type(dense.layers[0]) is keras.layers.GRU
    np.testing.assert_allclose(sparse(X), dense(X), atol=1e-6)


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_a_saved_layer_and_a_substituted_one_have_it_still(storage, tmp_path):
    pattern = from_graph(GRAPH, units_per_node=2)
    layer = layers.BlockSparseLSTM(20, (2, 2), recurrent_pattern=pattern, storage=storage)
    model = model_of(layer)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].recurrent_pattern == pattern
    other = ksr.substitute(model, storage={"packed": "masked", "masked": "packed"}[storage])
    assert other.layers[0].recurrent_pattern is None  # its weights say which live
    for again in (loaded, other):
        for kernel, expected in zip(again.layers[0].dense_kernels(), layer.dense_kernels()):
            np.testing.assert_array_equal(kernel, expected)
        np.testing.assert_allclose(again(X), model(X), atol=1e-6)


def test_a_keras_layer_gets_the_graph_at_once_and_keeps_it():
    pattern = from_graph(GRAPH, units_per_node=2, acyclic=True, self_links=True)
    model = model_of(keras.layers.GRU(20, name="rnn"))
    ksr.prune(model, pattern=pattern)
    cell = model.layers[0].cell
    model.fit(X, Y, verbose=0, callbacks=[KeepMasks()])
    np.testing.assert_array_equal(cell.recurrent_kernel.numpy() != 0, pattern.mask(3))
    assert cell.kernel.numpy().all()


def test_or_step_by_step_by_a_schedule():
    pattern = from_graph(GRAPH)
    model = model_of(keras.layers.SimpleRNN(10, name="rnn"))
    schedule = ksr.schedules.PolynomialDecay(0.0, pattern.sparsity, 1, 3)
    pruning = BlockPruning(schedule, pattern=pattern, frequency=1)
    history = model.fit(X, Y[:, :10], 4, epochs=2, verbose=0, callbacks=[pruning]).history
    cell = model.layers[0].cell
    np.testing.assert_array_equal(cell.recurrent_kernel.numpy() != 0, pattern.mask())
    assert history["sparsity"] == sorted(history["sparsity"])
    again = BlockPruning.from_config(pruning.get_config())
    assert again.pattern == pattern


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"recurrent_pattern": GRAPH},
            "`recurrent_pattern` must be a GraphPattern, such as ksr.patterns.from_graph(graph), "
            f"or None. Received: recurrent_pattern={GRAPH!r}",
        ),
        (
            {"units": 12},
            "`recurrent_pattern` must be of a graph of as many nodes as the layer has units, 12, "
            "or of 12 / k nodes with units_per_node=k. Received: GraphPattern(10, <40 links>)",
        ),
        (
            {"recurrent_block_shape": (2, 2)},
            "`recurrent_block_shape` and `live_blocks` must be None where there is a "
            "`recurrent_pattern`, which says itself what lives. Received: "
            "recurrent_block_shape=(2, 2), live_blocks=None, "
            "recurrent_pattern=GraphPattern(10, <40 links>)",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    given = {"units": 10, "recurrent_pattern": from_graph(GRAPH), **arguments}
    with pytest.raises(ValueError) as error:
        layers.BlockSparseGRU(**given)
    assert str(error.value) == message


def test_a_graph_of_other_size_than_a_keras_layer_changes_nothing():
    model = model_of(keras.layers.GRU(12, name="rnn"))
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        ksr.prune(model, pattern=from_graph(GRAPH))
    assert str(error.value) == (
        "`pattern` must be of a graph of as many nodes as rnn/gru_cell has units, 12, or of 12 / k "
        "nodes with units_per_node=k. Received: GraphPattern(10, <40 links>)"
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_a_graph_says_nothing_of_a_dense_layer():
    model = model_of(keras.layers.GRU(10, name="rnn"))
    model.add(keras.layers.Dense(4, name="head"))
    with pytest.raises(ValueError) as error:
        ksr.prune(model, pattern=from_graph(GRAPH), layers="head")
    assert str(error.value) == (
        "`layers` must have a kernel that the pattern is for. Received: GraphPattern(10, <40 "
        "links>), and head/kernel"
    )


def test_a_pattern_in_a_file_is_made_again_or_refused():
    config = layers.BlockSparseGRU(10, recurrent_pattern=from_graph(GRAPH)).get_config()
    layer = layers.BlockSparseGRU.from_config(config)
    assert isinstance(layer.recurrent_pattern, GraphPattern) and layer.get_config() == config
    config["recurrent_pattern"] = keras.saving.serialize_keras_object(ksr.patterns.NofM(2, 4))
    with pytest.raises(ValueError, match="`recurrent_pattern` in a config must be a GraphPattern"):
        layers.BlockSparseGRU.from_config(config)


@pytest.mark.parametrize("other", [{"recurrent_sparsity": 0.5}, {"keep_diagonal": True}])
def test_a_graph_alone_says_what_lives_in_the_recurrent_kernel(other):
    with pytest.raises(ValueError) as error:
        layers.BlockSparseGRU(10, recurrent_pattern=from_graph(GRAPH), **other)
    received = {"recurrent_sparsity": None, "keep_diagonal": False, **other}
    assert str(error.value) == (
        "`recurrent_sparsity` must be None and `keep_diagonal` False where there is a "
        "`recurrent_pattern`, which says itself what lives. Received: recurrent_sparsity="
        f"{received['recurrent_sparsity']}, keep_diagonal={received['keep_diagonal']}"
    )
