"""Files with int8 weights: the right form for each matrix, right outputs, small files."""

import os

import keras
import numpy as np
import pytest
from pruned_models import prune, randomised

from keras_sparse_rnn import export, layers
from keras_sparse_rnn.export import flatbuffer, integers, litert


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def sequential(*parts, shape=(None, 64)):
    return randomised(keras.Sequential([keras.Input(shape, name="x"), *parts]))


def noise(*shape):
    return np.random.default_rng(5).normal(size=shape).astype("float32")


def matrix(outputs, inputs, block, density):
    """An int8 matrix whose live blocks `(outputs, inputs)` are full, and where they are."""
    rng = np.random.default_rng(3)
    live = rng.random((-(-outputs // block[0]), -(-inputs // block[1]))) < density
    live = np.repeat(np.repeat(live, block[0], 0), block[1], 1)[:outputs, :inputs]
    return rng.integers(1, 128, (outputs, inputs)).astype(np.int8) * live, live


def chosen(*matrices):
    return [form.kind for form in integers.choose(*zip(*matrices))]


def test_the_fastest_form_is_chosen_for_all_matrices_of_a_file():
    sparse = matrix(2048, 512, (16, 16), 0.1)
    small, large = matrix(40, 512, (1, 1), 1), matrix(2048, 2048, (1, 1), 1)
    wide = matrix(64, 4096, (16, 16), 0.1)
    assert chosen(sparse) == ["blocks"]
    assert chosen(small) == chosen(large) == chosen(wide) == ["dense"]
    # beside a dense product the sparse kernel is slow: a small matrix joins it, a large one rules
    assert chosen(sparse, small) == ["blocks", "blocks"]
    assert chosen(sparse, large) == ["dense", "dense"]
    assert chosen(matrix(2048, 512, (128, 1), 0.1)) == ["gathered"]
    assert chosen(matrix(2048, 512, (1, 1), 0.1)) == ["dense"]


def test_a_file_of_half_the_size_may_be_a_little_slower():
    weights = matrix(1024, 256, (16, 16), 0.1)
    dense, sparse = (
        integers.nanoseconds(form)
        for form in (
            integers.choose(*zip(matrix(1024, 256, (1, 1), 1)))[0],
            integers.choose(*zip(weights))[0],
        )
    )
    assert chosen(weights) == ["blocks"] and dense < 1.25 * sparse


def test_holes_that_rounding_makes_do_not_hide_a_pattern():
    weights, live = matrix(2048, 512, (128, 1), 0.1)
    weights[np.random.default_rng(0).random(weights.shape) < 0.3] = 0
    (form,) = integers.choose([weights], [live])
    assert form.kind == "gathered"


def test_each_output_is_rounded_by_its_own_largest_weight():
    weights = noise(6, 20) * 10.0 ** np.arange(6)[:, None]
    weights[2] = 0
    whole, scales = integers.rounded(weights)
    assert whole.dtype == np.int8 and scales.dtype == np.float32
    assert (np.abs(whole[[0, 1, 3, 4, 5]]).max(1) == 127).all() and not whole[2].any()
    errors = np.abs(whole * scales[:, None] - weights).max(1)
    assert (errors <= 0.501 * scales).all()


def exported(model, tmp_path, **options):
    """The summary of an int8 file, and its outputs on a sequence relative to Keras's."""
    path = tmp_path / "model.tflite"
    summary = export.export_litert(model, path, weights="int8", **options)
    x = noise(*(each or (1, 6)[axis] for axis, each in enumerate(model.inputs[0].shape)))
    expected = np.asarray(model(x))
    if options.get("streaming"):
        stream = export.Stream(path)
        received = np.concatenate([stream(x[:, [step]]) for step in range(x.shape[1])], axis=1)
    else:
        (received,) = export.Interpreter(path)(x=x).values()
    return summary, np.abs(received - expected).max() / np.abs(expected).max()


def test_weights_that_are_too_small_for_a_scale_are_zeros(tmp_path):
    """One output has subnormal weights, and a bias, which is divided by the scale."""
    model = sequential(keras.layers.GRU(64, return_sequences=True), keras.layers.Dense(64))
    kernel, bias = model.layers[1].get_weights()
    kernel[:, 3], bias[3] = 1e-40, 0.5
    model.layers[1].set_weights([kernel, bias])
    assert exported(model, tmp_path, steps=6)[1] < 0.02
    for smallest in (1e-40, 1e-35, 1e-30):
        kernel[:, 3] = smallest
        whole, scales = integers.rounded(kernel.T)
        assert not whole[3].any() and scales[3] == 1


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("kind", [keras.layers.LSTM, keras.layers.GRU])
@pytest.mark.quick_cases
def test_pruned_layers_are_stored_sparse(kind, streaming, tmp_path):
    layer = kind(256, return_sequences=True)
    head = keras.layers.Dense(20, activation="relu")
    model = sequential(layer, head, shape=(None, 256))
    prune(layer, (16, 16), 0.9)
    steps = {} if streaming else {"steps": 6}
    summary, error = exported(model, tmp_path, streaming=streaming, **steps)
    assert error < 0.02
    assert summary.computed_sparse == summary.sparse_tensors == 2
    if streaming:
        assert summary.ratio > 20


@pytest.mark.parametrize("batch", [1, 3])
def test_dense_layers_are_rounded_too(batch, tmp_path):
    model = randomised(
        keras.Sequential(
            [
                keras.Input((None, 32), batch_size=batch, name="x"),
                keras.layers.GRU(48, return_sequences=True),
                keras.layers.Dense(40, activation="relu"),
            ]
        )
    )
    summary, error = exported(model, tmp_path, streaming=True)
    assert error < 0.02 and summary.sparse_tensors == 0
    assert summary.ratio > 2.5


def test_open_sizes_and_block_sparse_layers(tmp_path):
    sparse = layers.BlockSparseSimpleRNN(512, (16, 16), sparsity=0.9, return_sequences=True)
    model = sequential(sparse, keras.layers.Dense(4))
    summary, error = exported(model, tmp_path, batch_size="dynamic", steps="dynamic")
    assert error < 0.02 and summary.computed_sparse == 2


def test_small_matrices_stay_as_they_are(tmp_path):
    model = sequential(keras.layers.GRU(8, return_sequences=True), shape=(None, 16))
    summary, error = exported(model, tmp_path, streaming=True)
    assert summary.ratio == 1 and error < 1e-5


def test_a_file_that_disagrees_is_refused(tmp_path, monkeypatch):
    """As one would be whose kernel took the scale of the first output for all."""
    rounded = integers.rounded

    def first(weights):
        whole, scales = rounded(weights)
        return whole, np.full_like(scales, scales[0])

    monkeypatch.setattr(integers, "rounded", first)
    model = sequential(keras.layers.SimpleRNN(64, return_sequences=True))
    model.layers[0].cell.kernel.assign(model.layers[0].cell.kernel * np.exp(np.linspace(-2, 2, 64)))
    with pytest.raises(ValueError) as error:
        exported(model, tmp_path, streaming=True)
    assert str(error.value).startswith(
        "`model` must give the same outputs in the file as in Keras, to a tolerance of 0.02; "
        "nothing was written. Received: model="
    )
    assert not os.listdir(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = sequential(keras.layers.SimpleRNN(64, return_sequences=True))
    kernel = model.layers[0].cell.kernel.numpy()
    kernel[3, 5] = np.nan
    model.layers[0].cell.kernel.assign(kernel)
    with pytest.raises(ValueError) as error:
        export.export_litert(model, tmp_path / "model.tflite", weights="int8", streaming=True)
    assert str(error.value).endswith("whose outputs are not finite")
    assert not os.listdir(tmp_path)


def test_what_is_allowed_depends_on_the_weights():
    assert litert.TOLERANCES == {"float32": 1e-4, "bfloat16": 0.02, "int8": 0.02}


def test_no_sparse_matrix_has_scales_of_its_outputs(tmp_path):
    """Not all runtimes heed them."""
    layer = keras.layers.SimpleRNN(512, return_sequences=True)
    model = sequential(layer)
    prune(layer, (16, 16), 0.9)
    exported(model, tmp_path, streaming=True)
    file = flatbuffer.unpack((tmp_path / "model.tflite").read_bytes())
    sparse = [one for one in file.subgraphs[0].tensors if one.sparsity is not None]
    assert len(sparse) == 2
    assert [list(one.quantization.scale) for one in sparse] == [[1.0], [1.0]]
