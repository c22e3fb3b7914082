"""Measures how many bytes two workers send each other in a training step, and what that gives for
more of them.

    python -m benchmarks.all_reduce [--units 512] [--inputs 128] [--steps 50]

An LSTM that is pruned to 90 % in blocks of (16, 16), and a Dense layer behind it, train under
`tf.distribute.MultiWorkerMirroredStrategy` in two processes on this machine, in three ways:

- `dense`: Keras's own LSTM, whose kernels have zeros;
- `masked`: `storage="masked"`: computes with live blocks alone, but its variables are dense, and so
  are their gradients;
- `packed`: `storage="packed"`: its variables are the live blocks, and so are their gradients.

`gradients` is counted from the shapes of the trainable variables: what the workers have to add up.
`measured` is what went over the loopback device (/proc/net/dev), per step and worker. So that
nothing else is counted the workers run in a network of their own, if `unshare` may make one; else
whatever else uses loopback meanwhile counts, too, and the file says so.

In a ring of n workers each sends `2 (n - 1) / n` times the gradients in a step (Patarasuk and Yuan
2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations"): the last columns.

Writes results/all_reduce.json. Linux only. No times are measured."""

import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).parent
WAYS = ("dense", "masked", "packed")
ON_PAPER = (8, 100)
WARMUP = 5  # steps
SPARSITY, BLOCK, BATCH, TIME, OUTPUTS = 0.9, (16, 16), 4, 3, 16


def ring(workers, size):
    """How many bytes each worker sends in an all-reduce of `size` bytes around a ring."""
    return 2 * (workers - 1) / workers * size


def loopback_bytes():
    """What has been sent over the loopback device since the machine, or its network, came up."""
    for line in pathlib.Path("/proc/net/dev").read_text().splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == "lo":
            return int(figures.split()[8])
    raise RuntimeError("There is no device lo in /proc/net/dev")


def work(way, arguments):
    """One worker's part: returns the bytes of its gradients, and of a step on loopback."""
    import keras
    import numpy as np
    import tensorflow as tf

    import keras_sparse_rnn as ksr
    from keras_sparse_rnn.selection import find_kernels

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    ksr.multi_worker.enable()
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((TIME, arguments.inputs)),
                keras.layers.LSTM(arguments.units),
                keras.layers.Dense(OUTPUTS),
            ]
        )
        model.compile("adam", "mse")
        for kernel in find_kernels(model):
            grid = kernel.grid(BLOCK)
            dead = generator.permutation(grid.count) < round(SPARSITY * grid.count)
            keep = grid.expand(~dead.reshape(grid.shape))
            kernel.variable.assign(np.where(keep, kernel.numpy(), 0))
        if way != "dense":
            model = ksr.substitute(model, BLOCK, storage=way)
    sent = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch in (WARMUP, WARMUP + arguments.steps):
                sent.append(loopback_bytes())

    steps = WARMUP + arguments.steps + 2
    x = generator.normal(size=(2 * BATCH, TIME, arguments.inputs)).astype("float32")
    y = generator.normal(size=(2 * BATCH, OUTPUTS)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(2 * BATCH).repeat(steps)
    model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[Count()])
    gradients = sum(
        int(np.prod(variable.shape)) * np.dtype(variable.dtype).itemsize
        for variable in model.trainable_variables
    )
    return {"gradients": gradients, "measured": (sent[1] - sent[0]) / arguments.steps / 2}


def two_workers(way, arguments):
    """Runs both workers, and returns what the first has found."""
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for index in range(2):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            out = pathlib.Path(folder) / str(index)
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.all_reduce", *sys.argv[1:]]
                    + ["--worker", way, "--out", str(out)],
                    env={**os.environ, "TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1"},
                )
            )
        try:
            codes = [process.wait(600) for process in processes]
        finally:
            for process in processes:
                process.kill()
        if any(codes):
            raise RuntimeError(f"The workers of {way!r} have ended with the codes {codes}")
        return json.loads((pathlib.Path(folder) / "0").read_text())


def isolate():
    """Goes on in a network of its own, in which only the workers use loopback; where that may not
    be made, returns.
    """
    inside = [sys.executable, "-m", "benchmarks.all_reduce", *sys.argv[1:], "--isolated"]
    up = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if shutil.which("unshare") and shutil.which("ip"):
        if subprocess.run([*up, "true"], capture_output=True).returncode == 0:
            os.execvp(up[0], [*up, *inside])


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=512, help="of the LSTM")
    parser.add_argument("--inputs", type=int, default=128, help="of the LSTM")
    parser.add_argument("--steps", type=int, default=50, help="that are counted")
    parser.add_argument("--results", type=pathlib.Path, default=FOLDER / "results")
    for internal in ("--worker", "--out"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    parser.add_argument("--isolated", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = parse()
    if arguments.worker:
        found = work(arguments.worker, arguments)
        pathlib.Path(arguments.out).write_text(json.dumps(found))
        return
    if not arguments.isolated:
        isolate()
    ways = {way: two_workers(way, arguments) for way in WAYS}
    for found in ways.values():
        found["on_paper"] = {n: ring(n, found["gradients"]) for n in (2, *ON_PAPER)}
    result = {
        "model": f"Input({TIME}, {arguments.inputs}), LSTM({arguments.units}), Dense({OUTPUTS})",
        "sparsity": SPARSITY,
        "block_shape": BLOCK,
        "steps": arguments.steps,
        "network": "of its own" if arguments.isolated else "shared with the machine",
        "bytes per step and worker": ways,
    }
    arguments.results.mkdir(exist_ok=True)
    path = arguments.results / "all_reduce.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def table(result):
    """The figures as a Markdown table, in kilobytes."""
    rows = [
        "| kB per step and worker | gradients | sent, measured on 2 | on paper: 2 | 8 | 100 |",
        "|---|---|---|---|---|---|",
    ]
    for way, found in result["bytes per step and worker"].items():
        figures = [found["gradients"], found["measured"], *found["on_paper"].values()]
        rows.append(f"| {way} | " + " | ".join(f"{one / 1000:.0f}" for one in figures) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
