"""Threads: the same bits whatever their number, two ops at once. (Forks are tested in C++: TensorFlow itself does not
survive one.)"""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
from problems import Problem, random_packed

from keras_sparse_rnn import ops

pytestmark = pytest.mark.skipif(ops.loader.problem() is not None, reason="the native library was not built")

# Large enough to be shared out: over panels, over columns with a panel for both threads, and in row layout.
LARGE = [dict(batch=33, time=12), dict(batch=16, time=12), dict(batch=2, time=24, training=False)]


def large(cell, **options):
    return Problem(cell, inputs=200, units=300, block_shape=(8, 8), recurrent_block_shape=(16, 16), **options)


def bits(problem):
    outputs, gradients = problem.run("native")
    return [array.tobytes() for array in [*outputs, *gradients.values()]]


@pytest.mark.parametrize("options", LARGE, ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_the_same_bits_with_any_number_of_threads(cell, options, threads):
    problem = large(cell, **options)
    threads(1)
    expected = bits(problem)
    for count in (1, 2, 3):
        threads(count)
        assert bits(problem) == expected == bits(problem)


def test_product_with_any_number_of_threads(threads):
    packed = random_packed(np.random.default_rng(0), 300, 400, 1, (16, 16), 0.5)
    for rows in (4, 300):
        x = tf.random.stateless_normal((rows, 300), (1, 2))
        results = []
        for count in (1, 2, 3):
            threads(count)
            results.append(ops.block_sparse_matmul(x, packed, kernel="native").numpy().tobytes())
        assert len(set(results)) == 1


def test_two_ops_at_once(threads):
    """Each from its own thread, again and again: the pool serves one, the other goes alone, and both are right."""
    threads(2)
    problems = [large("lstm", **LARGE[0]), large("gru", **LARGE[1])]
    expected = [bits(problem) for problem in problems]
    wrong = []

    def work(index):
        for _ in range(4):
            if bits(problems[index]) != expected[index]:
                wrong.append(index)

    running = [threading.Thread(target=work, args=(index % 2,)) for index in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not wrong


def test_settings(monkeypatch):
    ops.set_num_threads(3)
    assert ops.num_threads() == 3
    monkeypatch.setenv("KERAS_SPARSE_RNN_THREADS", "5")
    ops.set_num_threads(None)
    for bad in (0, -1, 257, 1.5, "2"):
        with pytest.raises(ValueError, match="^`threads` must be an integer from 1 to 256, or None. Received: threads="):
            ops.set_num_threads(bad)


@pytest.mark.parametrize("variable, value, expression", [
    ("KERAS_SPARSE_RNN_THREADS", "5", "ops.num_threads() == 5"),
    ("KERAS_SPARSE_RNN_CPU", "plain", "ops.cpu() == 'plain'"),
    ("KERAS_SPARSE_RNN_CPU", "no such", "ops.cpu() in ops.loader.CPUS"),
])
def test_environment(variable, value, expression, tmp_path):
    script = f"from keras_sparse_rnn import ops; assert {expression}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), variable: value}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, timeout=120, capture_output=True)


def test_choosing_an_instruction_set():
    with pytest.raises(ValueError, match="^`name` must be one of 'avx512', 'avx2', 'neon', 'plain', or None. Received: name='mmx'"):
        ops.set_cpu("mmx")
