"""The links of a graph as the pattern of a recurrent kernel."""

import numbers

import numpy as np

from keras_sparse_rnn.patterns.pattern import Pattern


class GraphPattern(Pattern):
    """Units see the last state of those alone from which a link of a graph comes.

        graph = networkx.watts_strogatz_graph(64, k=8, p=0.3, seed=0)
        pattern = ksr.patterns.from_graph(graph, units_per_node=4)
        layer = ksr.layers.BlockSparseGRU(256, recurrent_pattern=pattern)

    A link `(u, v)` lets the weights from node u to node v live in the recurrent kernel `[units,
    gates * units]`, the same in every gate: one weight or, with `units_per_node=4`, a block of
    (4, 4). So a layer has as many units as the graph has nodes, times `units_per_node`. Kernels of
    the inputs are left alone.

    `from_graph` makes one of a graph of networkx. A pattern itself does not need networkx: it is
    saved and loaded with the layer.

    Args:
        nodes: how many there are.
        links: pairs `(from, to)` of numbers from 0 to `nodes - 1`.
        units_per_node: how many units each node stands for.

    Attributes:
        links: sorted, each once.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, nodes, links, units_per_node=1):
        for name, value in (("nodes", nodes), ("units_per_node", units_per_node)):
            if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f"`{name}` must be an integer of at least 1. Received: {name}={value!r}"
                )
        self.nodes, self.units_per_node = int(nodes), int(units_per_node)
        self.links = tuple(sorted({self._link(link) for link in links}))
        if not self.links:
            raise ValueError(
                "`links` must have a link: a recurrent kernel without any sees no state. Received: "
                f"none of {nodes} nodes"
            )

    @property
    def sparsity(self):
        return 1 - len(self.links) / self.nodes**2

    @property
    def block_shape(self):
        return self.units_per_node, self.units_per_node

    @property
    def adjacency(self):
        """Bool `[nodes, nodes]`: whether there is a link from the row's node to the column's."""
        linked = np.zeros((self.nodes, self.nodes), bool)
        linked[tuple(np.transpose(self.links))] = True
        return linked

    def mask(self, gates=1):
        """Which weights live, bool `[units, gates * units]`."""
        size = self.units_per_node
        return np.tile(self.adjacency.repeat(size, axis=0).repeat(size, axis=1), (1, gates))

    def live_blocks(self, gates):
        """The numbers of the live blocks of a kernel of so many gates, int32, ascending."""
        live = np.broadcast_to(self.adjacency.T, (gates, self.nodes, self.nodes))
        return np.flatnonzero(live).astype(np.int32)

    def check_units(self, units, name="pattern", layer=""):
        """Raises a `ValueError` if a layer of so many units is not one of this graph."""
        if units != self.nodes * self.units_per_node:
            raise ValueError(
                f"`{name}` must be of a graph of as many nodes as {layer or 'the layer'} has "
                f"units, {units}, or of {units} / k nodes with units_per_node=k. Received: "
                f"{self!r}"
            )

    def concerns(self, kernel):
        if kernel.role != "recurrent_kernel":
            return False
        self.check_units(kernel.units, layer=kernel.path)
        return True

    def kept(self, scores, live):
        return np.broadcast_to(self.adjacency.T, scores.shape)

    def _link(self, link):
        valid = isinstance(link, (tuple, list)) and len(link) == 2
        valid = valid and all(
            isinstance(end, numbers.Integral) and 0 <= end < self.nodes for end in link
        )
        if not valid:
            raise ValueError(
                f"`links` must be pairs (from, to) of nodes from 0 to {self.nodes - 1}. Received: "
                f"{link!r}"
            )
        return int(link[0]), int(link[1])

    def __repr__(self):
        size = "" if self.units_per_node == 1 else f", units_per_node={self.units_per_node}"
        return f"GraphPattern({self.nodes}, <{len(self.links)} links>{size})"

    def get_config(self):
        return {
            "nodes": self.nodes,
            "links": [list(link) for link in self.links],
            "units_per_node": self.units_per_node,
        }


def from_graph(graph, units_per_node=1, *, self_links=False, acyclic=False):
    """The `GraphPattern` of a graph of networkx, such as those of `networkx.erdos_renyi_graph`,
    `watts_strogatz_graph` and `barabasi_albert_graph`. Needs networkx: `pip install
    "keras_sparse_rnn[graphs]"`.

    Nodes are numbered in the order of the graph, whatever they are called; weights and other
    attributes mean nothing. A link of a directed graph is one link of the pattern, one of an
    undirected graph goes both ways.

    Args:
        graph: a `networkx.Graph`, `DiGraph` or a multigraph.
        units_per_node: how many units each node stands for.
        self_links: let every unit see its own last state, too.
        acyclic: no state may come back to its unit over others. A link of an undirected graph
            then goes one way, from the node that comes first in the graph to the later one; a
            directed graph must have no cycle. The links that `self_links` adds do not count. A
            layer of such a pattern without `self_links` forgets, but for its gates, after as many
            steps as the longest path has links.

    Raises:
        ImportError: networkx is not installed.
        ValueError: `graph` is no graph of networkx, or has no link, or a cycle where none may be.
    """
    try:
        import networkx
    except ImportError:
        raise ImportError(
            "ksr.patterns.from_graph needs networkx, which is not installed: pip install "
            '"keras_sparse_rnn[graphs]"'
        ) from None
    if not isinstance(graph, networkx.Graph):
        raise ValueError(f"`graph` must be a graph of networkx. Received: graph={graph!r}")
    numbers_of = {node: number for number, node in enumerate(graph)}
    links = {(numbers_of[u], numbers_of[v]) for u, v in graph.edges()}
    if not graph.is_directed():
        links = {(min(link), max(link)) for link in links}
        links |= set() if acyclic else {(v, u) for u, v in links}
    if acyclic:
        _check_acyclic(networkx, list(graph), links)
    if self_links:
        links |= {(node, node) for node in range(len(graph))}
    return GraphPattern(len(graph), links, units_per_node)


def _check_acyclic(networkx, nodes, links):
    try:
        cycle = networkx.find_cycle(networkx.DiGraph(links))
    except networkx.NetworkXNoCycle:
        return
    names = [repr(nodes[number]) for number in (cycle[0][0], *(v for _, v in cycle))]
    raise ValueError(
        f"`graph` must have no cycle with acyclic=True. Received: the cycle {' -> '.join(names)}"
    )
