"""The peers: each one computes problems in a worker process of its own."""

import importlib

PEERS = {
    "reference": "reference.Reference",
    "keras": "keras_peer.KerasPeer",
    "keras_xla": "keras_peer.KerasXlaPeer",
    "tensorflow": "keras_peer.TensorFlowPeer",
    "torch": "torch_peer.TorchPeer",
    "onnxruntime": "onnxruntime_peer.OnnxRuntimePeer",
    "litert": "litert_peer.LiteRTPeer",
    "scipy": "scipy_peer.ScipyPeer",
    "ours": "ours.Ours",
}


def make(name, threads):
    """The peer `name`, ready to prepare problems. Imports its package.

    Raises:
        Unavailable: its package is not installed.
    """
    from benchmarks.peers.base import Unavailable

    module, class_name = PEERS[name].split(".")
    try:
        peer = getattr(importlib.import_module(f"benchmarks.peers.{module}"), class_name)
    except ModuleNotFoundError as error:
        raise Unavailable(
            f'{error.name} is not installed; pip install ".[benchmark]" brings it'
        ) from error
    return peer(threads)
