"""Threads: the same bits whatever their number, two ops at once, no more threads than asked for,
forks.
"""

import os
import pathlib
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import tensorflow as tf
from problems import Problem, random_packed

from keras_sparse_rnn import ops

pytestmark = pytest.mark.skipif(
    ops.loader.problem() is not None, reason="the native library was not built"
)

# Large enough to be shared out: over panels, over columns with a panel for both threads, and in row
# layout.
LARGE = [dict(batch=33, time=12), dict(batch=16, time=12), dict(batch=2, time=24, training=False)]


def large(cell, **options):
    return Problem(
        cell, inputs=200, units=300, block_shape=(8, 8), recurrent_block_shape=(16, 16), **options
    )


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
    """Each from its own thread, again and again: the pool serves one, the other goes alone, and
    both are right.
    """
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


def in_a_new_process(script, tmp_path, **environment):
    """Runs a script that imports these tests' helpers, in a process whose threads are its own."""
    paths = os.pathsep.join([str(pathlib.Path(__file__).parent), *sys.path])
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, **environment},
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_threads_are_as_many_as_asked_for(tmp_path):
    """The pool starts its threads when they are first needed, and two callers at once share
    them.
    """
    script = """
        import os, threading, time
        from test_threads import LARGE, bits, large, ops

        def count():
            return len(os.listdir("/proc/self/task"))

        def call_at_once():
            # The largest number of threads seen while two threads call ops, without those two.
            problems = [large("lstm", **LARGE[0]), large("gru", **LARGE[1])]
            most = [0]

            def work(problem):
                for _ in range(5):
                    bits(problem)
                    most[0] = max(most[0], count())

            callers = [threading.Thread(target=work, args=(problem,)) for problem in problems]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
            time.sleep(0.2)  # a thread is listed for a moment after it was joined
            return most[0] - len(callers)

        ops.set_num_threads(1)
        call_at_once()  # TensorFlow starts threads of its own here
        alone = count()
        ops.set_num_threads(3)
        bits(large("lstm", **LARGE[0]))
        assert count() == alone + 2, (alone, count())
        assert call_at_once() <= alone + 2
        assert count() == alone + 2, (alone, count())
    """
    in_a_new_process(script, tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forked_child_runs_the_ops(tmp_path):
    """Called eagerly on ready tensors. TensorFlow's own ops hang in a forked child once they share
    work among threads (`tf.matmul` does, and so does any tf.function), because TensorFlow's pool
    does not survive a fork: only what runs in the caller's thread, as our ops do, is safe there."""
    script = """
        import os
        from problems import GATES
        from test_threads import large, np, ops, random_packed, tf

        ops.set_num_threads(2)
        packed = random_packed(np.random.default_rng(0), 300, 400, 1, (16, 16), 0.5)
        x = tf.random.stateless_normal((300, 300), (1, 2))
        calls = [lambda: [ops.block_sparse_matmul(x, packed, kernel="native")]]
        for cell in GATES:
            problem = large(cell, batch=16, time=12, training=False)
            tensors = [tf.constant(array, tf.float32) for array in problem.arrays.values()]
            calls.append(lambda problem=problem, tensors=tensors: problem.call(tensors, "native"))
        run = lambda: [tensor.numpy().tobytes() for call in calls for tensor in call()]
        before = run()
        for _ in range(2):
            child = os.fork()
            if child == 0:
                os._exit(0 if run() == before else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert run() == before
    """
    in_a_new_process(script, tmp_path)


def test_settings(monkeypatch):
    ops.set_num_threads(3)
    assert ops.num_threads() == 3
    monkeypatch.setenv("KERAS_SPARSE_RNN_THREADS", "5")
    ops.set_num_threads(None)
    assert ops.num_threads() == 5
    monkeypatch.delenv("KERAS_SPARSE_RNN_THREADS")
    if hasattr(os, "sched_getaffinity"):
        assert ops.num_threads() == len(os.sched_getaffinity(0))
    for bad in (0, -1, 257, 1.5, "2"):
        with pytest.raises(
            ValueError,
            match="^`threads` must be an integer from 1 to 256, or None. Received: threads=",
        ):
            ops.set_num_threads(bad)


@pytest.mark.parametrize(
    "variables, expression",
    [
        (
            {"KERAS_SPARSE_RNN_THREADS": "5", "KERAS_SPARSE_RNN_CPU": "plain"},
            "(ops.num_threads(), ops.cpu()) == (5, 'plain')",
        ),
        pytest.param(
            {"KERAS_SPARSE_RNN_CPU": "no such"},
            "ops.cpu() in ops.loader.CPUS",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_environment(variables, expression, tmp_path):
    script = f"from keras_sparse_rnn import ops; assert {expression}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=120,
        capture_output=True,
    )


def test_choosing_an_instruction_set():
    with pytest.raises(
        ValueError,
        match=(
            "^`name` must be one of 'avx512', 'avx2', 'neon', 'plain', or None. Received: "
            "name='mmx'"
        ),
    ):
        ops.set_cpu("mmx")
