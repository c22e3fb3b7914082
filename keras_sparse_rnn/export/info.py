"""What a file says about the model in it: a JSON object in the file's metadata."""

import json

from keras_sparse_rnn.export import flatbuffer

ENTRY = "keras_sparse_rnn_model"


def add(model, values):
    """Adds `values`, a dict of what JSON has, to a `ModelT`."""
    entry = flatbuffer.schema().MetadataT()
    entry.name = ENTRY
    entry.buffer = flatbuffer.add_buffer(model, json.dumps(values).encode())
    model.metadata = [*(model.metadata or []), entry]


def read(content):
    """The dict in the bytes of a file that `integrity` has found whole; empty if it has none."""
    model = flatbuffer.unpack(content)
    for entry in model.metadata or []:
        if entry.name in (ENTRY, ENTRY.encode()):
            return json.loads(bytes(model.buffers[entry.buffer].data))
    return {}
