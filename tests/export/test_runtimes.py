"""Files of streams run in every way in of the installed runtime, and in TensorFlow's.

`make test-litert-versions` runs the same files in the other versions of the runtime.
"""

import warnings

import pytest
import runtimes
import stream_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    for name in stream_files.MODELS:
        stream_files.write(name, folder)
    return folder


@pytest.mark.parametrize("way", ["Interpreter", "CompiledModel"])
@pytest.mark.parametrize("name", stream_files.MODELS)
def test_a_stream_runs_in(way, name, folder):
    open_file = runtimes.ways_in()[way]
    path = folder / f"{name}.tflite"
    assert runtimes.difference(path, way, open_file) < runtimes.tolerance_of(path)


@pytest.mark.parametrize("name", stream_files.MODELS)
def test_a_stream_runs_in_tensorflow(name, folder):
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow says that LiteRT is where it went
        path = folder / f"{name}.tflite"
        difference = runtimes.difference(path, "tf", tf.lite.Interpreter)
    assert difference < runtimes.tolerance_of(path)
