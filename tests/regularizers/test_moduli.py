"""The penalty against plain loops, R against known values, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from lasso_by_hand import random_kernel
from own_geometry import beyond_two

from keras_sparse_rnn.manifolds import Circle, KleinBottle, Sphere, Torus
from keras_sparse_rnn.regularizers import INHIBITORS, MeanL1, Moduli


def value_and_gradient(moduli, kernel, **options):
    kernel = tf.convert_to_tensor(kernel)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        penalty = moduli(kernel, **options)
    return penalty.numpy(), tape.gradient(penalty, kernel).numpy()


@pytest.mark.parametrize(
    "name, known",
    [
        ("difference_of_gaussians", {0: 81, 0.5: 23, 1: 1, 2: 36, 4: 77}),
        ("diffusion", {0: 0, 0.5: 0.25, 3: 9}),
        ("gauss", {0: 100, 3**0.5: 100 / np.e}),
        ("ripple", {0: 100, np.pi / 4: 50, np.pi / 2: 0}),
    ],
)
def test_inhibitors_at_known_distances(name, known):
    found = INHIBITORS[name](np.array(list(known), np.float64))
    np.testing.assert_allclose(
        found, list(known.values()), atol=0.5 if name.startswith("difference") else 1e-9
    )


def test_the_difference_of_gaussians_is_never_negative_and_free_somewhere():
    distances = np.linspace(0, 10, 100001)
    found = INHIBITORS["difference_of_gaussians"](distances).numpy()
    difference = 100 * (np.exp(-(distances**2) / 5) - np.exp(-4 * distances**2))
    np.testing.assert_allclose(found, difference.max() - difference, atol=1e-5)
    assert 0 <= found.min() < 1e-6 and found[-1] == pytest.approx(81.1, abs=0.05)


@pytest.mark.parametrize("inhibitor", [*INHIBITORS, beyond_two])
@pytest.mark.parametrize(
    "options",
    [{}, {"permuted": True}, {"separate": True}, {"placement": "lattice", "order": "patches"}],
)
@pytest.mark.parametrize("gates", [1, 4])
def test_it_is_the_mean_of_inhibited_sizes(gates, options, inhibitor):
    moduli = Moduli(KleinBottle(), inhibitor, 0.3, 5, **options)
    kernel = random_kernel(13, gates * 13)
    inhibition = moduli.matrix(13).astype("float64")
    penalty, gradient = value_and_gradient(moduli, kernel, gates=gates)
    expected = np.zeros_like(kernel)
    for (row, column), weight in np.ndenumerate(kernel):
        expected[row, column] = 0.3 * inhibition[row, column % 13] / kernel.size * np.sign(weight)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(penalty, (expected * kernel).sum(), rtol=1e-5)
    if "permuted" not in options:
        source, target = moduli.places(13)
        distances = moduli.manifold.distances(source, target)
        np.testing.assert_allclose(
            inhibition, INHIBITORS.get(inhibitor, inhibitor)(distances), rtol=1e-5, atol=1e-4
        )


def test_the_gradient_is_that_of_finite_differences():
    moduli = Moduli(Sphere(), "ripple", 0.3, 1)
    numeric, exact = tf.test.compute_gradient(
        moduli, [tf.constant(random_kernel(6, 18))], delta=1e-6
    )[::-1]
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-8)


def test_a_weight_of_zero_is_not_pulled():
    _, gradient = value_and_gradient(Moduli(Torus(), seed=0), np.zeros((5, 5)))
    np.testing.assert_array_equal(gradient, 0)


def test_mean_l1_is_the_control_with_an_inhibition_of_one():
    kernel = random_kernel(6, 18)
    one = Moduli(Torus(), tf.ones_like, 0.3, 0)
    np.testing.assert_allclose(
        value_and_gradient(MeanL1(0.3), kernel)[1], value_and_gradient(one, kernel)[1], rtol=1e-12
    )
    assert (
        float(MeanL1(0.3)(kernel))
        == pytest.approx(0.3 * np.abs(kernel).mean())
        == pytest.approx(float(one(kernel)))
    )
    assert MeanL1.from_config(MeanL1(0.3).get_config()).get_config() == {"strength": 0.3}


def test_the_permuted_control_has_the_same_histogram_and_no_geometry():
    own, permuted = (
        Moduli(Torus(), seed=3, permuted=permuted).matrix(40) for permuted in (False, True)
    )
    np.testing.assert_array_equal(np.sort(own, axis=None), np.sort(permuted, axis=None))
    np.testing.assert_allclose(own, own.T, rtol=1e-6)
    assert abs(np.corrcoef(own.ravel(), permuted.ravel())[0, 1]) < 0.1
    assert np.mean(permuted == permuted.T) < 0.2


def test_separate_neurons_have_places_of_their_own():
    moduli = Moduli(Torus(), seed=3, separate=True, gates=3)
    source, target = moduli.places(20, 15)
    assert source.shape == (20, 2) and target.shape == (15, 2) and not np.isin(source, target).any()
    np.testing.assert_array_equal(source, Moduli(Torus(), seed=3).places(20)[0])
    assert moduli.matrix(20, 15).shape == (20, 15)
    assert float(moduli(random_kernel(20, 45))) > 0


def test_places_follow_the_seed():
    matrices = [Moduli(Torus(), seed=seed).matrix(9) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(matrices[0], matrices[1])
    assert not np.array_equal(matrices[0], matrices[2])
    drawn = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        drawn.append(Moduli(Torus()).seed)
    assert drawn[0] == drawn[1] != Moduli(Torus()).seed


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_kernels_of_other_dtypes(dtype):
    kernel = tf.cast(random_kernel(9, 27), dtype)
    moduli = Moduli(Circle(), seed=0)
    assert float(moduli(kernel)) == pytest.approx(
        float(moduli(tf.cast(kernel, "float32"))), rel=1e-6
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"manifold": Torus},
            "`manifold` must be a manifold of keras_sparse_rnn.manifolds, such as Torus(). "
            f"Received: manifold={Torus!r}",
        ),
        (
            {"inhibitor": "dog"},
            "`inhibitor` must be a function of distances or one of 'diffusion', 'gauss', "
            "'difference_of_gaussians', 'ripple'. Received: inhibitor='dog'",
        ),
        ({"strength": -1}, "`strength` must be a number of at least 0. Received: strength=-1"),
        ({"seed": 1.5}, "`seed` must be None or an integer of at least 0. Received: seed=1.5"),
        (
            {"placement": "grid"},
            "`placement` must be one of 'random', 'lattice'. Received: placement='grid'",
        ),
        ({"order": "hilbert"}, "`order` must be one of None, 'patches'. Received: order='hilbert'"),
        ({"permuted": 1}, "`permuted` must be True or False. Received: permuted=1"),
        ({"separate": None}, "`separate` must be True or False. Received: separate=None"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError) as error:
        Moduli(**{"manifold": Torus(), **arguments})
    assert str(error.value) == message


@pytest.mark.parametrize(
    "options, shape, message",
    [
        (
            {},
            (5, 21),
            "`separate` must be True for a kernel whose rows and columns are not the same neurons: "
            "without it there are as many rows as columns in a gate. Received: separate=False, 5 "
            "rows and 21 columns",
        ),
        (
            {},
            (5, 5, 5),
            "Moduli takes kernels [inputs, gates * units]. Received: a kernel of shape (5, 5, 5)",
        ),
        (
            {"gates": 2},
            (5, 5),
            "`gates` of Moduli must divide the columns of the kernel. Received: gates=2, a "
            "kernel of shape (5, 5)",
        ),
        (
            {"separate": True},
            (5, 20),
            "`gates` must be given with separate=True, for the shape (5, 20) of the kernel does "
            "not tell it: 4 for an LSTM, 3 for a GRU, 1 for any other layer. Received: gates=None",
        ),
        (
            {"inhibitor": tf.negative, "placement": "lattice"},
            (2, 2),
            "`inhibitor` must return a finite number of at least 0 for each distance, in an array "
            "of the same shape. Received: for distances of shape (2, 2), numbers from -5.0 to -0.0 "
            "of shape (2, 2)",
        ),
    ],
)
def test_kernels_are_checked(options, shape, message):
    moduli = Moduli(Torus(1), **options)
    with pytest.raises(ValueError) as error:
        moduli(np.zeros(shape))
    assert str(error.value) == message
