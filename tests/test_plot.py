import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr

matplotlib = pytest.importorskip("matplotlib")


def test_masks_show_which_weights_live(tmp_path):
    model = keras.Sequential([keras.Input((None, 8)), keras.layers.GRU(12, name="gru")])
    kernel = model.layers[0].cell.kernel
    live = np.random.default_rng(0).random(kernel.shape) < 0.3
    kernel.assign(kernel * live)
    path = tmp_path / "masks.png"
    figure = ksr.plot.masks(model, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["masks.png"]
    pictures = [axis.get_images()[0].get_array() for axis in figure.axes]
    assert len(pictures) == 6
    for gate, picture in enumerate(pictures[:3]):
        np.testing.assert_array_equal(
            np.all(picture == ksr.plot.LIVE, axis=-1), live[:, 12 * gate : 12 * gate + 12]
        )
    assert figure.axes[1].get_title() == f"gate r, {100 * np.mean(~live[:, 12:24]):.1f} % zero"


def test_masks_of_packed_layers_are_drawn():
    model = keras.Sequential(
        [keras.Input((None, 8)), ksr.layers.BlockSparseSimpleRNN(12, (4, 4), sparsity=0.5)]
    )
    figure = ksr.plot.masks(model)
    drawn = [
        np.all(axis.get_images()[0].get_array() == ksr.plot.LIVE, axis=-1) for axis in figure.axes
    ]
    for picture, kernel in zip(drawn, model.layers[0].dense_kernels()):
        np.testing.assert_array_equal(picture, kernel != 0)


def test_model_without_recurrent_kernels_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.ReLU(name="r")], name="model")
    for layers in (None, "r"):
        with pytest.raises(ValueError) as error:
            ksr.plot.masks(model, layers=layers)
        assert str(error.value) == (
            "`model` must be built and have recurrent layers, whose kernels are drawn, and "
            f"`layers` must select some. Received: 'model', layers={layers!r}"
        )


@pytest.mark.parametrize("packed", [True, False])
def test_a_selector_that_matches_nothing_is_named(packed):
    layer = ksr.layers.BlockSparseGRU(8, (4, 4), sparsity=0.5, name="rnn")
    other = keras.layers.GRU(8, name="rnn")
    model = keras.Sequential([keras.Input((None, 8)), layer if packed else other])
    for layers in ("typo", ["rnn", "typo"]):
        with pytest.raises(ValueError) as error:
            ksr.plot.masks(model, layers=layers)
        assert str(error.value) == (
            "`layers` must match layers of the model; 'typo' matches none. It has: rnn"
        )
    assert len(ksr.plot.masks(model, layers="rnn").axes) == 6


def test_curves_draw_sparsity_beside_loss(tmp_path):
    runs = {
        "dense": {"loss": [3.0, 2.0, 1.0], "sparsity": [0, 0, 0]},
        "pruned": {"loss": [3.0, 2.5, 2.0], "sparsity": [0, 0.4, 0.9]},
    }
    figure = ksr.plot.curves(runs, tmp_path / "curves.svg", smooth=1)
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[1].get_ydata(), [3.0, 2.5, 2.0])
    assert len(right.lines) == 1
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [0, 0.4, 0.9])
    assert (tmp_path / "curves.svg").stat().st_size > 1000


def test_geometry_is_drawn_layer_by_layer(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((6, 8)),
            keras.layers.GRU(12, return_sequences=True, name="first"),
            keras.layers.LSTM(5, name="second"),
        ]
    )
    model.compile(run_eagerly=True)
    analysis = ksr.geometry.analyze(
        model,
        np.random.default_rng(0).normal(size=(20, 6, 8)).astype("float32"),
        share=0.95,
        console=False,
    )
    path = tmp_path / "geometry.png"
    figure = ksr.plot.geometry(analysis, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [axis.get_title() for axis in figure.axes][:2] == [
        f"first: {analysis[0].dimensions()} of 12 directions hold 95%",
        "what each neuron contributes",
    ]
    held = figure.axes[3].lines[0].get_ydata()
    np.testing.assert_allclose(
        held[1:], np.cumsum(analysis[1].variances) / analysis[1].variances.sum()
    )
    weights = figure.axes[2].collections[0].get_array()
    assert 0.98 * 12 * 36 <= weights.sum() <= 12 * 36
    assert len(ksr.plot.geometry(analysis[1]).axes) == 3


def test_neurons_are_drawn_with_their_strongest_weights(tmp_path):
    generator = np.random.default_rng(0)
    moduli = ksr.regularizers.Moduli(ksr.manifolds.Torus(), seed=0)
    kernel = np.zeros((20, 60))
    kernel[3, 3] = 9.0  # of a neuron with itself: not drawn
    rows, columns = generator.permutation(20)[:7], generator.permutation(20)[:7] + 20
    columns += rows + 20 == columns
    kernel[rows, np.minimum(columns, 39)] = generator.uniform(1, 2, 7)
    kernel[rows, np.minimum(columns, 39) + 20] = 0.1
    figure = ksr.plot.neurons(moduli, kernel, tmp_path / "neurons.png", lines=5)
    assert (tmp_path / "neurons.png").stat().st_size > 1000
    (axis,) = figure.axes
    assert axis.get_title() == "Torus: 20 neurons, the 5 strongest of 15 weights"
    halves = np.array(axis.collections[0].get_segments())
    assert halves.shape == (10, 2, 2)
    strongest = np.argsort(-kernel[:, 20:40], axis=None)[:5]
    places = moduli.places(20)[0]
    np.testing.assert_allclose(halves[:5, 0], places[strongest // 20])
    np.testing.assert_allclose(halves[5:, 0], places[strongest % 20])
    distances = np.diag(moduli.manifold.distances(halves[:5, 0], halves[5:, 0]))
    np.testing.assert_allclose(
        np.linalg.norm(halves[:, 1] - halves[:, 0], axis=1), np.tile(distances / 2, 2), atol=1e-9
    )
    np.testing.assert_allclose(axis.collections[1].get_offsets(), places)


@pytest.mark.parametrize("manifold", ["Circle", "KleinBottle", "Sphere", "Sphere3"])
def test_neurons_of_other_manifolds_are_drawn(manifold):
    moduli = ksr.regularizers.Moduli(
        getattr(ksr.manifolds, manifold)(), seed=0, separate=True, gates=2
    )
    kernel = keras.Variable(np.random.default_rng(0).normal(size=(9, 14)))
    figure = ksr.plot.neurons(moduli, kernel, title="mine")
    assert figure.axes[0].get_title() == "mine" and len(figure.axes[0].collections) == 3
    figure.canvas.draw()
