"""What a file says about the model in it: a JSON object in the file's metadata."""

import json
import numbers

from keras_sparse_rnn.export import flatbuffer

ENTRY = "keras_sparse_rnn_model"


def check(metadata):
    """Returns `export_litert`'s `metadata` as a dict of what JSON has.

    Raises:
        ValueError: it is no dict, or has another key or value than those that are described there.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not metadata.keys() <= KINDS.keys():
        raise ValueError(
            f"`metadata` must be None or a dict with any of the keys {', '.join(map(repr, KINDS))}."
            f" Received: metadata={metadata!r}"
        )
    for key, value in metadata.items():
        wanted, is_one = KINDS[key]
        if not is_one(value):
            raise ValueError(
                f"`metadata[{key!r}]` must be {wanted}. Received: metadata[{key!r}]={value!r}"
            )
    return {key: CONVERSIONS.get(key, str)(value) for key, value in metadata.items()}


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


def told(values):
    """What of the dict of a file is for its user: not how a stream runs."""
    return {key: value for key, value in values.items() if key != "streaming"}


def _is_text(value):
    return isinstance(value, str)


def _is_rate(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 < value < 1e12


def _are_labels(value):
    return isinstance(value, (list, tuple)) and all(map(_is_text, value))


KINDS = {
    "name": ("a string", _is_text),
    "version": ("a string", _is_text),
    "sample_rate": ("a number of hertz above 0", _is_rate),
    "labels": ("a list of strings", _are_labels),
}
CONVERSIONS = {"sample_rate": float, "labels": list}
