"""Whether a file is one that `export_litert` wrote, whole and as it was.

The runtime believes what stands in a file: sparse weights whose indices lie outside the matrix, or
whose buffer is too short, end the process. So every file carries its size and a checksum of its
content, which tell damage.

A file that was made to look right can carry a right checksum. Of such a file this is checked, and
no more: the description of each sparse tensor against the one form that `sparsify` writes, and its
readers; that the tensors, buffers, operator codes and graphs that are named are there; and the
options of the operators that we write (`wiring`). What else a stranger may have put into a file is
left to the runtime: run files that you trust."""

import hashlib
import json

import numpy as np

from keras_sparse_rnn.export import flatbuffer, integers, wiring
from keras_sparse_rnn.export.sparse_storage import BLOCK

BLANK = "0" * 64  # stands for the checksum while it is computed


def add_metadata(model, runtime):
    """Adds the entry by which `Interpreter` knows a whole file of ours, for that `runtime`, to a
    `ModelT`. Call `sealed` once nothing changes any more.
    """
    entry = flatbuffer.schema().MetadataT()
    entry.name = flatbuffer.METADATA
    entry.buffer = flatbuffer.add_buffer(model, _metadata(runtime, 0))
    model.metadata = [*(model.metadata or []), entry]


def sealed(model):
    """The bytes of a `ModelT` that has the entry, which gets their number and checksum."""
    entry = _entry(model)
    runtime = json.loads(bytes(model.buffers[entry.buffer].data))["runtime"]
    size = len(flatbuffer.pack(model))
    # Of the length that it had, so the file's stays what it says.
    model.buffers[entry.buffer].data = np.frombuffer(_metadata(runtime, size), np.uint8)
    content = flatbuffer.pack(model)
    checksum = hashlib.sha256(content).hexdigest()
    return content.replace(_metadata(runtime, size), _metadata(runtime, size, checksum))


def problem(content):
    """What is wrong with the bytes of a file, or None."""
    if len(content) < 8 or content[4:8] != flatbuffer.IDENTIFIER:
        return "which is not a LiteRT file (its bytes 4 to 7 are not 'TFL3')"
    try:
        model = flatbuffer.unpack(content)
        entry = _entry(model)
        if entry is None:
            return f"which has no {flatbuffer.METADATA!r} entry in its metadata"
        written = json.loads(bytes(model.buffers[entry.buffer].data))
        size, checksum = int(written["bytes"]), written.get("sha256")
        if size != len(content):
            return f"which is cut short or damaged: it was written with {size} bytes"
        if checksum is None:
            return "which has no checksum: an earlier version wrote it; export the model again"
        runtime = written["runtime"]
        blank = content.replace(_metadata(runtime, size, checksum), _metadata(runtime, size))
        if hashlib.sha256(blank).hexdigest() != checksum:
            return (
                "which is damaged: its content does not have the checksum that it was written with"
            )
        return wiring.wrong_wiring(model) or _wrong_tensor(model)
    except (
        Exception
    ):  # whatever the reader trips over: offsets that point beyond the end, above all
        return "which is cut short or damaged"


def _metadata(runtime, size, checksum=BLANK):
    """The entry's JSON object as bytes, of one length whatever the size."""
    values = {"format": 2, "runtime": runtime, "bytes": f"{size:012}", "sha256": checksum}
    return json.dumps(values).encode()


def _entry(model):
    """Our entry in the metadata of a `ModelT`, or None."""
    names = (flatbuffer.METADATA, flatbuffer.METADATA.encode())
    return next((entry for entry in model.metadata or [] if entry.name in names), None)


def _wrong_tensor(model):
    """What is wrong with the sparse tensors of a `ModelT`, or None."""
    for graph_number, graph in enumerate(model.subgraphs):
        for number, tensor in enumerate(graph.tensors):
            wrong = tensor.sparsity is not None and _wrong_sparsity(model, tensor)
            wrong = wrong or _wrong_scales(tensor)
            if wrong:
                return (
                    f"which is damaged: the weights of tensor {number} of graph {graph_number} are "
                    f"not stored as `export_litert` stores them, {wrong}"
                )
    return None


def _wrong_sparsity(model, tensor):
    """What is wrong with a sparse tensor, or None: see `sparsify.sparsity_parameters`."""
    schema, sparsity = flatbuffer.schema(), tensor.sparsity
    shape = flatbuffer.ints(tensor.shape)
    kinds = {schema.TensorType.FLOAT32: (4, BLOCK), schema.TensorType.INT8: (1, integers.BLOCK)}
    if tensor.type not in kinds or len(shape) != 2 or min(shape) < 1:
        return f"as a matrix of float32 or int8; its shape is {shape}"
    size_of_one, widest = kinds[tensor.type]
    order, blocks = flatbuffer.ints(sparsity.traversalOrder), flatbuffer.ints(sparsity.blockMap)
    axes = sparsity.dimMetadata or []
    block = widest if len(axes) == 3 else 1
    if (
        order != list(range(len(axes)))
        or blocks != [1] * (len(axes) - 2)
        or len(axes) not in (2, 3)
    ):
        return f"row by row; its order is {order}, its blocks are on the axes {blocks}"
    formats = [schema.DimensionType.DENSE, schema.DimensionType.SPARSE_CSR]
    formats += [schema.DimensionType.DENSE] * (len(axes) - 2)
    sizes = [axis.denseSize for axis in axes]
    if (
        [axis.format for axis in axes] != formats
        or [sizes[0], *sizes[2:]] != [shape[0], *[block] * (len(axes) - 2)]
        or shape[1] % block
    ):
        return f"in {shape[0]} rows of blocks; its axes have the sizes {sizes}"
    segments, indices = (
        None if vector is None else np.asarray(vector.values, np.int64).reshape(-1)
        for vector in (axes[1].arraySegments, axes[1].arrayIndices)
    )
    if segments is None or indices is None:
        return "with a list of its blocks"
    if (
        len(segments) != shape[0] + 1
        or segments[0] != 0
        or segments[-1] != len(indices)
        or (np.diff(segments) < 0).any()
    ):
        return "with the blocks of each row after those of the row before"
    rows = np.repeat(np.arange(shape[0]), np.diff(segments))
    places = rows * (shape[1] // block) + indices
    inside = (indices >= 0) & (indices < shape[1] // block)
    if not inside.all() or (np.diff(places) <= 0).any():
        return "with ascending blocks in each row, all inside of the matrix"
    stored = flatbuffer.data(model, tensor)
    size = 0 if stored is None else len(stored)
    wanted = size_of_one * block * len(indices)
    if not size or size != wanted:
        return f"with {wanted} bytes of weights; it has {size}"
    if tensor.type == schema.TensorType.INT8 and (
        block == 1 or shape[1] // block > integers.MOST_BLOCKS
    ):
        return f"with at most {integers.MOST_BLOCKS} blocks of {integers.BLOCK} in a row"
    return None


def _wrong_scales(tensor):
    """What is wrong with the scales of a tensor, or None: see `integers`."""
    scales = tensor.quantization and tensor.quantization.scale
    if scales is None or not len(scales):
        return None
    zeros, rows = tensor.quantization.zeroPoint, flatbuffer.ints(tensor.shape)[:1]
    if (
        [len(scales)] not in ([1], rows)
        or flatbuffer.ints(zeros) != [0] * len(scales)
        or tensor.quantization.quantizedDimension
        or (tensor.sparsity is not None and len(scales) != 1)
    ):
        return f"with a scale for each of the outputs, or for all; it has {len(scales)}"
    return None
