"""What a file says about the model in it."""

import os

import keras
import numpy as np
import pytest
from pruned_models import prune, randomised

from keras_sparse_rnn import export

GIVEN = {
    "name": "wecker",
    "version": "2.1",
    "sample_rate": 16_000,
    "labels": ["auf", "zu", "höher"],
}


@pytest.fixture(scope="module")
def model():
    layer = keras.layers.SimpleRNN(16, name="layer")
    model = randomised(keras.Sequential([keras.Input((4, 16)), layer], name="small"))
    prune(layer, (4, 4), 0.75)
    return model


@pytest.mark.parametrize(
    "streaming, kind", [(False, export.Interpreter), (True, export.Stream)], ids=["whole", "stream"]
)
def test_a_file_says_what_it_was_given_and_how_sparse_it_is(streaming, kind, model, tmp_path):
    path = tmp_path / "model.tflite"
    export.export_litert(model, path, streaming=streaming)
    assert kind(path).metadata == {"name": "small", "sparsity": 0.75}
    export.export_litert(model, path, streaming=streaming, metadata=GIVEN)
    assert kind(path).metadata == {**GIVEN, "sparsity": 0.75}
    half = {"sample_rate": np.float32(0.5)}
    export.export_litert(model, path, streaming=streaming, metadata=half)
    assert kind(path).metadata == {"name": "small", "sparsity": 0.75, "sample_rate": 0.5}


@pytest.mark.parametrize(
    "metadata, expected",
    [
        (
            {"colour": "red"},
            "`metadata` must be None or a dict with any of the keys 'name', 'version', "
            "'sample_rate', 'labels'. Received: metadata={'colour': 'red'}",
        ),
        (
            ["auf"],
            "`metadata` must be None or a dict with any of the keys 'name', 'version', "
            "'sample_rate', 'labels'. Received: metadata=['auf']",
        ),
        (
            {"version": 2},
            "`metadata['version']` must be a string. Received: metadata['version']=2",
        ),
        (
            {"sample_rate": 0},
            "`metadata['sample_rate']` must be a number of hertz above 0. Received: "
            "metadata['sample_rate']=0",
        ),
        (
            {"sample_rate": float("nan")},
            "`metadata['sample_rate']` must be a number of hertz above 0. Received: "
            "metadata['sample_rate']=nan",
        ),
        (
            {"labels": "auf"},
            "`metadata['labels']` must be a list of strings. Received: metadata['labels']='auf'",
        ),
    ],
)
def test_what_cannot_be_said(metadata, expected, model, tmp_path):
    with pytest.raises(ValueError) as error:
        export.export_litert(model, tmp_path / "model.tflite", metadata=metadata)
    assert str(error.value) == expected
    assert not os.listdir(tmp_path)
