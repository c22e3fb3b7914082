"""The experiment with graphs: strings, networks side by side, measures, tables."""

import keras
import networkx as nx
import numpy as np
import pytest
import tensorflow as tf

from experiments.graphs import graphs_measures, graphs_pruning, graphs_strings, graphs_structure
from experiments.graphs.graphs_networks import LAYERS, UNITS, Networks, initial_weights
from experiments.graphs.graphs_tables import epochs_to_recover
from keras_sparse_rnn import layers


@pytest.fixture(autouse=True)
def eagerly(monkeypatch):
    """Steps are not traced, which takes longer than the few that are made. Tables are wide."""
    monkeypatch.setenv("COLUMNS", "250")
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize(
    ("task", "is_right"),
    [("reber", graphs_strings.is_reber), ("embedded", graphs_strings.is_embedded)],
)
def test_half_of_the_strings_are_right_and_the_others_nearly(task, is_right):
    symbols, labels = graphs_strings.dataset(task, 400, seed=1)
    texts = ["".join(graphs_strings.SYMBOLS[one] for one in row).lstrip("_") for row in symbols]
    assert [is_right(text) for text in texts] == labels.astype(bool).tolist()
    assert 0.4 < labels.mean() < 0.6
    assert all(text[0] == "B" and text[-1] == "E" for text in texts)


@pytest.mark.parametrize("task", ["reber", "embedded"])
def test_no_string_that_is_held_out_is_trained_on(task):
    ends = slice(2, -2) if task == "embedded" else slice(None)
    seen = []
    for held_out in (False, True):
        symbols, _ = graphs_strings.dataset(task, 300, seed=1, held_out=held_out)
        texts = ["".join(graphs_strings.SYMBOLS[one] for one in row) for row in symbols]
        seen.append({text.lstrip("_")[ends] for text in texts})
    assert not seen[0] & seen[1] and len(seen[1]) > 5


def test_wrong_embedded_strings_differ_in_what_must_be_remembered_alone():
    symbols, labels = graphs_strings.dataset("embedded", 200, seed=2)
    for row, right in zip(symbols, labels):
        text = "".join(graphs_strings.SYMBOLS[one] for one in row).lstrip("_")
        assert graphs_strings.is_reber(text[2:-2]) and (text[1] == text[-2]) == right


def keras_network(cell, weights, number, pattern):
    """The network of one number, in the library's own layers."""
    kinds = {"gru": layers.BlockSparseGRU, "lstm": layers.BlockSparseLSTM}
    kind = kinds.get(cell, layers.BlockSparseSimpleRNN)
    options = {"storage": "masked", "recurrent_pattern": pattern}
    options |= {} if cell in kinds else {"activation": cell}
    stack = [
        kind(UNITS, (1, 1), return_sequences=layer + 1 < LAYERS, **options)
        for layer in range(LAYERS)
    ]
    vocabulary = len(graphs_strings.SYMBOLS)
    network = keras.Sequential(
        [
            keras.Input((14,), dtype="int32"),
            keras.layers.Embedding(vocabulary, UNITS),
            *stack,
            keras.layers.Dense(2),
        ]
    )
    names = ["embedding"]
    for layer in range(LAYERS):
        names += [f"kernel{layer}", f"recurrent{layer}", f"bias{layer}"]
    network.set_weights([weights[name][number] for name in (*names, "head", "head_bias")])
    return network


@pytest.mark.parametrize("cell", ["relu", "gru", "lstm"])
def test_networks_side_by_side_compute_what_the_layers_of_the_library_compute(cell):
    pattern = graphs_structure.pattern_of(nx.path_graph(25), "both ways")
    mask = pattern.mask({"gru": 3, "lstm": 4}.get(cell, 1))
    masks = {f"recurrent{layer}": np.stack([mask] * 2) for layer in range(LAYERS)}
    networks = Networks(cell, initial_weights(cell, [5, 6]), masks)
    symbols, _ = graphs_strings.dataset("reber", 4, seed=3)
    found = networks.logits(symbols).numpy()
    for number in range(2):
        network = keras_network(cell, networks.numpy(), number, pattern)
        np.testing.assert_allclose(found[number], network(symbols), atol=1e-5)


def test_a_network_learns_the_same_alone_and_beside_others():
    masks = {"recurrent1": np.random.default_rng(0).random((3, UNITS, UNITS)) < 0.3}
    symbols, labels = graphs_strings.dataset("reber", 128, seed=3)
    weights = initial_weights("tanh", [1, 2, 3])
    beside = Networks("tanh", weights, masks)
    alone = Networks(
        "tanh", {k: v[1:2] for k, v in weights.items()}, {k: v[1:2] for k, v in masks.items()}
    )
    for networks in (beside, alone):
        networks.epoch(symbols, labels, seed=0)
    for name, value in alone.numpy().items():
        np.testing.assert_allclose(value[0], beside.numpy()[name][1], atol=1e-5)
        assert (value[0] != weights[name][1]).any()
    dead = ~masks["recurrent1"]
    assert not beside.numpy()["recurrent1"][dead].any()


def test_measures_of_a_star():
    found = graphs_measures.measures(nx.star_graph(4))
    assert (found["source nodes"], found["sink nodes"], found["longest path"]) == (1, 4, 1)
    assert found["degree, variance"] == pytest.approx(np.var([4, 1, 1, 1, 1]))
    assert found["closeness, variance"] == pytest.approx(np.var([1, 4 / 7, 4 / 7, 4 / 7, 4 / 7]))


def test_graphs_are_the_same_for_the_same_number_and_fit_the_layers():
    for number in range(6):
        family, graph = graphs_measures.make_graph(number)
        again = graphs_measures.make_graph(number)[1]
        assert set(graph.edges) == set(again.edges) and nx.is_connected(graph)
        one_way = graphs_structure.pattern_of(graph, "one way")
        assert one_way.nodes * one_way.units_per_node == UNITS
        assert family == graphs_measures.FAMILIES[number % 2]


def test_rank_correlations_know_ties_and_strata():
    x = np.array([1.0, 2, 2, 3, 10])
    assert graphs_measures.ranks(x).tolist() == [1, 2.5, 2.5, 4, 5]
    assert graphs_measures.correlation(x, np.exp(x)) == pytest.approx(1)
    assert np.isnan(graphs_measures.correlation(x, np.ones(5)))
    # Larger graphs do better, and within a size more is worse.
    size = np.repeat([10, 50], 20)
    y = np.tile(np.arange(20.0), 2) + 100 * (size == 50)
    accuracy = 1000.0 * (size == 50) - np.tile(np.arange(20.0), 2)
    assert graphs_measures.correlation(y, accuracy) > 0.4
    assert graphs_measures.correlation(y, accuracy, size) == pytest.approx(-1)
    low, high = graphs_measures.interval(y, y + 5 * np.sin(7 * y), size, resamples=100)
    assert -1 <= low < high <= 1


def test_pruning_drops_the_least_of_all_layers_together():
    weights = {name: value[0] for name, value in initial_weights("gru", [4]).items()}
    masks = graphs_pruning.masks_of(weights, "recurrent", 0.7)
    assert set(masks) == {f"recurrent{layer}" for layer in range(LAYERS)}
    live = np.concatenate([masks[name].ravel() for name in masks])
    size = np.concatenate([np.abs(weights[name]).ravel() for name in masks])
    assert 1 - live.mean() == pytest.approx(0.7, abs=1e-4)
    assert size[~live].max() <= size[live].min()


def test_recovery_is_counted_in_epochs():
    assert epochs_to_recover({"dense": 0.97, "accuracy": [0.5, 0.9, 0.966, 0.9]}) == 2
    assert epochs_to_recover({"dense": 0.97, "accuracy": [0.5, 0.9]}) is None


def inline(monkeypatch, module):
    """Pieces run in this process: a process of their own takes seconds to start."""

    class Inline:
        exitcode = 0

        def __init__(self, target, args):
            self.start = lambda: target(*args)

        def join(self):
            pass

    class Context:
        Process = Inline

    monkeypatch.setattr(module.multiprocessing, "get_context", lambda kind: Context)


def test_the_quick_run_writes_a_file_a_piece_and_goes_on_where_it_was(
    tmp_path, capsys, monkeypatch
):
    inline(monkeypatch, graphs_structure)
    monkeypatch.setattr(graphs_structure, "CONTROL", 2)
    given = ["--quick", "--tasks", "reber", "--cells", "tanh", "--out", str(tmp_path)]
    given += ["--links", "one way"]
    graphs_structure.main(given)
    files = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(files) == {"reber-tanh-one-way-control.json", "reber-tanh-one-way-000.json"}
    text = capsys.readouterr().out
    assert "source nodes" in text and "0.893 / 0.842" in text
    monkeypatch.setattr(graphs_structure, "run_piece", None)
    graphs_structure.main(given)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files


def test_the_quick_run_of_pruning_writes_its_table(tmp_path, capsys, monkeypatch):
    inline(monkeypatch, graphs_pruning)
    monkeypatch.setattr(graphs_pruning, "SPARSITIES", (0.5, 0.9))
    monkeypatch.setattr(graphs_pruning, "PARTS", {"both": graphs_pruning.PARTS["both"]})
    graphs_pruning.main(["--quick", "--tasks", "reber", "--cells", "tanh", "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["reber-tanh-both.json"]
    assert "reber, tanh, both" in capsys.readouterr().out
