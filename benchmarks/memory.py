"""How much memory a training step takes, in a process that does nothing else."""

import gc
import pathlib

from benchmarks.data import Data, base_kernel
from benchmarks.machine import resident
from benchmarks.peers.base import Unavailable

REFERENCES = pathlib.Path("/proc/self/clear_refs")


def of_training(peer, problem, case):
    """Bytes of a training step.

    Before the process is measured it trains a tiny layer, so that the code and the buffers that any
    training needs count as its baseline.

    Returns:
        dict: `counted`, the weights (with the numbers of live blocks), gradients and optimiser
            slots; `peak`, how far the resident memory of the
        process rose over its baseline in three steps: these, the activations, the batch, and
            whatever the peer needs besides.
    """
    if not REFERENCES.exists():
        raise Unavailable("the peak of resident memory is read from Linux's /proc")
    tiny = type(problem)("memory", "train", problem.cell, 32, problem.batch, problem.steps)
    for _ in range(2):
        prepared = peer.train(tiny, Data(tiny), type(case)(case.peer))
        prepared.call()
    prepared = None
    gc.collect()
    baseline = resident("VmRSS")
    prepared = peer.train(problem, Data(problem), case)
    base_kernel.cache_clear()
    gc.collect()
    REFERENCES.write_text("5")  # the peak starts from here
    for _ in range(3):
        prepared.call()
    return {"counted": prepared.counted(), "peak": resident("VmHWM") - baseline}
