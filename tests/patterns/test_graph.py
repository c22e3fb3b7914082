"""The links of a graph as a pattern."""

import sys
import types

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sparse_rnn.patterns import BlockGrid, GraphPattern, from_graph

FEW = settings(max_examples=30, deadline=None)
GRAPHS = {
    "erdos_renyi": lambda nodes, seed: nx.erdos_renyi_graph(nodes, 0.5, seed=seed),
    "watts_strogatz": lambda nodes, seed: nx.watts_strogatz_graph(nodes, 4, 0.5, seed=seed),
    "barabasi_albert": lambda nodes, seed: nx.barabasi_albert_graph(nodes, 2, seed=seed),
    "directed": lambda nodes, seed: nx.gnp_random_graph(nodes, 0.5, seed=seed, directed=True),
}


@FEW
@given(st.sampled_from(list(GRAPHS)), st.integers(6, 12), st.integers(1, 3), st.integers(0, 99))
def test_the_mask_is_the_matrix_of_the_graph_in_every_gate(kind, nodes, size, seed):
    graph = GRAPHS[kind](nodes, seed)
    pattern = from_graph(graph, units_per_node=size)
    matrix = nx.to_numpy_array(graph) != 0
    expected = np.tile(np.kron(matrix, np.ones((size, size))) != 0, (1, 3))
    np.testing.assert_array_equal(pattern.mask(3), expected)
    assert pattern.sparsity == pytest.approx(1 - expected.mean())


@FEW
@given(st.sampled_from(list(GRAPHS)), st.integers(6, 12), st.integers(1, 3), st.integers(0, 99))
def test_live_blocks_are_numbered_as_a_grid_numbers_them(kind, nodes, size, seed):
    pattern = from_graph(GRAPHS[kind](nodes, seed), units_per_node=size)
    grid = BlockGrid(nodes * size, nodes * size, 3, pattern.block_shape)
    blocks = grid.pack(pattern.mask(3))[1]
    np.testing.assert_array_equal(pattern.live_blocks(3), blocks)


@FEW
@given(st.sampled_from(["erdos_renyi", "watts_strogatz", "barabasi_albert"]), st.integers(0, 99))
def test_an_acyclic_pattern_of_an_undirected_graph_has_each_link_once(kind, seed):
    graph = GRAPHS[kind](10, seed)
    pattern = from_graph(graph, acyclic=True)
    assert len(pattern.links) == graph.number_of_edges()
    assert not np.linalg.matrix_power(pattern.adjacency.astype(int), 10).any()
    own = from_graph(graph, acyclic=True, self_links=True)
    np.testing.assert_array_equal(own.adjacency, pattern.adjacency | np.eye(10, dtype=bool))


def test_nodes_of_any_name_are_numbered_in_the_order_of_the_graph():
    graph = nx.DiGraph([("b", "a"), ("a", (1, 2))])
    assert from_graph(graph).links == ((0, 1), (1, 2))
    assert from_graph(nx.MultiGraph([(3, 4), (4, 3), (4, 4)])).links == ((0, 1), (1, 0), (1, 1))


def test_a_pattern_is_made_again_from_its_config():
    pattern = from_graph(nx.path_graph(5), units_per_node=2)
    again = GraphPattern.from_config(pattern.get_config())
    assert again == pattern and hash(again) == hash(pattern)
    assert repr(again) == "GraphPattern(5, <8 links>, units_per_node=2)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: from_graph([[0, 1]]),
            "`graph` must be a graph of networkx. Received: graph=[[0, 1]]",
        ),
        (
            lambda: from_graph(nx.DiGraph([("a", "b"), ("b", "c"), ("c", "a")]), acyclic=True),
            "`graph` must have no cycle with acyclic=True. Received: the cycle 'a' -> 'b' -> 'c' "
            "-> 'a'",
        ),
        (
            lambda: from_graph(nx.Graph([(0, 0), (0, 1)]), acyclic=True),
            "`graph` must have no cycle with acyclic=True. Received: the cycle 0 -> 0",
        ),
        (
            lambda: from_graph(nx.empty_graph(4)),
            "`links` must have a link: a recurrent kernel without any sees no state. Received: "
            "none of 4 nodes",
        ),
        (
            lambda: from_graph(nx.empty_graph(0)),
            "`nodes` must be an integer of at least 1. Received: nodes=0",
        ),
        (
            lambda: from_graph(nx.path_graph(3), units_per_node=0),
            "`units_per_node` must be an integer of at least 1. Received: units_per_node=0",
        ),
        (
            lambda: GraphPattern(3, [(0, 3)]),
            "`links` must be pairs (from, to) of nodes from 0 to 2. Received: (0, 3)",
        ),
        (
            lambda: GraphPattern(3, [0]),
            "`links` must be pairs (from, to) of nodes from 0 to 2. Received: 0",
        ),
    ],
)
def test_bad_graphs_are_refused(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


def test_without_networkx_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError) as error:
        from_graph(types.SimpleNamespace())
    assert str(error.value) == (
        "ksr.patterns.from_graph needs networkx, which is not installed: pip install "
        '"keras_sparse_rnn[graphs]"'
    )
