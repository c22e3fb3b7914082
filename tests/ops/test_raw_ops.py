"""The native ops as any SavedModel may call them, past all checks in Python: they raise, and never
end the process. A second process makes the calls."""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import raw_calls

from keras_sparse_rnn import ops

pytestmark = pytest.mark.skipif(ops.loader.problem() is not None, reason="no native library")


@functools.cache
def run(seed, calls):
    """What the ops said to each of the named calls, a dict, and to so many random ones, a list,
    without what TensorFlow puts around it.
    """
    done = subprocess.run(
        [sys.executable, raw_calls.__file__, str(seed), str(calls)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=pathlib.Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.returncode} after {done.stdout}{done.stderr[-2000:]}"
    said = [json.loads(line) for line in done.stdout.splitlines()]
    said = [re.sub(r"\{\{.*?\}\} | \[Op:.*", "", one) for one in said]
    count = len(raw_calls.NAMED)
    return dict(zip(raw_calls.NAMED, said[:count], strict=True)), said[count:]


@pytest.fixture(scope="module")
def named():
    return run(0, 400)[0]


def wrong(name, inputs, gates, units, blocks):
    return (
        f"InvalidArgumentError: `{name}` must have sizes of at least 1, and at most 33554431 "
        "inputs, units of all gates and weights of a block, with the padding of partial blocks, in "
        f"at most 2147483647 blocks. Received: {inputs} inputs, {gates} gates of {units} units, "
        f"blocks of {blocks}"
    )


@pytest.mark.parametrize(
    "call, message",
    {
        "no gates": wrong("kernel", 3, 0, 4, "2 x 2"),
        "no gates, many rows": wrong("kernel", 3, 0, 4, "2 x 2"),
        "no gates, gradient": wrong("kernel", 3, 0, 4, "2 x 2"),
        "negative gates": wrong("kernel", 3, -2, 4, "2 x 2"),
        "negative gates and units": wrong("kernel", 3, -2, -4, "2 x 2"),
        "negative gates, gradient": wrong("kernel", 3, -2, 4, "2 x 2"),
        "padding": wrong("kernel", 5, 1000, 1, "2 x 3000000"),
        "padding, gradient": wrong("kernel", 5, 1000, 1, "2 x 3000000"),
        "padded rows": wrong("kernel", 5, 1, 2, "2147483647 x 2"),
        "large blocks": wrong("kernel", 5, 1, 2, "1048576 x 1048576"),
        "many blocks": wrong("kernel", 131072, 1, 131072, "1 x 1"),
        "more than an int": (
            "InvalidArgumentError: Attr units has value 2147483648 out of range for an int32"
        ),
        "prepared, no units": wrong("kernel", 3, 1, 0, "2 x 2"),
        "prepared, negative units, many rows": wrong("kernel", 3, 1, -4, "2 x 2"),
        "prepared, empty blocks": wrong("kernel", 3, 1, 4, "0 x 2"),
        "prepared, many blocks": wrong("kernel", 131072, 1, 131072, "1 x 1"),
        "prepared, many integers": (
            "InvalidArgumentError: kernel.inputs is 65537: it must be from 1 to 65536"
        ),
        "pack, no gates": wrong("kernel", 3, 0, 4, "2 x 2"),
        "pack, negative gates": wrong("kernel", 3, -2, -4, "2 x 2"),
        "pack, padding": wrong("kernel", 1, 1000, 1, "2 x 3000000"),
        "unpack, no gates": wrong("d", 3, 0, 4, "2 x 2"),
        "unpack, negative gates": wrong("d", 3, -1, 4, "2 x 2"),
        "unpack, padding": wrong("d", 5, 1000, 1, "2 x 3000000"),
        "unpack, no inputs": wrong("d", 0, 1, 4, "2 x 2"),
        "lstm": wrong("kernel", 3, 4, 4, "2 x 30000000"),
        "lstm, gradient": wrong("kernel", 3, 4, 4, "2 x 30000000"),
        "gru": wrong("kernel", 3, 3, 4, "2 x 30000000"),
        "gru, gradient": wrong("kernel", 3, 3, 4, "2 x 30000000"),
        "simple_rnn": wrong("recurrent_kernel", 4, 1, 4, "268435456 x 2"),
        "simple_rnn, gradient": wrong("recurrent_kernel", 4, 1, 4, "2 x 268435456"),
    }.items(),
    ids=lambda one: one if ":" not in one else "",
)
def test_sizes_and_attributes_that_no_kernel_has_are_refused(named, call, message):
    assert named[call] == message


def test_every_named_call_is_compared():
    marks = test_sizes_and_attributes_that_no_kernel_has_are_refused.pytestmark
    assert list(raw_calls.NAMED) == [call for call, _ in marks[0].args[1]]


@pytest.mark.parametrize("seed, calls", [(0, 400), pytest.param(1, 20000, marks=pytest.mark.slow)])
def test_random_attributes_and_shapes_never_end_the_process(seed, calls):
    _, said = run(seed, calls)
    assert len(said) == calls
    assert 0.2 < said.count("ran") / calls < 0.8
    for one in said:
        assert one == "ran" or " must " in one or "out of range for an int32" in one, one
