"""Models that train at few bits are exported by way of `substitute`."""

import keras
import numpy as np
import pytest

import keras_sparse_rnn as ksr
import ksr_runtime


def low_precision_model():
    keras.utils.set_random_seed(0)
    stack = [keras.Input((4, 16)), keras.layers.GRU(16, return_sequences=True, name="gru")]
    model = keras.Sequential(stack, name="small")
    low = ksr.quantization.LowPrecision(4, 8)
    return ksr.substitute(model, (4, 4), storage="masked", low_precision=low)


@pytest.mark.parametrize("export", [ksr.export_litert, ksr.export_c])
def test_a_model_in_training_is_refused_and_nothing_is_written(tmp_path, export):
    with pytest.raises(ValueError) as error:
        export(low_precision_model(), tmp_path / "model")
    assert str(error.value) == (
        "`model` must have no layer of a `low_precision`, which is for training: export "
        'ksr.substitute(model), or ksr.substitute(model, weights="int8", activations="int8"), '
        "whose integers are those of the training. Received: model='small' with low_precision in "
        "'gru'"
    )
    assert not list(tmp_path.iterdir())


def test_an_exported_c_program_has_the_integers_of_the_training(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent/cc")  # what is compiled is tested elsewhere
    model = low_precision_model()
    served = ksr.substitute(model, weights="int8", activations="int8")
    ksr.export_c(served, tmp_path / "folder")
    x = np.random.default_rng(0).normal(size=(1, 4, 16)).astype("float32")
    outputs = ksr_runtime.Model(tmp_path / "folder" / "model.ksr").run(x)
    np.testing.assert_array_equal(outputs, served(x))
    np.testing.assert_allclose(outputs, model(x), atol=0.02)
