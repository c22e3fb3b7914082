"""Opens files of `export_litert` whose description of sparse weights was damaged and then sealed
again, in a process of its own: where it ends early, the runtime has crashed.

Arguments: the file, a seed, how many damaged ones. Prints one JSON string for each: what
`Interpreter` says, or "ran"."""

import json
import pathlib
import sys

import numpy as np

from keras_sparse_rnn import export
from keras_sparse_rnn.export import flatbuffer, integrity

WILD = (-(2**31), -1, 0, 1, 2, 5, 300, 70_000, 2**31 - 1)


def vector(axis, name, rng):
    """Damages the segments or the indices of a sparse axis."""
    schema = flatbuffer.schema()
    found = getattr(axis, f"array{name}")
    if found is None:
        return
    values = np.array(found.values, np.int64)
    fault = rng.integers(6)
    if fault == 0 and len(values):
        values[rng.integers(len(values))] = WILD[rng.integers(len(WILD))]
    elif fault == 1 and len(values):
        values[rng.integers(len(values))] += rng.integers(-2, 3)
    elif fault == 2:
        values = values[: rng.integers(len(values) + 1)]
    elif fault == 3:
        values = np.append(values, values[-1:] + rng.integers(0, 2))
    elif fault == 4:
        values = values[::-1]
    else:
        setattr(axis, f"array{name}", None)
        setattr(axis, f"array{name}Type", 0)
        return
    found = schema.Int32VectorT()
    found.values = values.astype(np.int32)
    setattr(axis, f"array{name}", found)
    setattr(axis, f"array{name}Type", schema.SparseIndexVector.Int32Vector)


def damage(model, rng):
    """Changes one thing in the description of one sparse tensor of a `ModelT`, in place."""
    graph = model.subgraphs[
        rng.choice([n for n, g in enumerate(model.subgraphs) if sparse_tensors(g)])
    ]
    found = sparse_tensors(graph)
    tensor = found[rng.integers(len(found))]
    sparsity = tensor.sparsity
    wild = int(WILD[rng.integers(len(WILD))])
    scaled = tensor.quantization is not None and tensor.quantization.scale is not None
    fault = rng.integers(11 if scaled else 10)
    if fault < 4:
        vector(sparsity.dimMetadata[1], ("Segments", "Indices")[fault % 2], rng)
    elif fault == 4:
        name = ("traversalOrder", "blockMap")[rng.integers(2)]
        values = np.array(getattr(sparsity, name) if getattr(sparsity, name) is not None else [])
        values = rng.permutation(np.append(values, wild) if rng.integers(2) else values)
        if len(values) and rng.integers(2):
            values[rng.integers(len(values))] = wild
        setattr(sparsity, name, values.astype(np.int32))
    elif fault == 5:
        axes = sparsity.dimMetadata
        axes[rng.integers(len(axes))].denseSize = wild
    elif fault == 6:
        axes = sparsity.dimMetadata
        axes[rng.integers(len(axes))].format = int(rng.integers(2))
    elif fault == 7:
        axes = list(sparsity.dimMetadata)
        if rng.integers(2):
            axes.pop(rng.integers(len(axes)))
        else:
            axes.append(axes[rng.integers(len(axes))])
        sparsity.dimMetadata = axes
    elif fault == 8:
        shape = np.array(tensor.shape)
        shape[rng.integers(len(shape))] = wild
        tensor.shape = shape.astype(np.int32)
    elif fault == 10:
        quantization = tensor.quantization
        count = rng.integers(5)
        quantization.scale = np.ones(count, np.float32)
        quantization.zeroPoint = np.ones(rng.integers(2) and count, np.int64)
        quantization.quantizedDimension = int(rng.integers(2))
    else:
        buffer = model.buffers[tensor.buffer]
        buffer.data = buffer.data[: rng.integers(len(buffer.data))]


def sparse_tensors(graph):
    return [tensor for tensor in graph.tensors if tensor.sparsity is not None]


def tried(path):
    """What becomes of a file."""
    try:
        interpreter = export.Interpreter(path)
        inputs = interpreter.get_signature_runner().get_input_details()
        interpreter(**{name: np.ones(each["shape"], "float32") for name, each in inputs.items()})
    except ValueError as error:
        return str(error)
    return "ran"


if __name__ == "__main__":
    whole, seed, count = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng = np.random.default_rng(seed)
    path = whole.with_name(f"damaged{seed}.tflite")
    for _ in range(count):
        model = flatbuffer.unpack(whole.read_bytes())
        damage(model, rng)
        path.write_bytes(integrity.sealed(model))
        print(json.dumps(tried(path)), flush=True)
