"""Where points are put, at random and evenly, and how they are numbered."""

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest

from keras_sparse_rnn.manifolds import (
    Circle,
    Euclidean,
    KleinBottle,
    Manifold,
    Sphere,
    Sphere3,
    Torus,
)

ALL = [Circle(), Sphere(), Sphere3(), Torus(), Torus(1), Torus(6), KleinBottle(), Euclidean(3)]
EVEN = {"Circle": 0.99, "Sphere": 0.9, "Sphere3": 0.6, "Torus": 0.99, "KleinBottle": 0.9}


def gaps(manifold, points):
    """The distance from each point to the nearest other one."""
    apart = manifold.distances(points, points)
    np.fill_diagonal(apart, np.inf)
    return apart.min(axis=1)


@pytest.mark.parametrize("manifold", ALL, ids=repr)
def test_random_points_follow_the_seed(manifold):
    points = manifold.points(37, 5)
    assert points.shape == (37, manifold.points(1, 0).shape[1]) and points.dtype == np.float64
    np.testing.assert_array_equal(points, manifold.points(37, 5))
    assert not np.array_equal(points, manifold.points(37, 6))


def test_random_points_are_spread_as_in_the_paper():
    torus = Torus().points(20000, 0)
    assert (
        torus.min() >= 0
        and 9.99 < torus.max() < 10
        and np.allclose(torus.mean(axis=0), 5, atol=0.1)
    )
    sphere = Sphere().points(20000, 0)
    np.testing.assert_allclose(np.linalg.norm(sphere, axis=1), 1)
    np.testing.assert_allclose(np.cov(sphere.T), np.eye(3) / 3, atol=0.01)  # uniform
    np.testing.assert_allclose(np.cov(Euclidean(2).points(20000, 0).T), np.eye(2), atol=0.1)


@pytest.mark.parametrize("count", [2, 16, 97, 130, 512])
@pytest.mark.parametrize(
    "manifold", [Circle(), Sphere(), Sphere3(), Torus(), Torus(6), KleinBottle()], ids=repr
)
def test_lattices_are_even_whatever_the_count(manifold, count):
    points = manifold.lattice(count)
    assert points.shape == manifold.points(count, 0).shape
    nearest = gaps(manifold, points)
    assert nearest.min() >= EVEN[type(manifold).__name__] * nearest.mean()
    if count > 16:
        somewhere = manifold.points(3000, 1)
        hole, random_hole = (
            manifold.distances(somewhere, p).min(axis=1).max()
            for p in (points, manifold.points(count, 0))
        )
        assert (
            hole < 0.95 * random_hole
            and nearest.min() > 1.5 * gaps(manifold, manifold.points(count, 0)).min()
        )


def test_every_neuron_sees_the_same_from_a_lattice_on_the_torus():
    points = Torus().lattice(97)
    rows = np.sort(Torus().distances(points, points), axis=1)
    np.testing.assert_allclose(rows, np.broadcast_to(rows[0], rows.shape), atol=1e-9)


def test_the_lattice_of_flat_space_shares_the_gaussian_out():
    points = Euclidean(2).lattice(500)
    assert np.isfinite(points).all()
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(np.cov(points.T), np.eye(2), atol=0.1)


@pytest.mark.parametrize("manifold", ALL, ids=repr)
def test_one_point_is_a_lattice(manifold):
    assert np.isfinite(manifold.lattice(1)).all() and len(manifold.lattice(1)) == 1


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.integers(1, 200), st.sampled_from(ALL), st.booleans())
def test_the_order_is_a_permutation(count, manifold, even):
    points = manifold.place(count, "lattice" if even else "random", 3)
    assert sorted(manifold.order(points)) == list(range(count))


@pytest.mark.parametrize("size", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("manifold", [Sphere(), Torus(), KleinBottle(), Euclidean(2)], ids=repr)
def test_runs_of_the_order_are_compact_patches(manifold, size):
    points = manifold.points(330, 0)
    points = points[manifold.order(points)]
    apart = manifold.distances(points, points)
    within = np.mean(
        [apart[first : first + size, first : first + size].mean() for first in range(0, 330, size)]
    )
    # A patch has size / 330 of the area, so it is about the root of that as wide as the whole.
    assert within < 1.6 * apart.mean() * (size / 330) ** 0.5


def test_the_order_round_a_circle_is_by_angle():
    points = Circle().points(100, 0)
    angles = np.unwrap(
        np.arctan2(*points[Circle().order(points)].T[::-1]).reshape(-1, 4)[:, :1], axis=0
    )
    patches = np.arctan2(*points.T[::-1])[Circle().order(points)][:96].reshape(6, 16)
    spans = [np.ptp(np.angle(np.exp(1j * (patch - patch[0])))) for patch in patches]
    assert sum(spans) < 2 * np.pi and len(angles) == 25


def test_order_is_the_same_where_rounding_differs():
    points = Torus().lattice(256)
    noisy = points + np.random.default_rng(0).uniform(-1e-13, 1e-13, points.shape)
    np.testing.assert_array_equal(Torus().order(noisy), Torus().order(points))


class Interval(Manifold):
    """One's own: numbers from 0 to 1, in NumPy."""

    def points(self, count, seed):
        return np.random.default_rng(seed).random((count, 1))

    def distance(self, a, b):
        return np.abs(a - b.T)


def test_ones_own_manifold_needs_points_and_distance():
    points = Interval().lattice(21)
    nearest = gaps(Interval(), points)
    assert nearest.min() > 0.5 * nearest.mean() > 0.01
    order = Interval().order(points)
    assert (np.diff(points[order].ravel()[::2]) > 0).all()
    for call, name in (
        (lambda: Manifold().points(1, 0), "points(count, seed)"),
        (lambda: Manifold().distance(0, 0), "distance(a, b)"),
    ):
        with pytest.raises(NotImplementedError) as error:
            call()
        assert str(error.value) == f"Manifold must have a method {name}"


@pytest.mark.parametrize("manifold", ALL, ids=repr)
def test_manifolds_are_saved_and_compared(manifold):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(manifold))
    assert again == manifold and hash(again) == hash(manifold)
    assert repr(again) == repr(manifold)
    assert sum(manifold == other for other in ALL) == 1


@pytest.mark.parametrize("dimensions", [0, 1.5, True, "2"])
def test_dimensions_are_checked(dimensions):
    for manifold in (Torus, Euclidean):
        with pytest.raises(ValueError) as error:
            manifold(dimensions)
        assert (
            str(error.value)
            == f"`dimensions` must be an integer of at least 1. Received: dimensions={dimensions!r}"
        )


def test_charts_have_two_or_three_coordinates():
    for manifold in ALL:
        chart = manifold.chart(manifold.points(9, 0))
        assert chart.shape[1] == min(3, manifold.points(1, 0).shape[1]) and np.isfinite(chart).all()
    assert np.isfinite(Sphere3().chart(-np.eye(4))).all()
    outside = np.array([[12.0, 3.0], [-1.0, 4.0], [25.0, -1.0]])
    inside = KleinBottle().chart(outside)
    assert (inside >= 0).all() and (inside < 10).all()
    np.testing.assert_allclose(np.diag(KleinBottle().distances(inside, outside)), 0, atol=1e-9)
