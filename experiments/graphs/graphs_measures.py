"""Measures of graphs, and how they go with accuracy: rank correlations with intervals."""

import networkx as nx
import numpy as np

SIZES = (10, 25, 50)  # nodes, of 5, 2 and 1 units
FAMILIES = ("watts_strogatz", "barabasi_albert")


def make_graph(number):
    """The graph of a number: families take turns, and sizes.

    Published: connected Watts-Strogatz graphs of k = n // 5, all links rewired, and Barabasi-Albert
    graphs of m = n // 10 (Darji 2024), 10 to 50 nodes.
    """
    family, nodes = FAMILIES[number % 2], SIZES[number // 2 % len(SIZES)]
    if family == "barabasi_albert":
        return family, nx.barabasi_albert_graph(nodes, nodes // 10, seed=number)
    return family, nx.connected_watts_strogatz_graph(
        nodes, nodes // 5, 1.0, tries=100_000, seed=number
    )


def measures(graph):
    """Measures of an undirected graph, by name; those of directions are taken with each link from
    the earlier node to the later one, as the layers have it.
    """
    directed = nx.DiGraph()
    directed.add_nodes_from(graph)
    directed.add_edges_from((min(link), max(link)) for link in graph.edges())
    degrees = np.array([degree for _, degree in graph.degree()])
    closeness = np.array(list(nx.closeness_centrality(graph).values()))
    found = {
        "nodes": len(graph),
        "density": nx.density(graph),
        "source nodes": sum(degree == 0 for _, degree in directed.in_degree()),
        "sink nodes": sum(degree == 0 for _, degree in directed.out_degree()),
        "longest path": nx.dag_longest_path_length(directed),
        "degree, mean": degrees.mean(),
        "degree, variance": degrees.var(),
        "closeness, mean": closeness.mean(),
        "closeness, variance": closeness.var(),
        "closeness in one direction, variance": np.var(
            list(nx.closeness_centrality(directed).values())
        ),
        "betweenness, variance": np.var(list(nx.betweenness_centrality(graph).values())),
        "clustering": nx.average_clustering(graph),
        "path length, mean": nx.average_shortest_path_length(graph),
    }
    return {name: float(value) for name, value in found.items()}


def ranks(values, strata=None):
    """The ranks of values, equal ones sharing the mean of theirs; with `strata`, each among those
    of the same stratum, from -0.5 to 0.5.
    """
    values = np.asarray(values, float)
    if strata is None:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    found, strata = np.zeros(len(values)), np.asarray(strata)
    for stratum in np.unique(strata):
        own = strata == stratum
        found[own] = (ranks(values[own]) - 0.5) / np.count_nonzero(own) - 0.5
    return found


def correlation(x, y, strata=None):
    """Spearman's rank correlation; NaN where one of the two is constant."""
    return float(_pearson(ranks(x, strata), ranks(y, strata)))


def interval(x, y, strata=None, resamples=2000, seed=0):
    """The 95 % interval of `correlation`, by the percentile bootstrap over graphs with their ranks
    of the whole sample.
    """
    chosen = np.random.default_rng(seed).integers(0, len(x), (resamples, len(x)))
    found = _pearson(ranks(x, strata)[chosen], ranks(y, strata)[chosen])
    if np.isnan(found).all():
        return float("nan"), float("nan")
    return tuple(float(one) for one in np.nanpercentile(found, [2.5, 97.5]))


def _pearson(x, y):
    """Pearson's correlation along the last axis, NaN where it is not defined."""
    x, y = (one - one.mean(axis=-1, keepdims=True) for one in (x, y))
    scale = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    defined = scale > 1e-12
    return np.where(defined, (x * y).sum(axis=-1) / np.where(defined, scale, 1), np.nan)
