"""Starts the workers of a training in processes of their own, on loopback."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import keras
import pytest

several_workers = pytest.mark.skipif(
    not hasattr(keras.Variable, "synchronization"),
    reason=f"Keras {keras.__version__} has wrong metrics under several workers",
)
SCRIPT = pathlib.Path(__file__).with_name("training_worker.py")


def free_ports(count):
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def start(folder, *cases, script=SCRIPT, workers=2, timeout=300):
    """Runs `script FOLDER CASE...` in all workers, and waits until all have ended.

    Returns:
        the exit codes, and what each has written to its standard error.

    Raises:
        AssertionError: they have not ended after `timeout` seconds, and were killed.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    processes = []
    for worker in range(workers):
        task = {"type": "worker", "index": worker}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TF_CONFIG": config,
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        with open(folder / f"errors-{worker}", "w") as errors:
            processes.append(
                subprocess.Popen(
                    [sys.executable, script, folder, *cases],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                )
            )
    try:
        codes = [process.wait(timeout) for process in processes]
    except subprocess.TimeoutExpired:
        raise AssertionError(f"The workers have not ended:\n{told(folder, workers)}") from None
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return codes, told(folder, workers)


def told(folder, workers):
    return "\n".join(
        f"--- worker {worker}\n{(folder / f'errors-{worker}').read_text()[-3000:]}"
        for worker in range(workers)
    )


def results(folder, case, workers=2):
    """What the workers have found in `case`."""
    return [json.loads((folder / f"{case}-{worker}.json").read_text()) for worker in range(workers)]
