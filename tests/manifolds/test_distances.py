"""Distances against plain loops over the definitions in float64, and the laws of a metric."""

import itertools
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse_rnn.manifolds import Circle, Euclidean, KleinBottle, Sphere, Sphere3, Torus

FEW = hypothesis.settings(max_examples=60, deadline=None)
ALL = [Circle(), Sphere(), Sphere3(), Torus(), Torus(1), Torus(6), KleinBottle(), Euclidean(3)]
COORDINATE = st.floats(-35, 35)
PLACE = st.tuples(COORDINATE, COORDINATE)


def torus(a, b):
    return math.sqrt(sum(min((x - y) % 10, (y - x) % 10) ** 2 for x, y in zip(a, b)))


def klein(a, b):
    """The least distance over the identity and the images that the two generators and their
    inverses make of `b`, one after the other.
    """
    right, left = lambda p: (p[0] + 10, -p[1] + 10), lambda p: (p[0] - 10, -p[1] + 10)
    up, down = lambda p: (p[0], p[1] + 10), lambda p: (p[0], p[1] - 10)
    same = lambda p: p
    images = [
        second(first(tuple(b)))
        for first, second in itertools.product((same, right, left), (same, up, down))
    ]
    assert len(set(images)) == 9
    return min(math.dist(a, image) for image in images)


def angle(factor):
    return lambda a, b: factor * math.acos(min(1.0, max(-1.0, sum(x * y for x, y in zip(a, b)))))


LOOPS = [angle(5), angle(5), angle(10), torus, torus, torus, klein, math.dist]


@pytest.mark.parametrize("manifold, loop", list(zip(ALL, LOOPS)), ids=list(map(repr, ALL)))
def test_distances_are_those_of_the_definition(manifold, loop):
    a, b = manifold.points(31, 0), manifold.points(23, 1)
    expected = [[loop(p, q) for q in b.tolist()] for p in a.tolist()]
    np.testing.assert_allclose(manifold.distance(a, b), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(manifold.distances(a, b), expected, rtol=1e-9, atol=1e-9)
    single = manifold.distance(a.astype("float32"), b.astype("float32"))
    assert single.dtype == tf.float32
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-4)


def test_known_distances():
    assert Circle().distances(np.array([[1.0, 0]]), np.array([[0, 1.0], [-1, 0]])) == pytest.approx(
        np.array([[2.5, 5]]) * np.pi
    )
    assert Sphere3().distances(np.eye(4)[:1], -np.eye(4)[:1]) == pytest.approx(
        np.array([[10 * np.pi]])
    )
    assert Torus().distances(
        np.array([[9.5, 1.0]]), np.array([[0.5, 1.0], [4.5, 6]])
    ) == pytest.approx(np.array([[1, 50**0.5]]))
    # Over the right edge the Klein bottle comes back turned over; over the upper one it does not.
    seam = KleinBottle().distances(
        np.array([[9.5, 2.0]]), np.array([[0.5, 8.0], [0.5, 2.0], [9.5, 9.0]])
    )
    assert seam == pytest.approx(np.array([[1, 17**0.5, 3]]))


def test_distances_are_computed_in_strips(monkeypatch):
    points = Torus().points(50, 0)
    whole = Torus().distances(points, points[:7])
    monkeypatch.setattr("keras_sparse_rnn.manifolds.manifold.STRIP", 20)
    np.testing.assert_array_equal(Torus().distances(points, points[:7]), whole)


@FEW
@hypothesis.given(st.integers(0, 10**6), st.sampled_from(ALL))
def test_they_are_metrics(seed, manifold):
    points = manifold.points(7, seed)
    apart = np.asarray(manifold.distance(points, points))
    np.testing.assert_allclose(apart, apart.T, rtol=1e-12)
    np.testing.assert_array_equal(np.diag(apart), 0)
    assert (apart + 1e-12 >= 0).all() and np.isfinite(apart).all()
    assert (
        apart[:, :, None] + apart[None] >= apart[:, None, :] - 1e-9
    ).all()  # [a, b] + [b, c] >= [a, c]


@FEW
@hypothesis.given(PLACE, PLACE, PLACE)
def test_the_klein_bottle_is_a_metric_in_the_whole_plane(a, b, c):
    points = np.array([a, b, c])
    apart = KleinBottle().distances(points, points)
    np.testing.assert_allclose(apart, apart.T, atol=1e-9)
    assert apart[0, 1] + apart[1, 2] >= apart[0, 2] - 1e-9


@FEW
@hypothesis.given(PLACE, PLACE, st.integers(-3, 3), st.integers(-3, 3))
def test_images_of_a_point_are_one_point_of_the_klein_bottle(a, b, right, up):
    image = np.array(b)
    for _ in range(abs(right)):
        image = np.array([image[0] + 10 * np.sign(right), -image[1] + 10])
    image[1] += 10 * up
    a, b, image = np.array([a]), np.array([b]), image[None]
    np.testing.assert_allclose(
        KleinBottle().distances(a, image), KleinBottle().distances(a, b), atol=1e-9
    )
    np.testing.assert_allclose(
        KleinBottle().distances(image, a), KleinBottle().distances(a, b), atol=1e-9
    )


@FEW
@hypothesis.given(PLACE, PLACE, st.integers(-3, 3), st.integers(-3, 3))
def test_images_of_a_point_are_one_point_of_the_torus(a, b, right, up):
    a, b = np.array([a]), np.array([b])
    np.testing.assert_allclose(
        Torus().distances(a, b + [10 * right, 10 * up]), Torus().distances(a, b), atol=1e-9
    )


@pytest.mark.parametrize("manifold", ALL, ids=repr)
def test_gradients_are_finite_and_those_of_finite_differences(manifold):
    points = tf.constant(manifold.points(3, 3))
    numeric, exact = tf.test.compute_gradient(
        lambda p: tf.sin(manifold.distance(p, p)), [points], delta=1e-6
    )[::-1]
    off_diagonal = np.flatnonzero(~np.eye(3, dtype=bool).ravel())  # |x| has no derivative at zero
    np.testing.assert_allclose(exact[0][off_diagonal], numeric[0][off_diagonal], atol=1e-6)
    assert np.isfinite(exact[0]).all()


@pytest.mark.parametrize("manifold", [Circle(), Sphere(), Sphere3()], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_finite_at_opposite_and_nearly_equal_points(manifold, dtype):
    first = np.eye(manifold.coordinates)[:1].astype(dtype)
    a = tf.constant(first)
    for b in (first, -first, first + 1e-7, -first - 1e-7):
        with tf.GradientTape() as tape:
            tape.watch(a)
            apart = manifold.distance(a, b)
        assert np.abs(tape.gradient(apart, a)).max() <= manifold.radius * 1.001


@FEW
@hypothesis.given(st.integers(0, 10**6), st.sampled_from([Torus(), KleinBottle(), Sphere()]))
def test_the_image_for_pictures_is_at_the_distance(seed, manifold):
    a, b = manifold.points(20, seed), manifold.points(20, seed + 1)
    image = manifold.image(a, b)
    np.testing.assert_allclose(np.diag(manifold.distances(image, b)), 0, atol=2e-7)
    if not isinstance(manifold, Sphere):
        assert (manifold.chart(a) == a).all()
        np.testing.assert_allclose(
            np.linalg.norm(image - a, axis=1), np.diag(manifold.distances(a, b)), atol=1e-9
        )
