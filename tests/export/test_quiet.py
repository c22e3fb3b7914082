"""What the converter and the runtime write is kept away, and nothing else is."""

import logging
import os
import subprocess
import sys
import threading

import pytest
import tensorflow as tf

from keras_sparse_rnn.export.quiet import quiet

PROGRAM = """
import logging, os, sys, threading
import keras
import keras_sparse_rnn as ksr

handler = logging.StreamHandler(sys.stderr)  # keeps the stream that it was given
logger = logging.getLogger("a user's")
logger.addHandler(handler)
logger.propagate = False
stop, written = threading.Event(), []

def talk():
    while not stop.wait(0.0005):
        number = len(written)
        print(f"line {number}")
        sys.stderr.write(f"error {number}\\n")
        logger.warning(f"log {number}")
        written.append(number)

model = keras.Sequential(
    [keras.Input((3, 4)), keras.layers.LSTM(4), keras.layers.Dense(2, name="out")]
)
os.write(2, b"BEGIN\\n")
thread = threading.Thread(target=talk)
thread.start()
ksr.export.export_litert(model, "model.tflite")
ksr.export.Interpreter("model.tflite")
stop.set()
thread.join()
sys.stdout.flush()
os.write(2, b"END\\n")
print(f"{len(written)} lines")
"""


def test_what_other_threads_write_during_an_export_is_not_lost(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    *lines, last = run.stdout.splitlines()
    count = int(last.split()[0])
    assert count > 20
    assert lines == [f"line {number}" for number in range(count)]
    between = run.stderr.split("BEGIN\n")[1].split("END\n")[0]
    expected = [f"{what} {number}" for number in range(count) for what in ("error", "log")]
    assert between.splitlines() == expected  # and no word of TensorFlow's or LiteRT's


def test_descriptors_and_streams_are_put_back(capfd):
    with quiet():
        os.write(1, b"swallowed\n")
        os.write(2, b"swallowed\n")
    os.write(1, b"out\n")
    os.write(2, b"err\n")
    with pytest.raises(KeyError), quiet():
        os.write(2, b"why it failed\n")
        raise KeyError
    assert tuple(capfd.readouterr()) == ("out\n", "err\nwhy it failed\n")


def test_what_tensorflow_logs_in_another_thread_is_not_lost():
    logger, said = tf.get_logger(), []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())

    def say(text):
        thread = threading.Thread(target=logger.warning, args=(text,))
        thread.start()
        thread.join()

    level = logger.level
    logger.setLevel(logging.WARNING)  # another test, or TF_CPP_MIN_LOG_LEVEL, may have raised it
    logger.addHandler(handler)
    try:
        with quiet():
            logger.warning("of the converter")
            say("of another thread")
        logger.warning("afterwards")
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
    assert said == ["of another thread", "afterwards"]


@pytest.mark.parametrize("options", [[], ["-u"]], ids=["buffered", "unbuffered"])
@pytest.mark.quick_cases
def test_streams_of_the_program_itself_are_what_they_were(tmp_path, options):
    """In a process whose streams are not pytest's."""
    code = (
        "import os, sys; from keras_sparse_rnn.export.quiet import quiet\n"
        "state = lambda: [(s.fileno(), s.name) for s in (sys.stdout, sys.stderr)]\n"
        "before = state(), len(os.listdir('/dev/fd'))\n"
        "with quiet():\n"
        "    with quiet():\n"
        "        os.write(1, b'no'); print('yes'); sys.stdout.flush()\n"
        "assert before == (state(), len(os.listdir('/dev/fd')))\n"
        "os.write(1, b'out\\n')\n"
        "os.close(1); os.close(2)\n"
        "with quiet(): pass\n"
    )
    run = subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.stdout == "yes\nout\n"
